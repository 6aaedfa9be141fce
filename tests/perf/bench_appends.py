"""Ways to append settlement events to BigQuery: insertAll, and Storage Write streams with protobuf or Arrow rows.

    python tests/perf/bench_appends.py [--rows 20000]

One writer, one request after another, each awaited: what the consumer must do before it acknowledges. The time of a
request includes encoding the rows. `committed` is a stream of its own whose requests carry offsets.
"""

from __future__ import annotations

import argparse
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import grpc
import psutil
import pyarrow as pa
from _bench import PATIENCE_S, cuts, ground, print_machine
from bench_consumer import Feed, make_rows
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from infra.embedded.provision import provision_warehouse
from infra.runtime.bigquery import Warehouse, _json_cell
from infra.runtime.settings import Settings
from ingest.tables import SETTLEMENT_EVENTS

TABLE = SETTLEMENT_EVENTS
BATCHES = (100, 500, 2_000)
Rows = Sequence[dict[str, Any]]
_ARROW = {"INTEGER": pa.int64(), "BIGNUMERIC": pa.decimal128(38, 18), "TIMESTAMP": pa.timestamp("us", "UTC")}


class ProtoRows:
    """Rows as messages of the table's shape: times in microseconds, decimals as text."""

    def __init__(self) -> None:
        self.descriptor = descriptor_pb2.DescriptorProto(name="Row")
        whole = {"INTEGER", "TIMESTAMP"}
        for number, column in enumerate(TABLE.schema, start=1):
            kind = descriptor_pb2.FieldDescriptorProto
            self.descriptor.field.add(
                name=column.name,
                number=number,
                label=kind.LABEL_OPTIONAL,
                type=kind.TYPE_INT64 if column.field_type in whole else kind.TYPE_STRING,
            )
        file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="bench", syntax="proto2")
        file.message_type.append(self.descriptor)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._row = message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Row"))

    def request(self, rows: Rows, first: bool) -> types.AppendRowsRequest:
        """One request; the first of a connection carries the schema."""
        data = types.AppendRowsRequest.ProtoData(
            rows=types.ProtoRows(serialized_rows=[self._row(**_proto_cells(row)).SerializeToString() for row in rows])
        )
        if first:
            data.writer_schema = types.ProtoSchema(proto_descriptor=self.descriptor)
        return types.AppendRowsRequest(proto_rows=data)


def _proto_cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _proto_cell(value) for name, value in row.items() if value is not None}


def _proto_cell(value: Any) -> Any:
    match value:
        case datetime():
            return int(value.timestamp() * 1_000_000)
        case Decimal():
            return format(value, "f")
        case _:
            return value


class ArrowRows:
    """Rows as one Arrow record batch."""

    def __init__(self) -> None:
        self._schema = pa.schema([(c.name, _ARROW.get(c.field_type, pa.string())) for c in TABLE.schema])

    def request(self, rows: Rows, first: bool) -> types.AppendRowsRequest:
        """One request; the first of a connection carries the schema."""
        batch = pa.RecordBatch.from_pylist(list(rows), schema=self._schema)
        data = types.AppendRowsRequest.ArrowData(
            rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
        )
        if first:
            data.writer_schema = types.ArrowSchema(serialized_schema=self._schema.serialize().to_pybytes())
        return types.AppendRowsRequest(arrow_rows=data)


class Stream:
    """One connection of Storage Write; with `committed`, a stream of its own and an offset on each request."""

    def __init__(self, settings: Settings, grpc_port: int, encode: ProtoRows | ArrowRows, *, committed: bool) -> None:
        assert settings.bigquery_token is not None
        self._metadata = [("authorization", f"Bearer {settings.bigquery_token.get_secret_value()}")]
        channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self._client = BigQueryWriteClient(  # type: ignore[no-untyped-call]
            transport=BigQueryWriteGrpcTransport(channel=channel)
        )
        parent = f"projects/{settings.gcp_project}/datasets/{TABLE.dataset}/tables/{TABLE.name}"
        self._name = f"{parent}/streams/_default"
        if committed:
            wanted = types.WriteStream(type_=types.WriteStream.Type.COMMITTED)
            self._name = self._client.create_write_stream(
                parent=parent, write_stream=wanted, metadata=self._metadata, timeout=PATIENCE_S
            ).name
        self._encode, self._offset, self._is_first = encode, 0 if committed else None, True
        self._requests: queue.Queue[types.AppendRowsRequest | None] = queue.Queue()
        self._answers: Iterator[types.AppendRowsResponse] | None = None

    def _outgoing(self) -> Iterator[types.AppendRowsRequest]:
        while (request := self._requests.get()) is not None:
            yield request

    def append(self, rows: Rows) -> None:
        """Send one request and wait for its answer."""
        request = self._encode.request(rows, self._is_first)
        request.write_stream, self._is_first = self._name, False
        if self._offset is not None:
            request.offset = self._offset  # type: ignore[assignment]
            self._offset += len(rows)
        self._requests.put(request)
        if self._answers is None:  # opening waits for the first answer
            self._answers = iter(self._client.append_rows(self._outgoing(), metadata=self._metadata))
        answer = next(self._answers)
        if answer.error.code or answer.row_errors:
            raise SystemExit(f"Storage Write refused: {answer.error.message} {answer.row_errors}")

    def close(self) -> None:
        """End the connection."""
        self._requests.put(None)
        self._client.transport.close()  # type: ignore[no-untyped-call]


def insert_all(warehouse: Warehouse, rows: Rows) -> None:
    """One insertAll request, of any size."""
    errors = warehouse.client.insert_rows_json(
        f"{warehouse.settings.gcp_project}.{TABLE.table_id}",
        [{name: _json_cell(value) for name, value in row.items()} for row in rows],
        row_ids=[row["event_id"] for row in rows],
        timeout=PATIENCE_S,
    )
    if errors:
        raise SystemExit(f"insertAll refused: {errors[0]}")


def measure(name: str, append: Callable[[Rows], None], make: Callable[[int], Rows], total: int) -> None:
    """Append `total` rows in batches of each size and print rows a second and the time of a request."""
    for size in BATCHES:
        append(make(size))
        batches = [make(size) for _ in range(max(4, total // size))]
        taken = []
        for batch in batches:
            began = time.perf_counter()
            append(batch)
            taken.append(time.perf_counter() - began)
        print(f"{name:<22} {size:>5} rows {size * len(taken) / sum(taken):8,.0f} rows/s   {cuts(taken)}")


def main() -> None:
    """Measure each way at each batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of each way and batch size")
    options = parser.parse_args()
    print_machine()
    with ground(("bigquery",)) as settings:
        warehouse = Warehouse(settings)
        provision_warehouse(settings)
        feed = Feed(settings)

        def make(count: int) -> Rows:
            made = make_rows(feed.messages(count))
            feed.published_at.extend([0.0] * count)
            return made

        rest = int(str(settings.bigquery_endpoint).rsplit(":", 1)[1])
        streams = [
            (f"{kind}, {rows}", Stream(settings, _grpc_port(rest), encode, committed=kind == "committed"))
            for rows, encode in (("protobuf", ProtoRows()), ("Arrow", ArrowRows()))
            for kind in ("default", "committed")
        ]
        for turn in (1, 2):
            print(f"turn {turn}")
            measure("insertAll", lambda rows: insert_all(warehouse, rows), make, options.rows)
            for name, stream in streams:
                measure(name, stream.append, make, options.rows)
        for _, stream in streams:
            stream.close()
        (row,) = warehouse.query(f"select count(distinct event_id) as ids from {TABLE.table_id}")
        print(f"stored {row['ids']:,} of {len(feed.published_at):,} rows")
    print_machine()


def _grpc_port(rest_port: int) -> int:
    """The gRPC port of the server that listens on `rest_port`."""
    listening = [
        (c.pid, int(c.laddr.port)) for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr
    ]
    owner = next(pid for pid, port in listening if port == rest_port)
    return next(port for pid, port in listening if pid == owner and port != rest_port)


if __name__ == "__main__":
    main()

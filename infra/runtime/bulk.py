"""BigQuery in bulk: a whole table as Arrow by the Storage Read API, and rows that replace others at once."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from google.api_core import exceptions as google_exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession

from infra.runtime.bigquery import REQUEST_TIMEOUT_S, TableSpec, Warehouse
from infra.runtime.errors import NotReadyError, WarehouseError
from infra.runtime.ids import stable_id
from infra.runtime.settings import Settings

READ_TIMEOUT_S = 300.0
LOAD_TIMEOUT_S = 600.0
# How long the server may be away; left to itself the client tries again for a day.
AWAY_S = 30.0
# A message of a wide table exceeds the four megabytes that gRPC takes by default.
_UNLIMITED = (("grpc.max_receive_message_length", -1),)
_AWAY = (google_exceptions.ServiceUnavailable, google_exceptions.DeadlineExceeded)


def read_table(
    settings: Settings, table_id: str, columns: Sequence[str] | None = None, away_s: float = AWAY_S
) -> pa.Table:
    """The rows of `dataset.table` as they are now; NUMERIC as decimal128(38, 9), FLOAT64 as float64.

    Raises `NotReadyError` where the server is away for longer than `away_s`, and `WarehouseError` where it refuses.
    """
    client = _read_client(settings)
    metadata = _metadata(settings)
    retry = Retry(predicate=if_exception_type(*_AWAY), initial=0.1, maximum=3.0, timeout=away_s)
    dataset, table = table_id.split(".")
    parent = f"projects/{settings.gcp_project}"
    wanted = ReadSession(
        table=f"{parent}/datasets/{dataset}/tables/{table}",
        data_format=DataFormat.ARROW,
        read_options=ReadSession.TableReadOptions(selected_fields=list(columns or ())),
    )
    try:
        session = client.create_read_session(
            parent=parent,
            read_session=wanted,
            max_stream_count=1,
            retry=retry,
            timeout=REQUEST_TIMEOUT_S,
            metadata=metadata,
        )
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        messages = [
            message.arrow_record_batch.serialized_record_batch
            for stream in session.streams
            for message in client.read_rows(stream.name, retry=retry, timeout=READ_TIMEOUT_S, metadata=metadata)  # type: ignore[no-untyped-call]
        ]
    except (google_exceptions.RetryError, *_AWAY) as error:
        raise NotReadyError(f"BigQuery's Storage Read API did not answer for {table_id}: {error.message}") from error
    except google_exceptions.GoogleAPICallError as error:
        raise WarehouseError(f"BigQuery refused to read {table_id}: {error.message}") from error
    finally:
        client.transport.close()  # type: ignore[no-untyped-call]
    batches = [pa.ipc.read_record_batch(pa.py_buffer(message), schema) for message in messages]
    return pa.Table.from_batches(batches, schema)


def replace_rows(
    warehouse: Warehouse, spec: TableSpec, rows: pa.Table, scope: Mapping[str, Any], key: Sequence[str]
) -> int:
    """Put `rows` in the place of the rows whose columns equal `scope`, in one statement; how many there are now.

    `key` names the columns that, within the scope, tell one row from another. A reader sees the rows before or the rows
    after, never a part; a repeat leaves the same rows. Raises `WarehouseError` where BigQuery refuses.
    """
    suffix = stable_id("scope", *scope.values())[-12:]
    loading = TableSpec(spec.dataset, f"{spec.name}__loading_{suffix}", spec.schema, "Rows on their way.")
    target = f"{warehouse.settings.gcp_project}.{loading.table_id}"
    # What a killed run left may have the columns of an older version.
    warehouse.client.delete_table(target, not_found_ok=True, timeout=REQUEST_TIMEOUT_S)
    warehouse.ensure_table(loading)
    try:
        load_rows(warehouse, loading, rows)
        warehouse.execute(_replace_sql(spec, loading, scope, key), dict(scope))
    finally:
        warehouse.client.delete_table(target, not_found_ok=True, timeout=REQUEST_TIMEOUT_S)
    return int(rows.num_rows)


def load_rows(warehouse: Warehouse, spec: TableSpec, rows: pa.Table) -> None:
    """Make `rows` all that the table holds, by a load job.

    Raises `WarehouseError` where BigQuery refuses, and `NotReadyError` where it is away.
    """
    parquet = io.BytesIO()
    pq.write_table(rows, parquet)
    parquet.seek(0)
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        schema=list(spec.schema),
    )
    try:
        job = warehouse.client.load_table_from_file(
            parquet, f"{warehouse.settings.gcp_project}.{spec.table_id}", job_config=config, timeout=LOAD_TIMEOUT_S
        )
        job.result(timeout=LOAD_TIMEOUT_S)
    except (
        google_exceptions.RetryError,
        google_exceptions.ServiceUnavailable,
        requests.exceptions.RequestException,
    ) as error:
        raise NotReadyError(f"BigQuery did not take rows for {spec.table_id} ({type(error).__name__})") from error
    except google_exceptions.GoogleAPICallError as error:
        raise WarehouseError(f"BigQuery refused rows for {spec.table_id}: {error.message}") from error


def _replace_sql(spec: TableSpec, loading: TableSpec, scope: Mapping[str, Any], key: Sequence[str]) -> str:
    """Names come from the code that declares the table, never from input."""
    names = [field.name for field in spec.schema]
    listed = ", ".join(names)
    in_scope = " and ".join(f"kept.{name} = @{name}" for name in scope)
    same = " and ".join(f"kept.{name} = loaded.{name}" for name in key)
    updates = ", ".join(f"{name} = loaded.{name}" for name in names if name not in key)
    clauses = (
        f"merge {spec.table_id} as kept using {loading.table_id} as loaded",
        f"on {in_scope} and {same}",
        f"when matched then update set {updates}",
        f"when not matched by target then insert ({listed}) values ({listed})",  # noqa: S608
        f"when not matched by source and {in_scope} then delete",
    )
    return " ".join(clauses)


def _read_client(settings: Settings) -> BigQueryReadClient:
    if settings.bigquery_storage_endpoint is None:
        options = ClientOptions(quota_project_id=settings.gcp_project)
        return BigQueryReadClient(client_options=options)  # type: ignore[no-untyped-call]
    channel = grpc.insecure_channel(settings.bigquery_storage_endpoint, options=_UNLIMITED)
    transport = BigQueryReadGrpcTransport(channel=channel)
    return BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]


def _metadata(settings: Settings) -> list[tuple[str, str]]:
    """The static token; gRPC takes call credentials on channels with TLS only."""
    token = settings.bigquery_token
    return [("authorization", f"Bearer {token.get_secret_value()}")] if token else []

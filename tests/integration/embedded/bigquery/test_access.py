"""Only who has the token gets in; health checks are open; the server listens on this machine only."""

from __future__ import annotations

import grpc
import httpx
import psutil
import pyarrow.ipc
import pytest
from google.api_core.exceptions import GoogleAPICallError, Unauthenticated
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

DATASETS = "/bigquery/v2/projects/ballast/datasets"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health__is_open(server, path):
    assert httpx.get(server.url + path, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic a-token-of-these-tests"},
        {"Authorization": "Bearer a-token-of-these-tests-and-more"},
        {"Authorization": "a-token-of-these-tests"},
        {"Authorization": "Bearer ä".encode()},
    ],
)
@pytest.mark.parametrize("path", [DATASETS, "/metrics", "/docs", "/openapi.json", "/nothing", "/healthz/", "//healthz"])
def test_request_without_the_token__is_refused(server, headers, path):
    answer = httpx.get(server.url + path, headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["errors"][0]["reason"] == "authError"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_request_with_the_token__is_answered(server, token):
    answer = httpx.get(server.url + DATASETS, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 200


def test_client_with_a_wrong_token__fails_at_once(server):
    with pytest.raises((GoogleAuthError, GoogleAPICallError)):
        list(server.client(token="wrong").list_datasets(retry=None, timeout=10))


def read_client(server, *, with_token):
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=server.channel(with_token=with_token)))


def session_of(client, warehouse, table):
    name = f"projects/ballast/datasets/{warehouse.dataset}/tables/{table}"
    requested = types.ReadSession(table=name, data_format=types.DataFormat.ARROW)
    return client.create_read_session(
        parent="projects/ballast", read_session=requested, max_stream_count=1, retry=None, timeout=20
    )


def test_storage_read__needs_the_token_and_gives_exact_rows(server, warehouse):
    warehouse.run("create table {d}.t as select bignumeric '0.000000000000000001' as q, numeric '1.5' as n")
    with pytest.raises(Unauthenticated):
        session_of(read_client(server, with_token=False), warehouse, "t")
    client = read_client(server, with_token=True)
    session = session_of(client, warehouse, "t")
    schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(session.arrow_schema.serialized_schema))
    batches = [
        pyarrow.ipc.read_record_batch(pyarrow.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema)
        for answer in client.read_rows(session.streams[0].name, timeout=20)
    ]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [{name: str(value) for name, value in row.items()} for row in rows] == [{"q": "1E-18", "n": "1.500000000"}]


def test_each_kind_of_grpc_call_without_the_token__is_refused(server, warehouse):
    reads = read_client(server, with_token=False)
    with pytest.raises(Unauthenticated):
        list(reads.read_rows("projects/ballast/locations/us/sessions/x/streams/y", retry=None, timeout=10))
    writes = BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=server.channel(with_token=False)))
    with pytest.raises(Unauthenticated):
        list(writes.append_rows(iter([types.AppendRowsRequest(write_stream="x")]), retry=None, timeout=10))


def test_grpc_health__is_open(server):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_server__listens_on_the_loopback_address_only(server):
    listening = [c.laddr for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"]
    assert {(address.ip.removeprefix("::ffff:"), address.port) for address in listening} == {
        ("127.0.0.1", server.rest_port),
        ("127.0.0.1", server.grpc_port),
    }

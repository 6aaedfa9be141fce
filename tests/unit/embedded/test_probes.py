"""Readiness probes: yes only on proof."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest

from infra.embedded.ports import HOST, free_ports
from infra.embedded.probes import (
    GrpcProbe,
    HeartbeatProbe,
    HttpProbe,
    PostgresProbe,
    Probe,
    ProbeContext,
    TcpProbe,
    is_ready,
)
from infra.runtime.settings import Settings


@pytest.fixture
def context(tmp_path: Path) -> ProbeContext:
    port = free_ports(1)[0]
    settings = Settings(state_dir=tmp_path, postgres_url=f"postgresql+psycopg://a:b@{HOST}:{port}/c")
    return ProbeContext(settings, timeout_s=0.5)


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/good" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing: tests stay quiet."""


@pytest.mark.parametrize("kind", [TcpProbe, GrpcProbe, lambda port: HttpProbe(port, "/")])
def test_probe__closed_port_is_not_ready(kind: type[TcpProbe], context: ProbeContext) -> None:
    assert not is_ready((kind(free_ports(1)[0]),), context)


def test_http_probe__only_200_is_ready(context: ProbeContext) -> None:
    with _serving(HTTPServer((HOST, 0), _Handler)) as port:
        assert is_ready((TcpProbe(port), HttpProbe(port, "/good")), context)
        assert not is_ready((HttpProbe(port, "/bad"),), context)
        assert not is_ready((TcpProbe(port), HttpProbe(port, "/bad")), context)


@pytest.mark.parametrize("kind", [GrpcProbe, lambda port: HttpProbe(port, "/")])
def test_probe__server_that_accepts_and_says_nothing_is_not_ready(kind: type[Probe], context: ProbeContext) -> None:
    with socket.create_server((HOST, 0)) as silent:
        assert not is_ready((kind(silent.getsockname()[1]),), context)  # type: ignore[arg-type]


def test_grpc_probe__grpc_server_is_ready(context: ProbeContext) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        assert is_ready((GrpcProbe(port),), context)
    finally:
        server.stop(None).wait()


def test_grpc_probe__http_1_server_is_not_ready(context: ProbeContext) -> None:
    with _serving(HTTPServer((HOST, 0), _Handler)) as port:
        assert not is_ready((GrpcProbe(port),), context)


def test_postgres_probe__no_server_is_not_ready(context: ProbeContext) -> None:
    assert not is_ready((PostgresProbe(),), context)


def test_heartbeat_probe__no_server_is_not_ready(context: ProbeContext) -> None:
    assert not is_ready((HeartbeatProbe("consumer", max_age_s=10),), context)

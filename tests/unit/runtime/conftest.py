"""A server that answers BigQuery's REST calls as it is told."""

from __future__ import annotations

import gzip
import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from infra.runtime.bigquery import Warehouse
from infra.runtime.settings import Settings

PATIENCE_S = 60.0
ERROR_REASONS = {400: "invalidQuery", 401: "authError", 403: "accessDenied", 404: "notFound"}


@dataclass
class FakeBigQuery:
    """Answers in turn what `answers` holds (status and body), then `default`; keeps each request's path and body."""

    url: str
    answers: queue.Queue[tuple[int, Any]] = field(default_factory=queue.Queue)
    default: tuple[int, Any] = (200, {"kind": "bigquery#tableDataInsertAllResponse"})
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def then(self, status: int, body: Any = None) -> None:
        """Answer the next request like this; -1 breaks off in the middle, 0 does not answer at all."""
        reason = {"reason": ERROR_REASONS.get(status, "backendError"), "message": "told so"}
        error = {"error": {"code": status, "message": "told so", "errors": [reason]}}
        self.answers.put((status, error if body is None else body))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body in self.requests]


@pytest.fixture
def bigquery_server() -> Iterator[FakeBigQuery]:
    """The server, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("content-encoding") == "gzip":
                raw = gzip.decompress(raw)
            fake.requests.append((self.path, json.loads(raw or b"{}")))
            try:
                status, body = fake.answers.get_nowait()
            except queue.Empty:
                status, body = fake.default
            if status == 0:
                fake.released.wait(PATIENCE_S)
                self.close_connection = True
                return
            content = json.dumps(body).encode()
            self.send_response(200 if status == -1 else status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content) + (100 if status == -1 else 0)))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = FakeBigQuery(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield fake
    fake.released.set()
    server.shutdown()
    thread.join(PATIENCE_S)
    server.server_close()


@pytest.fixture
def make_warehouse(tmp_path: Path) -> Iterator[Callable[..., Warehouse]]:
    """Warehouses on an address, closed at the end."""
    made: list[Warehouse] = []

    def make(url: str, deadline_s: float = 20.0) -> Warehouse:
        settings = Settings(
            state_dir=tmp_path, gcp_project="p", bigquery_endpoint=url, bigquery_token=SecretStr("token-of-test")
        )
        made.append(Warehouse(settings, deadline_s))
        return made[-1]

    yield make
    for warehouse in made:
        warehouse.client.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def warehouse(bigquery_server: FakeBigQuery, make_warehouse: Callable[..., Warehouse]) -> Warehouse:
    """A warehouse on the server."""
    return make_warehouse(bigquery_server.url)

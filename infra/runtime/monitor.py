"""A process's own small server on 127.0.0.1: `/healthz`, open, and `/metrics` behind the API's token."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr

from infra.runtime.errors import SettingsError

HOST = "127.0.0.1"
REQUEST_TIMEOUT_S = 5.0
POLL_S = 0.1


@dataclass(frozen=True)
class Health:
    """Whether the process works, and what tells it; holds nothing secret."""

    is_well: bool
    body: dict[str, Any]


class MonitorServer(ThreadingHTTPServer):
    """Answers health checks and metrics from functions; `close` ends it."""

    daemon_threads = True

    def __init__(
        self,
        port: int,
        token: SecretStr | None,
        health: Callable[[], Health],
        metrics: Callable[[], bytes],
        name: str = "monitor",
    ) -> None:
        """Bind the port; 0 takes a free one.

        `name` is the process's, and `BALLAST_<NAME>_PORT` the setting of its port: raises `SettingsError` naming it
        when the port is taken.
        """
        self.health = health
        self.metrics = metrics
        self.name = f"ballast-{name}"
        self._expected = _digest(token.get_secret_value()) if token and token.get_secret_value().strip() else None
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            variable = f"BALLAST_{name.upper().replace('-', '_')}_PORT"
            raise SettingsError(f"Port {port} is taken; set {variable} to a free one.") from None

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(POLL_S,), name=f"{self.name}-server", daemon=True).start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self.shutdown()
        self.server_close()

    def allows(self, authorization: str) -> bool:
        """Whether the header carries the token; nothing does where there is none."""
        scheme, _, given = authorization.partition(" ")
        if self._expected is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(_digest(given.strip()), self._expected)


class _Handler(BaseHTTPRequestHandler):
    server: MonitorServer
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        if self.path == "/healthz":
            health = self.server.health()
            status = HTTPStatus.OK if health.is_well else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, json.dumps(health.body).encode(), "application/json")
        elif not self.server.allows(self.headers.get("Authorization", "")):
            self._answer(HTTPStatus.UNAUTHORIZED, b"Send the token as Authorization: Bearer <token>.\n", "text/plain")
        elif self.path == "/metrics":
            self._answer(HTTPStatus.OK, self.server.metrics(), CONTENT_TYPE_LATEST)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"There are /healthz and /metrics.\n", "text/plain")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", f'Bearer realm="{self.server.name}"')
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """The process's name, nothing of its language or version."""
        return self.server.name

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the monitors' would fill the log."""


def _digest(token: str) -> bytes:
    # Equal lengths, so that the comparison tells nothing about the token's length.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()

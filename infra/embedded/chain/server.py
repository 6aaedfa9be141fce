"""The local chain over HTTP: JSON-RPC at `/<token>` and `/<token>/<lane>`, control below `/control`, `/healthz`."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic_core import from_json

from infra.embedded.access import bearer_of, matches
from infra.embedded.chain.addresses import CHAIN_ID
from infra.embedded.chain.failures import Failures
from infra.embedded.chain.jsonrpc import JsonRpcServer
from infra.embedded.chain.market import Market, UnknownAssetError
from infra.embedded.chain.models import (
    ChainState,
    FailureMode,
    FailureRequest,
    PhaseRequest,
    PricesRequest,
    RawRound,
    RawRounds,
    Written,
)
from infra.embedded.errors import EmbeddedError
from infra.runtime.logs import get_logger

MAX_BODY_BYTES = 1024**2
_LONGEST_HANG_S = 60.0
_IDLE_S = 120.0
_RAW = TypeAdapter[RawRound | RawRounds](RawRound | RawRounds)


class ChainServer(ThreadingHTTPServer):
    """Serves one market on 127.0.0.1; each connection has a thread, one request at a time touches the chain."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, market: Market, token: SecretStr | None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.market = market
        self.failures = Failures()
        self.rpc = JsonRpcServer(market)
        self.rpc_requests = 0
        self._token = token
        self._count_lock = threading.Lock()

    def admits(self, given: str | None) -> bool:
        """Whether the token is right; without a configured token none is."""
        return matches(given, self._token)

    def count(self) -> None:
        """Count a JSON-RPC request over HTTP; a batch is one."""
        with self._count_lock:
            self.rpc_requests += 1

    def state(self) -> ChainState:
        """Everything, for people and tests."""
        block, head_at, assets = self.market.state()
        return ChainState(
            chain_id=CHAIN_ID,
            block=block,
            head_at=head_at,
            assets=assets,
            failure=self.failures.wanted,
            rpc_requests=self.rpc_requests,
        )

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log what a handler raised; clients that leave early are no errors."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            get_logger(__name__).error("request_failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = _IDLE_S

    @property
    def _app(self) -> ChainServer:
        return cast(ChainServer, self.server)

    def do_GET(self) -> None:
        """Health, and the state for who may control."""
        if self.path == "/healthz":
            self._send(200, {"status": "ok"})
        elif self._may_control():
            if self.path == "/control/state":
                self._send_model(self._app.state())
            else:
                self._send(404, {"error": "GET /healthz or /control/state"})

    def do_DELETE(self) -> None:
        """The end of failures."""
        if self._may_control():
            if self.path == "/control/failures":
                self._app.failures.set(None)
                self._send(200, {"failure": None})
            else:
                self._send(404, {"error": "DELETE /control/failures"})

    def do_POST(self) -> None:
        """JSON-RPC and control."""
        body = self._body()
        if body is None:
            return
        if self.path.startswith("/control/"):
            if self._may_control():
                self._control(body)
            return
        token, _, lane = self.path.removeprefix("/").partition("/")
        if not self._app.admits(token):
            self._refuse()
            return
        self._app.count()
        self._serve_rpc(body, lane or None)

    def log_message(self, *_arguments: Any) -> None:
        """Write no access log: paths hold the token."""

    def _serve_rpc(self, body: bytes, lane: str | None) -> None:
        failure = self._app.failures.draw(lane)
        match failure:
            case FailureMode.HTTP_500:
                self._send(500, {"error": "failure on command"})
            case FailureMode.HTTP_429:
                self._send(429, {"error": "failure on command"}, {"retry-after": "1"})
            case FailureMode.DROP:
                self.close_connection = True
            case FailureMode.HANG:
                self._app.failures.hang(_LONGEST_HANG_S)
                self.close_connection = True
            case FailureMode.MALFORMED:
                self._send_bytes(200, b'{"jsonrpc": "2.0", "id": 0, "resu')
            case _:
                self._answer_rpc(body, failure)

    def _answer_rpc(self, body: bytes, failure: FailureMode | None) -> None:
        try:
            # The EVM's libraries allow so deep a recursion that the standard parser overflows the stack.
            content = from_json(body)
        except ValueError:
            self._send(400, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}})
            return
        self._send(200, self._app.rpc.answer(content, failure))

    def _control(self, body: bytes) -> None:
        try:
            answer = self._command(body)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
            self._send(422, {"error": wrong})
        except UnknownAssetError as error:
            self._send(404, {"error": error.message})
        except EmbeddedError as error:
            self._send(500, {"error": error.message})
        else:
            if answer is None:
                self._send(404, {"error": "POST /control/prices, /rounds, /phase or /failures"})
            else:
                self._send_model(answer)

    def _command(self, body: bytes) -> BaseModel | None:
        market = self._app.market
        match self.path.removeprefix("/control/"):
            case "prices":
                wanted = PricesRequest.model_validate_json(body)
                at = int(wanted.updated_at.timestamp()) if wanted.updated_at else None
                return Written(rounds=market.set_prices(wanted.prices, at))
            case "rounds":
                raw = _RAW.validate_json(body)
                return Written(rounds=market.write(raw.rounds if isinstance(raw, RawRounds) else [raw]))
            case "phase":
                asset = PhaseRequest.model_validate_json(body).asset
                market.change_phase(asset)
                return market.state()[2][asset]
            case "failures":
                failure = FailureRequest.model_validate_json(body)
                self._app.failures.set(failure)
                return failure
            case _:
                return None

    def _may_control(self) -> bool:
        if self._app.admits(bearer_of(self.headers.get("authorization", ""))):
            return True
        self._refuse()
        return False

    def _refuse(self) -> None:
        self._send(401, {"error": "the market token is needed"})

    def _body(self) -> bytes | None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self._send(411, {"error": "send a Content-Length"})
            return None
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._send(413, {"error": f"the body has more than {MAX_BODY_BYTES} bytes"})
            return None
        return self.rfile.read(int(length))

    def _send_model(self, model: BaseModel) -> None:
        self._send_bytes(200, model.model_dump_json().encode())

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(content).encode(), headers)

    def _send_bytes(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

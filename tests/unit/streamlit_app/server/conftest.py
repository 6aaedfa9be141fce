"""Parts of the door on a clock that stands still, and a client that asks applications in-process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr
from starlette.types import ASGIApp

from compliance.api.people import People, people_of
from infra.runtime.clock import FixedClock
from streamlit_app.server.session import Sessions

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
APP_URL = "http://127.0.0.1:8601"
KEY = SecretStr("k" * 40)
USERS = SecretStr(
    "ann:officer:token-of-ann-0123456789,bob:viewer:token-of-bob-0123456789,"
    "cid:analyst:token-of-cid-0123456789,dot:admin:token-of-dot-0123456789,eve:auditor:token-of-eve-0123456789"
)
EMAILS = SecretStr("ann@desk.example=ann,bob@desk.example=bob")
Ask = Callable[..., httpx.Response]


@dataclass
class Register:
    """The people of the tests, who may change while the app runs."""

    people: People = field(default_factory=lambda: people_of(USERS, EMAILS))

    def __call__(self) -> People:
        return self.people


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def sessions(register: Register, clock: FixedClock) -> Sessions:
    return Sessions(KEY, register, clock)


@pytest.fixture
def ask() -> Ask:
    """Sends one request to an application; follows nothing."""

    def asked(app: ASGIApp, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url=APP_URL) as client:
                return await client.request(method, path, **options)

        return asyncio.run(sent())

    return asked


@dataclass
class Provider:
    """An identity provider over HTTP: discovery, keys, and a token endpoint that keeps what it was sent."""

    server: ThreadingHTTPServer
    ec_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key_id: str = "first"
    claims: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    documents: dict[str, Any] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    got: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def rotate(self, key_id: str) -> None:
        """Sign with a new key from now on, which alone is published."""
        self.ec_key, self.key_id = ec.generate_private_key(ec.SECP256R1()), key_id

    def keys(self) -> dict[str, Any]:
        """The published keys."""
        own = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.ec_key.public_key()))
        return {"keys": [own | {"kid": self.key_id, "use": "sig", "alg": "ES256"}]}

    def signed(self, claims: dict[str, Any], key: Any = None, **header: Any) -> str:
        """A token of these claims."""
        algorithm = header.pop("alg", "ES256")
        return jwt.encode(claims, key or self.ec_key, algorithm=algorithm, headers={"kid": self.key_id, **header})

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for known, _, _ in self.got if known == path)

    def answer(self, path: str) -> Any:
        """What stands at a path."""
        if path in self.documents:
            return self.documents[path]
        match path:
            case "/.well-known/openid-configuration":
                return {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                }
            case "/keys":
                return self.keys()
            case "/token":
                return {"id_token": self.token or self.signed(self.claims), "token_type": "Bearer"}
        return {}


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
            found.got.append((self.path, form, self.headers.get("Authorization", "")))
            body = json.dumps(found.answer(self.path)).encode()
            self.send_response(found.status.get(self.path, 200))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 -- the server's name

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Provider(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)

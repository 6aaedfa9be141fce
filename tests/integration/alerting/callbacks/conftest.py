"""The callback routes behind a real server, the providers that call them, and the ledger that they change."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text

from alerting.callbacks import sendgrid, twilio
from alerting.callbacks.routes import router
from api.errors import add_error_handlers
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
DETECTED = START - timedelta(seconds=2.5)
PATIENCE_S = 30.0
TOKEN = "twilio-token"
TABLES = (
    *("callbacks", "notifications", "notification_states", "pending", "escalations", "contacts"),
    "preference_changes",
)
_PLAN = text(
    "insert into alerting.notifications (notification_id, event_id, channel, recipient, account_id, severity,"
    " episode_id, detected_at, created_at, terminal_state, digest_id) values (:key, 'evt_' || :key, :channel,"
    " 'ct_' || :key, 'acc-1', 'margin_call', 'mep_1', :at, :at, :state, :digest)"
)
_QUEUE = text(
    "insert into alerting.pending (notification_id, channel, due_at, attempts, is_unknown, sequence)"
    " values (:key, :channel, :at, 1, true, 1)"
)
_APPEND = text(
    "insert into alerting.notification_states (notification_id, state, at, seconds_since_detected)"
    " values (:key, :state, :at, 0)"
)


@dataclass
class Book:
    """The ledger as tests fill and read it."""

    engine: Engine

    def plan(self, *keys: str, state: str | None = None, channel: str = "email", digest: str | None = None) -> None:
        """Notifications `<key>` of events `evt_<key>` to contacts `ct_<key>`, under way unless they have a state."""
        with self.engine.begin() as connection:
            for key in keys:
                values = {"key": key, "state": state, "channel": channel, "at": DETECTED, "digest": digest}
                connection.execute(_PLAN, values)
                connection.execute(_QUEUE if state is None else _APPEND, values)

    def execute(self, sql: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(sql), values)

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def state(self, key: str = "ntf_1") -> str | None:
        [(found,)] = self.rows("select terminal_state from alerting.notifications where notification_id = :k", k=key)
        return found if found is None else str(found)

    def history(self, key: str = "ntf_1") -> list[str]:
        sql = "select state from alerting.notification_states where notification_id = :k order by state_id"
        return [row[0] for row in self.rows(sql, k=key)]

    def pending(self) -> list[str]:
        return [row[0] for row in self.rows("select notification_id from alerting.pending order by 1")]

    def kinds(self) -> list[tuple[str | None, str]]:
        rows = self.rows("select notification_id, kind from alerting.callbacks order by callback_id")
        return [(row[0], row[1]) for row in rows]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: self.rows(f"select * from alerting.{table} order by 1, 2") for table in TABLES}


@pytest.fixture
def start() -> datetime:
    """Noon, where the clock stands; events were detected 2.5 s before."""
    return START


@pytest.fixture
def book(engine: Engine) -> Book:
    return Book(engine)


@dataclass
class Api:
    """The callback routes behind a real server, and the providers that call them."""

    url: str
    clock: FixedClock
    key: ec.EllipticCurvePrivateKey
    client: httpx.Client
    server: uvicorn.Server = field(repr=False)

    def mail(
        self, body: Any, *, age_s: float = 0, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> httpx.Response:
        """Post events as SendGrid does; `content` is sent in place of what was signed, empty headers are left out."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\r\n"
        timestamp = str(int((self.clock.now() - timedelta(seconds=age_s)).timestamp()))
        made = self.key.sign(timestamp.encode() + raw, ec.ECDSA(SHA256()))
        given = {
            "content-type": "application/json",
            sendgrid.SIGNATURE_HEADER: base64.b64encode(made).decode(),
            sendgrid.TIMESTAMP_HEADER: timestamp,
        }
        sent = {name: value for name, value in (given | dict(headers or {})).items() if value}
        return self.client.post("/v1/callbacks/sendgrid", content=raw if content is None else content, headers=sent)

    def text(
        self,
        form: Mapping[str, str] | Sequence[tuple[str, str]],
        query: str = "?notification_id=ntf_1",
        *,
        signed_query: str | None = None,
        token: str = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Post a status as Twilio does; `signed_query` is what it signed in place of what it sends."""
        body = urlencode(list(form.items()) if isinstance(form, Mapping) else list(form)).encode()
        signed = f"{self.url}/v1/callbacks/twilio{query if signed_query is None else signed_query}"
        made = twilio.signature(token, signed, twilio.parse_form(body))
        given = {"content-type": "application/x-www-form-urlencoded", twilio.SIGNATURE_HEADER: made}
        sent = {name: value for name, value in (given | dict(headers or {})).items() if value}
        return self.client.post(f"/v1/callbacks/twilio{query}", content=body, headers=sent)


@pytest.fixture
def serve(engine: Engine, clock: FixedClock) -> Iterator[Callable[..., Api]]:
    """The routes on a free port, with keys and clients unless told otherwise."""
    made: list[tuple[Api, threading.Thread]] = []

    def start(is_ready: bool = True, **changes: Any) -> Api:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        values = {
            "sendgrid_webhook_key": base64.b64encode(public).decode(),
            "twilio_auth_token": SecretStr(TOKEN),
            "public_url": url,
        }
        app = FastAPI()
        app.include_router(router)
        add_error_handlers(app)
        if is_ready:
            app.state.postgres_engine, app.state.clock = engine, clock
            app.state.settings = Settings(**(values | changes))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        client = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S)
        made.append((Api(url, clock, key, client, server), thread))
        wait_until(lambda: server.started)
        return made[-1][0]

    yield start
    for api, thread in made:
        api.client.close()
        api.server.should_exit = True
        thread.join(PATIENCE_S)


@pytest.fixture
def api(serve: Callable[..., Api]) -> Api:
    return serve()


def wait_until(is_done: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture
def wait() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition, with an end."""
    return wait_until


@pytest.fixture
def mail_event() -> Callable[..., dict[str, Any]]:
    """SendGrid's events of a notification, `second` seconds after noon."""

    def make(kind: str, key: str | None = "ntf_1", second: int = 0, **fields: Any) -> dict[str, Any]:
        return {
            "event": kind,
            "email": "jane.doe@example.com",
            "timestamp": int(START.timestamp()) + second,
            "sg_event_id": f"{key}-{kind}-{second}",
            "sg_message_id": f"mail-{key}.recvd-69dd6499c6-szsd4-1-65367BDD-7.0",
            **({"notification_id": key} if key is not None else {}),
            **fields,
        }

    return make


@pytest.fixture
def status_form() -> Callable[..., dict[str, str]]:
    """Twilio's forms."""

    def make(status: str, sid: str = "SM1", **fields: str) -> dict[str, str]:
        return {"MessageSid": sid, "MessageStatus": status, "To": "+12025550100", "AccountSid": "AC1", **fields}

    return make

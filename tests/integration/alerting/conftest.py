"""PostgreSQL with a fresh ledger for each test, and a receiver that answers as it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import Engine, text

from alerting.claims import Claims
from alerting.events import MarginEvent, Severity
from alerting.ledger import AlertEvent, PlannedNotification, store
from alerting.migrations import upgrade
from alerting.planning import margin_alert
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import FixedClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def postgres_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One PostgreSQL for all tests of this folder."""
    with embedded_ground(tmp_path_factory.mktemp("alerting"), ("postgres",)) as settings:
        yield settings


@pytest.fixture
def engine(postgres_settings: Settings) -> Iterator[Engine]:
    """An engine on an empty, migrated ledger."""
    engine = postgres_engine(postgres_settings, "test")
    with engine.begin() as connection:
        connection.execute(text("drop schema if exists alerting cascade"))
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at noon."""
    return FixedClock(START)


@pytest.fixture
def claims(engine: Engine, clock: FixedClock) -> Claims:
    """Claims on the fixed clock."""
    return Claims(engine, clock)


@pytest.fixture
def record(engine: Engine, clock: FixedClock) -> Callable[..., set[str]]:
    """Record events with one notification each for a recipient; more of the plan as keywords."""

    def run(*events: MarginEvent, channel: str = "webhook", recipient: str = "operator", **more: Any) -> set[str]:
        alerts: list[AlertEvent] = [margin_alert(event) for event in events]
        planned = [PlannedNotification(event.event_id, channel, recipient, **more) for event in alerts]
        with engine.begin() as connection:
            return store(connection, alerts, planned, clock.now())

    return run


@pytest.fixture
def make_event() -> Callable[..., MarginEvent]:
    """Margin events: the number decides the id."""

    def make(number: int = 1, **changes: Any) -> MarginEvent:
        values = {
            "margin_event_id": f"mev_{number}",
            "account_id": "acc-1",
            "severity": Severity.MARGIN_CALL,
            "episode_id": "mep_1",
            "transition_number": number,
            "health_pct": Decimal("29.5"),
            "collateral_usd": Decimal(64_750),
            "borrow_usd": Decimal(50_000),
            "threshold_pct": Decimal(30),
            "detected_at": START,
        }
        return MarginEvent.model_validate(values | changes)

    return make


@dataclass
class Answer:
    """What the receiver does with one request."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stall: bool = False


@dataclass
class Request:
    """What the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A receiver of webhooks on a free port; `answers` in order, then 204."""

    url: str
    answers: queue.Queue[Answer]
    received: list[Request]
    released: threading.Event


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP server; a stalled answer waits until the end of the test."""
    answers: queue.Queue[Answer] = queue.Queue()
    received: list[Request] = []
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            received.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            try:
                answer = answers.get_nowait()
            except queue.Empty:
                answer = Answer()
            if answer.stall:
                released.wait(PATIENCE_S)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(answer.body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Receiver(f"http://127.0.0.1:{server.server_port}/hook", answers, received, released)
    released.set()
    server.shutdown()
    thread.join(PATIENCE_S)
    server.server_close()


@pytest.fixture
def answer() -> type[Answer]:
    """Answers to put into `receiver.answers`."""
    return Answer


@pytest.fixture
def states(engine: Engine) -> Callable[..., list[str]]:
    """The history of notifications, oldest first: state names, of one event or of all."""

    def read(margin_event_id: str | None = None) -> list[str]:
        statement = text(
            "select s.state from alerting.notification_states s join alerting.notifications n using (notification_id)"
            " where cast(:event as text) is null or n.event_id = :event order by s.state_id"
        )
        with engine.connect() as connection:
            return list(connection.execute(statement, {"event": margin_event_id}).scalars())

    return read

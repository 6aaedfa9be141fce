"""A warehouse in memory that answers the stream's statements, a served API on it, and clients of it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from api.stream import repository
from api.stream.policy import MAX_FRAME_BYTES, StreamPolicy
from infra.runtime.clock import FixedClock
from ingest.prices import reads

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
# Long enough for a busy machine; a test that works never waits for it.
LIMIT_S = 60.0
QUICK = StreamPolicy(
    poll_interval_s=0.01, heartbeat_s=0.05, deep_read_s=0.0, stale_after_s=LIMIT_S, max_backoff_s=0.05, max_mistakes=4
)


def alert_row(event_id: str, account_id: str, at: datetime) -> dict[str, Any]:
    message = {"schema_version": 1, "margin_event_id": event_id, "health": "29.100", "later_field": [1, "x"]}
    return {
        "margin_event_id": event_id,
        "account_id": account_id,
        "detected_at": at,
        "message": json.dumps(message),
    }


@dataclass
class Book:
    """What the warehouse holds; tests change it while the API reads."""

    template: dict[str, Any]
    health: dict[str, dict[str, Any]] = field(default_factory=dict)
    prices: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    error: Exception | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        given = dict(parameters or {})
        with self.lock:
            self.asked.append((sql, given))
            if self.error is not None:
                raise self.error
            return self._answers[sql](given)

    @property
    def _answers(self) -> dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]]:
        return {
            repository.HEALTH_OF_ACCOUNTS_SQL: self._health,
            reads.LATEST_PRICES_SQL: self._prices,
            repository.ALERTS_SQL: self._alerts,
        }

    def put_health(self, account_id: str, **changes: Any) -> None:
        with self.lock:
            self.health[account_id] = self.template | {"account_id": account_id} | changes

    def put_price(self, price_id: str, asset: str = "BTC", price_usd: str = "80000", at: datetime = NOW) -> None:
        row = {
            "price_id": price_id,
            "asset": asset,
            "price_usd": Decimal(price_usd),
            "confidence_usd": None,
            "sources": '[{"name": "pyth", "price_usd": "80000.10"}]',
            "observed_at": at,
            "published_at": at,
            "quality": "ok",
            "degraded_reason": None,
            "is_simulated": False,
            "ingested_at": at,
        }
        with self.lock:
            self.prices.append(row)

    def put_alert(self, event_id: str, account_id: str = "acct-1", at: datetime = NOW) -> dict[str, Any]:
        """An event; its message is returned."""
        row = alert_row(event_id, account_id, at)
        with self.lock:
            self.alerts.append(row)
        return dict(json.loads(row["message"]))

    def put_alerts(self, event_ids: list[str]) -> None:
        """Events that become visible together."""
        with self.lock:
            self.alerts += [alert_row(event_id, "acct-1", NOW) for event_id in event_ids]

    def _health(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        return [row for account, row in self.health.items() if account in given["account_ids"]]

    def _prices(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        latest: dict[str, dict[str, Any]] = {}
        for row in sorted(self.prices, key=lambda each: (each["published_at"], each["observed_at"])):
            if row["ingested_at"] >= given["since"]:
                latest[row["asset"]] = {key: value for key, value in row.items() if key != "ingested_at"}
        return list(latest.values())

    def _alerts(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        found = [
            row
            for row in self.alerts
            if (row["detected_at"], row["margin_event_id"]) > (given["since"], given["after_id"])
            and (given["is_every_account"] or row["account_id"] in given["account_ids"])
        ]
        return sorted(found, key=lambda row: (row["detected_at"], row["margin_event_id"]))[: given["max_rows"]]


@dataclass
class Client:
    """A connected client that reads what it waits for."""

    socket: ClientConnection
    seen: list[dict[str, Any]] = field(default_factory=list)

    def send(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def subscribe(self, **wants: Any) -> dict[str, Any]:
        """Subscribe, and give the snapshot."""
        self.send({"type": "subscribe"} | wants)
        return self.until("snapshot")

    def until(self, kind: str, **values: Any) -> dict[str, Any]:
        """The next message of a type that has these values."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            message = json.loads(self.socket.recv(timeout=LIMIT_S))
            self.seen.append(message)
            assert message["schema_version"] == 1
            if message["type"] == kind and all(message[key] == value for key, value in values.items()):
                return dict(message)
        raise AssertionError(f"no {kind} {values} came; {self.seen[-5:]}")

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What was received of a type."""
        return [message for message in self.seen if message["type"] == kind]

    def closing(self) -> tuple[int, str]:
        """Code and reason with which the server closes."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.seen.append(json.loads(self.socket.recv(timeout=LIMIT_S)))
        return self.socket.close_code or 0, self.socket.close_reason or ""


@pytest.fixture
def book(rows: Any) -> Book:
    """One healthy account and one price."""
    made = Book(rows.health)
    made.put_health("acct-1")
    made.put_price("price-1", at=NOW - timedelta(minutes=5))
    return made


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def quick() -> StreamPolicy:
    """Limits as they are, rhythms of hundredths of a second."""
    return QUICK


@pytest.fixture
def make_stream_app(make_app: Callable[..., FastAPI], book: Book, clock: FixedClock) -> Callable[..., FastAPI]:
    """An application on the book; another one is another process with the same token."""
    return lambda policy=QUICK, **changes: make_app(warehouse=book, clock=clock, stream_policy=policy, **changes)


@contextlib.contextmanager
def _served(app: FastAPI) -> Iterator[str]:
    config = uvicorn.Config(app, "127.0.0.1", 0, log_config=None, access_log=False, ws_max_size=MAX_FRAME_BYTES)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        deadline = time.monotonic() + LIMIT_S
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)
        assert not thread.is_alive()


@pytest.fixture
def serving() -> Callable[[FastAPI], Any]:
    """A context manager that serves an application and gives its host and port."""
    return _served


@pytest.fixture
def host(make_stream_app: Callable[..., FastAPI]) -> Iterator[str]:
    """A served API on the book."""
    with _served(make_stream_app()) as where:
        yield where


@pytest.fixture
def dial(token: str) -> Iterator[Callable[..., Client]]:
    """Opens connections with the token, and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def open_one(host: str, **changes: Any) -> Client:
            arguments: dict[str, Any] = {"additional_headers": {"Authorization": f"Bearer {token}"}} | changes
            return Client(stack.enter_context(connect(f"ws://{host}/v1/stream", proxy=None, **arguments)))

        yield open_one


@pytest.fixture
def client(host: str, dial: Callable[..., Client]) -> Client:
    return dial(host)

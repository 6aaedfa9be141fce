"""Definitions built once without network, and stand-ins for the warehouse and Pub/Sub that the sensors use."""

from __future__ import annotations

import json
import socket
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.bigquery import Appended
from infra.runtime.settings import Settings

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

with warnings.catch_warnings():
    # Said by libraries of Dagster and dbt at their import.
    warnings.simplefilter("ignore")
    import dagster as dg
    import dagster_dbt  # noqa: F401


@pytest.fixture(scope="session")
def definitions(tmp_path_factory: pytest.TempPathFactory, without_warnings: Callable[[], Any]) -> dg.Definitions:
    """All definitions, as a process in production builds them; any connection of the builder would fail."""
    earlier = set(threading.enumerate()) - {threading.current_thread()}

    def refusing(connect: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(*args: Any, **options: Any) -> Any:
            # Threads that ran before, as the session's oracle of prices, are not of the builder.
            assert threading.current_thread() in earlier, "a connection was opened while the definitions were built"
            return connect(*args, **options)

        return refuse

    with pytest.MonkeyPatch.context() as patch, without_warnings():
        patch.setattr(socket.socket, "connect", refusing(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", refusing(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", refusing(socket.getaddrinfo))
        from orchestration.definitions import build_definitions

        built = build_definitions(Settings(state_dir=tmp_path_factory.mktemp("state")))
    return built


def health_row(account_id: str, status: str = "margin_call", health_pct: str | None = "20", **changes: Any) -> Any:
    """A row of `risk.margin_health` with the account's last event (none unless changed)."""
    row = {
        "account_id": account_id,
        "status": status,
        "health_pct": None if health_pct is None else Decimal(health_pct),
        "collateral_usd": Decimal(120),
        "borrow_usd": Decimal(100),
        "margin_call_threshold_pct": Decimal(30),
        "liquidation_threshold_pct": Decimal(15),
        "early_warning_threshold_pct": None,
        "recovery_margin_pct": Decimal(2),
        "unpriced_assets": None,
        "unpriced_reason": None,
        "has_borrow": True,
        "price_ids": "px_1,px_2",
        "is_simulated": True,
        "last_severity": None,
        "last_episode_id": None,
        "last_transition_number": None,
    }
    return row | changes


@dataclass
class Book:
    """A warehouse of which each look finds the next of `looks` (rows, or an error to raise), then nothing."""

    looks: list[list[dict[str, Any]] | Exception] = field(default_factory=list)
    outbox: dict[str, str] = field(default_factory=dict)
    recorded: list[str] = field(default_factory=list)
    arrivals: list[dict[str, Any]] | Exception = field(default_factory=list)
    fails_to_append: Exception | None = None
    found: list[dict[str, Any]] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if "merge risk.margin_events" in sql:
            assert parameters is not None
            for text in parameters["events"]:
                event = json.loads(text)
                self.outbox.setdefault(event["margin_event_id"], event["message"])
            return []
        if "margin_event_publications" in sql:
            waiting = {key: message for key, message in self.outbox.items() if key not in self.recorded}
            return [{"margin_event_id": key, "message": message} for key, message in waiting.items()]
        if "risk.liquidation_prices" in sql:
            return []
        if "raw.market_prices" in sql:
            if isinstance(self.arrivals, Exception):
                raise self.arrivals
            return self.arrivals
        assert "from risk.margin_health" in sql
        if "unnest(@account_ids)" in sql:
            return self.found
        found = self.looks.pop(0) if self.looks else []
        if isinstance(found, Exception):
            raise found
        self.found = found
        return found

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        assert table_id == "risk.margin_event_publications"
        if self.fails_to_append:
            raise self.fails_to_append
        self.recorded += [str(row["margin_event_id"]) for row in rows]
        return Appended(len(rows), 1)


@dataclass
class Topic:
    """A publisher that keeps what it is given."""

    sent: list[bytes] = field(default_factory=list)
    is_closed: bool = False

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        assert topic == "alerts.margin.v1"
        self.sent += messages
        return [f"m{number}" for number in range(len(messages))]

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """Rows of margin health."""
    return health_row


@pytest.fixture
def book() -> Book:
    """A warehouse without accounts."""
    return Book()


@pytest.fixture
def topic() -> Topic:
    """An empty topic."""
    return Topic()


@pytest.fixture
def platform(book: Book, topic: Topic) -> Any:
    """The platform resource, with the stand-ins for its clients."""
    from assets.platform import Platform

    class Seen:
        discarded = 0
        beats: list[tuple[str, str | None]] = []

    @dataclass
    class Pulse:
        name: str

        def beat(self, detail: str | None = None, problem: str | None = None) -> None:
            Seen.beats.append((self.name, problem))

    class Fake(Platform):
        def warehouse(self) -> Any:
            return book

        def publisher(self) -> Any:
            return topic

        def heartbeat(self, name: str) -> Any:
            return Pulse(name)

        def discard_clients(self) -> None:
            Seen.discarded += 1

        @property
        def discarded(self) -> int:
            return Seen.discarded

        @property
        def beats(self) -> list[tuple[str, str | None]]:
            return Seen.beats

    return Fake()


@pytest.fixture
def now() -> datetime:
    """Noon."""
    return NOW

"""An API that runs in-process on a reader of made-up rows, and a synchronous client of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import anyio.from_thread
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from alerting.margin.thresholds import DEFAULT_THRESHOLDS_SQL
from api.app import create_app
from api.risk.repository import HEALTH_PAGE_SQL
from assets.risk import queries
from infra.runtime.clock import FixedClock
from infra.runtime.sealing import new_key
from infra.runtime.settings import Settings

TOKEN = "a-token-of-the-tests"
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ACCOUNT = "acct-00001"

HEALTH: dict[str, Any] = {
    "account_id": ACCOUNT,
    "status": "healthy",
    "health_pct": Decimal("60.000000001"),
    "collateral_usd": Decimal("80000.000000001"),
    "borrow_usd": Decimal("50000"),
    "margin_call_threshold_pct": Decimal("30"),
    "liquidation_threshold_pct": Decimal("15"),
    "early_warning_threshold_pct": None,
    "recovery_margin_pct": Decimal("2"),
    "unpriced_assets": None,
    "unpriced_reason": None,
    "has_borrow": True,
    "has_degraded_price": False,
    "is_confidence_unknown": False,
    "has_negative_position": False,
    "price_ids": "price-1,price-2",
    "oldest_price_at": NOW,
    "oldest_price_age_seconds": 12,
    "late_events_pending": 0,
    "last_event_at": NOW,
    "is_simulated": True,
    "measured_at": NOW,
}
THRESHOLDS: dict[str, Any] = {
    "margin_call_pct": Decimal("30"),
    "liquidation_pct": Decimal("15"),
    "early_warning_pct": None,
    "recovery_margin_pct": Decimal("2"),
}
POSITION: dict[str, Any] = {
    "account_id": ACCOUNT,
    "asset": "BTC",
    "side": "collateral",
    "quantity": Decimal("1.000000000000000001"),
    "price_usd": Decimal("80000"),
    "valuation_price_usd": Decimal("80000"),
    "exposure_usd": Decimal("80000"),
    "price_id": "price-1",
    "price_status": "ok",
    "price_observed_at": NOW,
    "price_age_seconds": 12,
    "positions_are_complete": True,
    "is_simulated": True,
}
DEBT = POSITION | {
    "asset": "USDC",
    "side": "borrow",
    "quantity": Decimal("50000"),
    "price_usd": Decimal("1"),
    "valuation_price_usd": Decimal("1"),
    "exposure_usd": Decimal("50000"),
    "price_id": "price-2",
}
TRIGGER: dict[str, Any] = {
    "account_id": ACCOUNT,
    "asset": "BTC",
    "threshold": "margin_call",
    "threshold_pct": Decimal("30"),
    "trigger_price_usd": Decimal("65000"),
    "reason": None,
    "price_usd": Decimal("80000"),
    "has_unpriced_other": False,
    "is_simulated": True,
}
VAR: dict[str, Any] = {
    "account_id": ACCOUNT,
    "as_of_date": date(2026, 1, 30),
    "method": "historical_simulation",
    "estimator": "kth_worst_loss",
    "confidence": Decimal("0.99"),
    "horizon_days": 1,
    "horizon_rule": "one_day",
    "window_observations": 500,
    "observations": 500,
    "tail_observations": 5,
    "var_usd": Decimal("4321.123456789"),
    "es_usd": Decimal("5000"),
    "var_lower_usd": Decimal("4000"),
    "var_upper_usd": Decimal("6000"),
    "es_lower_usd": Decimal("4500"),
    "es_upper_usd": None,
    "interval_method": "order_statistics",
    "interval_confidence": Decimal("0.95"),
    "is_fallback": False,
    "reason": None,
    "price_set_id": "closes-1",
    "is_simulated": True,
    "seed": None,
    "code_version": "ballast-0.1.0",
    "computed_at": NOW,
}
BOOK: dict[str, Any] = {
    "accounts": 3,
    "collateral_usd": Decimal("80000"),
    "borrow_usd": Decimal("50000"),
    "health_pct": Decimal("60"),
    "healthy": 1,
    "margin_call": 0,
    "liquidation": 0,
    "unpriced": 1,
    "no_debt": 1,
    "late_events_pending": 0,
    "oldest_price_age_seconds": 12,
    "is_complete": False,
    "is_simulated": True,
    "measured_at": NOW,
}

Answer = list[dict[str, Any]] | Exception | Callable[[], list[dict[str, Any]]]


@dataclass
class FakeReader:
    """Answers each statement with prepared rows, an error, or what a function returns; remembers what was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self.asked.append((sql, dict(parameters or {})))
        answer = self.answers.get(sql, [])
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer


@dataclass(frozen=True)
class Rows:
    """Rows of the marts for one account, for tests to vary."""

    health: dict[str, Any]
    position: dict[str, Any]
    debt: dict[str, Any]
    trigger: dict[str, Any]
    value_at_risk: dict[str, Any]
    book: dict[str, Any]


class _InProcess(httpx.BaseTransport):
    """Sends requests to an ASGI application that runs in another thread's event loop."""

    def __init__(self, app: FastAPI, portal: anyio.from_thread.BlockingPortal) -> None:
        self._asgi = httpx.ASGITransport(app=app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._asgi.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


@pytest.fixture
def rows() -> Rows:
    return Rows(dict(HEALTH), dict(POSITION), dict(DEBT), dict(TRIGGER), dict(VAR), dict(BOOK))


@pytest.fixture
def reader(rows: Rows) -> FakeReader:
    """One healthy account with a debt, and its book."""
    return FakeReader(
        {
            queries.MARGIN_HEALTH_SQL: [rows.health],
            queries.ACCOUNT_EXPOSURES_SQL: [rows.position, rows.debt],
            queries.LIQUIDATION_PRICES_SQL: [rows.trigger],
            queries.ACCOUNT_VAR_SQL: [rows.value_at_risk],
            queries.BOOK_SUMMARY_SQL: [rows.book],
            queries.BOOK_VAR_SQL: [rows.value_at_risk],
            HEALTH_PAGE_SQL: [rows.health],
            DEFAULT_THRESHOLDS_SQL: [THRESHOLDS],
            "select 1 as one": [{"one": 1}],
        }
    )


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def settings() -> Settings:
    return Settings(api_token=SecretStr(TOKEN), sealing_key=SecretStr(new_key()))


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A database in memory without tables: what reads from it answers not_ready. The tables are PostgreSQL's own."""
    made = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    yield made
    made.dispose()


@pytest.fixture
def make_app(settings: Settings, reader: FakeReader, engine: Engine) -> Callable[..., FastAPI]:
    """The application on the fake reader; keyword arguments replace those of `create_app`."""

    def make(**changes: Any) -> FastAPI:
        arguments: dict[str, Any] = {"warehouse": reader, "engine": engine, "clock": FixedClock(NOW)}
        return create_app(changes.pop("settings", settings), **(arguments | changes))

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., httpx.Client]]:
    """Start an application with its lifespan and give a client that holds the token (or `token`, or none)."""
    with contextlib.ExitStack() as stack:

        def start(app: FastAPI, token: str | None = TOKEN) -> httpx.Client:
            portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
            transport = _InProcess(app, portal)
            return stack.enter_context(httpx.Client(transport=transport, base_url="http://api", headers=headers))

        yield start


@pytest.fixture
def client(make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]) -> httpx.Client:
    """A client with the token."""
    return serve(make_app())

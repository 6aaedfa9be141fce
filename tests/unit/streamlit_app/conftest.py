"""A book without a warehouse: rows for each query of `assets.risk.queries`, and the app under Streamlit's AppTest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.caching import cache_utils
from streamlit.testing.v1 import AppTest

from assets.risk import overview_queries, queries, stress_queries, var_queries
from compliance.model import Role
from infra.runtime.clock import FixedClock
from infra.runtime.settings import PROJECT_ROOT, Settings
from streamlit_app import data, visitor
from streamlit_app.visitor import Visitor

OFFICER = Visitor("ann", Role.OFFICER)
NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
SCRIPT = PROJECT_ROOT / "streamlit_app" / "app.py"
Row = dict[str, Any]
Answer = Callable[[Mapping[str, Any]], list[Row]]


def _health_row(account_id: str, health: str | None, status: str, **other: Any) -> Row:
    """One row of risk.margin_health with 100,000 USD of debt."""
    borrow = Decimal(0) if status == "no_debt" else Decimal("100000")
    collateral = borrow * (1 + Decimal(health) / 100) if health is not None else Decimal("130000")
    row: Row = {
        "account_id": account_id,
        "status": status,
        "health_pct": None if health is None else Decimal(health),
        "collateral_usd": collateral,
        "borrow_usd": borrow,
        "margin_call_threshold_pct": Decimal(30),
        "liquidation_threshold_pct": Decimal(15),
        "recovery_margin_pct": Decimal(2),
        "unpriced_assets": None,
        "has_borrow": status != "no_debt",
        "has_degraded_price": False,
        "has_negative_position": False,
        "price_ids": "p1,p2",
        "oldest_price_at": NOW - timedelta(seconds=90),
        "oldest_price_age_seconds": 90,
        "late_events_pending": 0,
        "last_event_at": NOW - timedelta(hours=3),
        "is_simulated": True,
        "measured_at": NOW,
    }
    return row | other


def _exposure_row(account_id: str, asset: str, side: str, quantity: str, price: str | None, **other: Any) -> Row:
    """One row of risk.account_exposures."""
    row: Row = {
        "account_id": account_id,
        "asset": asset,
        "side": side,
        "quantity": Decimal(quantity),
        "price_usd": None if price is None else Decimal(price),
        "exposure_usd": None if price is None else Decimal(quantity) * Decimal(price),
        "price_id": f"price-{asset}",
        "price_status": "missing" if price is None else "ok",
        "price_observed_at": NOW - timedelta(seconds=90),
        "price_age_seconds": None if price is None else 90,
        "is_simulated": True,
        "accounts": 7,
    }
    return row | other


def trigger_row(account_id: str, asset: str, threshold: str, trigger: str | None, **other: Any) -> Row:
    """One row of risk.liquidation_prices at a price of 70,000 USD."""
    row: Row = {
        "account_id": account_id,
        "asset": asset,
        "threshold": threshold,
        "threshold_pct": Decimal(30 if threshold == "margin_call" else 15),
        "trigger_price_usd": None if trigger is None else Decimal(trigger),
        "reason": None if trigger is not None else "covered_without_asset",
        "price_usd": Decimal(70000),
        "has_unpriced_other": False,
        "is_simulated": True,
    }
    return row | other


def var_row(confidence: str, var: str | None, shortfall: str | None, tail: int, **other: Any) -> Row:
    """One row of risk.book_var or risk.portfolio_var."""
    row: Row = {
        "account_id": None,
        "as_of_date": date(2026, 3, 1),
        "method": "historical_simulation",
        "estimator": "kth_worst_loss",
        "confidence": Decimal(confidence),
        "horizon_days": 1,
        "horizon_rule": "one_day",
        "window_observations": 500,
        "observations": 500,
        "tail_observations": tail,
        "var_usd": None if var is None else Decimal(var),
        "es_usd": None if shortfall is None else Decimal(shortfall),
        "var_lower_usd": None if var is None else Decimal(var) - 100,
        "var_upper_usd": None if var is None else Decimal(var) + 200,
        "es_lower_usd": None,
        "es_upper_usd": None,
        "interval_method": "order_statistics",
        "interval_confidence": Decimal("0.95"),
        "is_fallback": False,
        "reason": None if var is not None else "SOL has 120 of 500 returns",
        "price_set_id": "simulated-42",
        "is_simulated": True,
        "seed": None,
        "code_version": "ballast-0.1.0",
        "computed_at": NOW - timedelta(hours=6),
    }
    return row | other


def backtest_row(kind: str, period: str, verdict: str, reason: str, days: int = 923) -> Row:
    """One row of risk.var_backtests for the book at 99%."""
    return {
        "as_of_date": date(2026, 3, 1),
        "backtest_kind": kind,
        "subject_kind": "book",
        "subject_id": "book",
        "method": "historical_simulation",
        "confidence": Decimal("0.99"),
        "period": period,
        "observations": days,
        "missing": 0,
        "exceptions": 11 if days > 250 else 3,
        "expected_exceptions": Decimal(days) / 100,
        "verdict": verdict,
        "verdict_reason": reason,
        "is_simulated": True,
    }


def component_row(asset: str, shortfall: str) -> Row:
    """One row of risk.var_components by asset; the book's Expected Shortfall is 800 USD."""
    return {
        "part_kind": "asset",
        "part_id": asset,
        "as_of_date": date(2026, 3, 1),
        "confidence": Decimal("0.99"),
        "exposure_usd": Decimal(shortfall) * 100,
        "component_var_usd": Decimal(shortfall) / 2,
        "component_es_usd": Decimal(shortfall),
        "book_var_usd": Decimal(400),
        "book_es_usd": Decimal(800),
        "reason": None,
        "is_simulated": True,
    }


def stress_row(scenario_id: str, name: str, pnl: str | None) -> Row:
    """One row of risk.stress_results; without a P&L nothing of it is known."""
    known = pnl is not None
    return {
        "as_of_date": date(2026, 3, 1),
        "scenario_id": scenario_id,
        "kind": "historical",
        "name": name,
        "accounts": 3,
        "unknown_accounts": 0 if known else 3,
        "pnl_usd": Decimal(pnl) if pnl is not None else None,
        "margin_call_accounts": 1 if known else None,
        "liquidation_accounts": 2 if known else None,
        "collateral_to_sell_usd": Decimal(1234) if known else None,
        "bad_debt_usd": Decimal(0) if known else None,
        "shock_sources": "closes,proxy",
        "reason": None if known else "3 of 3 accounts unknown: no shock of NEW",
        "is_simulated": True,
    }


def event_row(number: int, account_id: str, severity: str, health: str | None) -> Row:
    """One row of risk.margin_events."""
    return {
        "margin_event_id": f"margin-event-{number}",
        "account_id": account_id,
        "severity": severity,
        "episode_id": "episode-1",
        "transition_number": number,
        "health_pct": None if health is None else Decimal(health),
        "collateral_usd": Decimal("128900.10"),
        "borrow_usd": Decimal(100000),
        "threshold_pct": Decimal(30) if health is not None else None,
        "price_ids": "p1",
        "detected_at": NOW - timedelta(minutes=17 * number),
        "is_simulated": True,
    }


def price_row(asset: str, price: str | None, status: str = "ok", age: int | None = 12, **other: Any) -> Row:
    """One row of the prices that valuation uses."""
    row: Row = {
        "asset": asset,
        "price_usd": None if price is None else Decimal(price),
        "confidence_usd": Decimal("10.5"),
        "observed_at": None if age is None else NOW - timedelta(seconds=age),
        "published_at": NOW - timedelta(seconds=5),
        "price_status": status,
        "degraded_reason": None,
        "price_age_seconds": age,
        "price_max_age_seconds": 3600,
        "is_simulated": True,
        "sources": '[{"name": "pyth"}, {"name": "chainlink"}]',
    }
    return row | other


def point_row(asset: str, price: str, minutes_ago: float) -> Row:
    """A price of an asset in the past."""
    return {"asset": asset, "price_usd": Decimal(price), "published_at": NOW - timedelta(minutes=minutes_ago)}


def change_row(account_id: str, severity: str, before: str | None, minutes_ago: float) -> Row:
    """A transition of an account in the last hour."""
    return {
        "account_id": account_id,
        "severity": severity,
        "previous_severity": before,
        "detected_at": NOW - timedelta(minutes=minutes_ago),
        "is_simulated": True,
    }


def flow_row(kind: str, value: str | None) -> Row:
    """What settled of a kind in the last hour."""
    known = None if value is None else Decimal(value)
    return {"kind": kind, "events": 3, "accounts": 2, "value_usd": known, "is_simulated": True}


@dataclass
class FakeReader:
    """Answers each query of `assets.risk.queries` from a small book; `error` fails every read, `errors` some."""

    accounts: list[Row] = field(default_factory=list)
    positions: dict[str, list[Row]] = field(default_factory=dict)
    triggers: dict[str, list[Row]] = field(default_factory=dict)
    estimates: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    backtests: list[Row] = field(default_factory=list)
    components: list[Row] = field(default_factory=list)
    stress: list[Row] = field(default_factory=list)
    prices: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)
    flows: list[Row] = field(default_factory=list)
    error: Exception | None = None
    errors: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows of a known query."""
        self.asked.append(sql)
        if self.error is not None:
            raise self.error
        if sql in self.errors:
            raise self.errors[sql]
        return self._answers()[sql](parameters or {})

    def summary(self) -> Row:
        """The row of the book's summary, from the accounts."""
        statuses = [row["status"] for row in self.accounts]
        collateral = sum((row["collateral_usd"] for row in self.accounts), Decimal(0))
        borrow = sum((row["borrow_usd"] for row in self.accounts), Decimal(0))
        return {
            "accounts": len(statuses),
            "collateral_usd": collateral,
            "borrow_usd": borrow,
            "health_pct": (collateral - borrow) / borrow * 100 if borrow else None,
            **{name: statuses.count(name) for name in ("healthy", "margin_call", "liquidation", "unpriced", "no_debt")},
            "late_events_pending": 0,
            "oldest_price_age_seconds": max((row["oldest_price_age_seconds"] for row in self.accounts), default=None),
            "is_complete": "unpriced" not in statuses,
            "is_simulated": any(row["is_simulated"] for row in self.accounts),
            "measured_at": NOW if statuses else None,
        }

    def _answers(self) -> dict[str, Answer]:
        return {
            queries.BOOK_SUMMARY_SQL: lambda _: [self.summary()],
            queries.ACCOUNT_IDS_SQL: lambda _: [{"account_id": row["account_id"]} for row in self.accounts],
            queries.NEAREST_TO_CALL_SQL: lambda given: self.accounts[: given["max_rows"]],
            overview_queries.MARGIN_HEALTHS_SQL: lambda given: [
                row for row in self.accounts if row["account_id"] in given["account_ids"]
            ],
            overview_queries.EXPOSURES_OF_ACCOUNTS_SQL: lambda given: [
                row for account_id in given["account_ids"] for row in self.positions.get(account_id, [])
            ],
            queries.ASSET_EXPOSURES_SQL: lambda _: [row for rows in self.positions.values() for row in rows],
            queries.LIQUIDATION_PRICES_SQL: lambda given: [
                row for account_id in given["account_ids"] for row in self.triggers.get(account_id, [])
            ],
            queries.BOOK_VAR_SQL: lambda _: self.estimates,
            queries.ACCOUNT_VAR_SQL: lambda _: self.estimates,
            var_queries.BACKTESTS_SQL: lambda _: self.backtests,
            var_queries.COMPONENTS_SQL: lambda _: self.components,
            stress_queries.STRESS_RESULTS_SQL: lambda _: self.stress,
            overview_queries.ASSET_PRICES_SQL: lambda _: self.prices,
            overview_queries.PRICE_POINTS_SQL: lambda _: self.points,
            overview_queries.STATUS_CHANGES_SQL: lambda _: self.changes,
            overview_queries.FLOWS_SQL: lambda _: self.flows,
            queries.MARGIN_EVENTS_SQL: lambda given: [
                row for row in self.events if given["account_id"] in ("", row["account_id"])
            ],
        }


def small_book() -> FakeReader:
    """Three accounts: acct-00001 healthy, acct-00002 below margin call, acct-00003 without debt."""
    return FakeReader(
        accounts=[
            _health_row("acct-00002", "28.9", "margin_call"),
            _health_row("acct-00001", "58.25", "healthy"),
            _health_row("acct-00003", None, "no_debt"),
        ],
        positions={
            "acct-00001": [
                _exposure_row("acct-00001", "BTC", "collateral", "1.5", "70000"),
                _exposure_row("acct-00001", "SOL", "collateral", "250", "150.25"),
                _exposure_row("acct-00001", "USDC", "borrow", "100000", "1"),
            ]
        },
        triggers={
            "acct-00001": [
                trigger_row("acct-00001", "BTC", "margin_call", "65000"),
                trigger_row("acct-00001", "BTC", "liquidation", "57500"),
                trigger_row("acct-00001", "SOL", "margin_call", None),
                trigger_row("acct-00001", "SOL", "liquidation", None),
            ]
        },
        estimates=[var_row("0.95", "5100.10", "7000.2", 25), var_row("0.99", None, None, 5)],
        events=[event_row(1, "acct-00002", "margin_call", "28.9")],
        backtests=[
            backtest_row("history", "all_days", "green", "11 exceptions in 923 days: coverage holds"),
            backtest_row("stored_forecasts", "all_days", "unknown", "3 exceptions in 20 days: too few", 20),
        ],
        components=[component_row("BTC", "900"), component_row("USDC", "-100")],
        stress=[stress_row("covid_2020_03", "March 2020", "-70000"), stress_row("ladder_60", "Ladder -60%", None)],
        prices=[price_row("BTC", "70000"), price_row("SOL", "150.25", "degraded", degraded_reason="one_source")],
        points=[point_row("BTC", "68600", 61), point_row("BTC", "69000", 30), point_row("BTC", "70000", 1)],
        changes=[change_row("acct-00002", "margin_call", None, 17)],
        flows=[flow_row("deposit", "1234.5"), flow_row("withdrawal", None)],
    )


@dataclass
class App:
    """The app under AppTest, its reader and its clock."""

    at: AppTest
    reader: FakeReader
    clock: FixedClock

    def open(self) -> App:
        """Run the app as the officer."""
        self.at.run()
        return self

    def run(self, seconds_later: float = 0) -> App:
        """Run the page again at a later time."""
        self.clock.advance(timedelta(seconds=seconds_later))
        self.at.run()
        return self

    def another_session(self) -> App:
        """A second browser of the officer, on the same process."""
        other = App(AppTest.from_file(str(SCRIPT), default_timeout=30), self.reader, self.clock)
        return other.open()

    def html(self) -> str:
        """The app's own markup on the page, in order."""
        return "\n".join(part["html"] for part in self.parts().values())

    def words(self) -> str:
        """What the app's own markup says, without tags."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.html())).split())

    def parts(self) -> dict[str, dict[str, Any]]:
        """The markup of each part by its name, its ages and whether it is old; AppTest shows components raw."""
        found = {}
        for element in self.at.main:
            if element.type == "bidi_component":
                message = json.loads(element.proto.mixed.json or element.proto.json)
                for name, html in message["sections"]:
                    found[name] = {"html": html, "ages": message["ages"], "is_old": message["is_old"]}
        return found


@pytest.fixture
def health_row() -> Callable[..., Row]:
    """Makes rows of risk.margin_health."""
    return _health_row


@pytest.fixture
def exposure_row() -> Callable[..., Row]:
    """Makes rows of risk.account_exposures."""
    return _exposure_row


@pytest.fixture
def now_clock() -> FixedClock:
    """A clock that stands at `NOW`."""
    return FixedClock(NOW)


@pytest.fixture
def book() -> FakeReader:
    """The small book."""
    return small_book()


@pytest.fixture
def app(book: FakeReader, now_clock: FixedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[App]:
    """The whole app over the fake reader, for an officer."""
    clock = now_clock
    configured = Settings(state_dir=tmp_path)
    monkeypatch.setattr(data, "open_reader", lambda: book)
    monkeypatch.setattr(data, "system_clock", lambda: clock)
    monkeypatch.setattr(data, "load_settings", lambda: configured)
    monkeypatch.setattr(visitor, "current", lambda: OFFICER)
    # Streamlit's caches take their clock when they are made, which is after the clearing below.
    monkeypatch.setattr(cache_utils, "TTLCACHE_TIMER", lambda: clock.at.timestamp())
    st.cache_data.clear()
    st.cache_resource.clear()
    yield App(AppTest.from_file(str(SCRIPT), default_timeout=30), book, clock)
    st.cache_data.clear()
    st.cache_resource.clear()

"""The reads of the pages: typed queries of the risk marts through one shared warehouse and one shared cache.

However many sessions and listeners look, each query runs at most once in `LIVE_TTL_S` seconds. Pages, the hub of live
topics and the light page read through here alike, in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar, cast

import streamlit as st

from assets.risk import overview_queries, queries, stress_queries, var_queries
from assets.risk.queries import Reader
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.settings import Settings, load_settings
from streamlit_app.reads import LastGood, ProblemKind, Read, Reading, ReadKey, SharedReads, Watched

# Less than the time between two looks of the hub: its own last read must not be served to it again.
LIVE_TTL_S = 0.4
LIVE_MAX_AGE = timedelta(seconds=LIVE_TTL_S)
PRICES_MAX_AGE = timedelta(seconds=1)
SECONDARY_MAX_AGE = timedelta(seconds=5)
SLOW_MAX_AGE = timedelta(seconds=60)
# A page that waits is worse than one that says it waits: the next run tries again.
READ_DEADLINE_S = 3.0
LATELY = timedelta(hours=1)
MOVE_SLACK = timedelta(minutes=12)
POINTS_MAX_AGE = timedelta(seconds=20)
NEAREST_ROWS = 12
EVENT_ROWS = 12
EVENT_DAYS = 7

Value = TypeVar("Value")


@dataclass(frozen=True)
class BookReadings:
    """What the live part of the book rests on, read together."""

    summary: Reading[queries.BookSummary]
    nearest: Reading[list[queries.MarginHealth]]
    exposures: Reading[list[queries.AssetExposure]]


@dataclass(frozen=True)
class AccountReadings:
    """What the live part of an account rests on, read together.

    `health` with a value of None and no problem: the account has no position.
    """

    health: Reading[queries.MarginHealth | None]
    exposures: Reading[list[queries.Exposure]]
    triggers: Reading[list[queries.LiquidationPrice]]


@dataclass(frozen=True)
class ModelReadings:
    """What questions the book's figures, read together: backtests, components by asset, stress."""

    backtests: Reading[list[var_queries.VarBacktest]]
    components: Reading[list[var_queries.VarComponent]]
    stress: Reading[list[stress_queries.StressResult]]


@dataclass(frozen=True)
class LatelyReadings:
    """The prices now, and what the last hour brought, read together."""

    prices: Reading[list[overview_queries.AssetPrice]]
    points: Reading[list[overview_queries.PricePoint]]
    changes: Reading[list[overview_queries.StatusChange]]
    flows: Reading[list[overview_queries.Flow]]


def open_reader() -> Reader:
    """A new connection to the warehouse of the settings."""
    return Warehouse(settings(), deadline_s=READ_DEADLINE_S)


def system_clock() -> Clock:
    """The clock by which ages are told."""
    return SystemClock()


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The settings of this process."""
    return load_settings()


@st.cache_resource(show_spinner=False)
def reader() -> Reader:
    """The warehouse that all sessions share."""
    return open_reader()


@st.cache_resource(show_spinner=False)
def last_good() -> LastGood:
    """The last good value of each read, shared by all sessions."""
    return LastGood(system_clock())


@st.cache_resource(show_spinner=False)
def shared() -> SharedReads:
    """The reads that all sessions and listeners share."""
    return SharedReads(reader(), last_good(), READ_DEADLINE_S)


def _read(key: ReadKey, run: Callable[[Reader], Value], max_age: timedelta) -> Reading[Value]:
    return cast(Reading[Value], shared().together(Read(key, run, max_age))[0])


@st.cache_resource(show_spinner=False)
def watched() -> Watched:
    """The accounts that somebody looks at."""
    return Watched(system_clock())


def book() -> BookReadings:
    """The book now."""
    summary, nearest, exposures = shared().together(
        Read(("book_summary",), queries.book_summary, LIVE_MAX_AGE),
        Read(("nearest_to_call",), lambda source: queries.nearest_to_call(source, NEAREST_ROWS), LIVE_MAX_AGE),
        Read(("asset_exposures",), queries.asset_exposures, LIVE_MAX_AGE),
    )
    return BookReadings(summary, nearest, exposures)


def account(account_id: str) -> AccountReadings:
    """One account now, read together with the others that somebody looks at."""
    ids = watched().with_name(account_id)
    healths, exposures, triggers = shared().together(
        Read(("margin_healths", ids), lambda source: overview_queries.margin_healths(source, ids), LIVE_MAX_AGE),
        Read(("exposures_of", ids), lambda source: overview_queries.exposures_of(source, ids), LIVE_MAX_AGE),
        Read(("account_triggers", ids), lambda source: overview_queries.triggers_of(source, ids), LIVE_MAX_AGE),
    )
    kept = last_good()
    return AccountReadings(
        kept.part(("margin_health", account_id), healths, account_id, None),
        kept.part(("account_exposures", account_id), exposures, account_id, []),
        kept.part(("account_triggers_of", account_id), triggers, account_id, []),
    )


def account_ids() -> Reading[list[str]]:
    """Ids of the accounts with a position."""
    return _read(("account_ids",), queries.account_ids, SECONDARY_MAX_AGE)


def triggers_of(account_ids: Sequence[str]) -> Reading[list[queries.LiquidationPrice]]:
    """Trigger prices of several accounts, at most `SECONDARY_MAX_AGE` old."""
    wanted = tuple(sorted(account_ids))
    return _read(("triggers_of", *wanted), lambda source: queries.liquidation_prices(source, wanted), SECONDARY_MAX_AGE)


def margin_events(account_id: str | None) -> Reading[list[queries.MarginEventRow]]:
    """The last transitions of an account, or of all (None), no older than `EVENT_DAYS`."""
    since = _full_hour(system_clock().now()) - timedelta(days=EVENT_DAYS)
    return _read(
        ("margin_events", account_id, since),
        lambda source: queries.margin_events(source, since, account_id, EVENT_ROWS),
        SECONDARY_MAX_AGE,
    )


def lately() -> LatelyReadings:
    """The prices as valuation sees them, and what changed in the last hour."""
    now = _full_minute(system_clock().now())
    hour_ago = now - LATELY
    prices, points, changes, flows = shared().together(
        Read(("asset_prices",), lambda source: overview_queries.asset_prices(source, now), PRICES_MAX_AGE),
        Read(
            ("price_points",),
            lambda source: overview_queries.price_points(source, hour_ago - MOVE_SLACK),
            POINTS_MAX_AGE,
        ),
        Read(("status_changes",), lambda source: overview_queries.status_changes(source, hour_ago), SECONDARY_MAX_AGE),
        Read(("flows",), lambda source: overview_queries.flows(source, hour_ago), SECONDARY_MAX_AGE),
    )
    return LatelyReadings(prices, points, changes, flows)


def has_book() -> bool:
    """Whether the marts are there and hold an account, as far as the last seconds tell."""
    summary = _read(("book_summary",), queries.book_summary, SECONDARY_MAX_AGE)
    is_absent = summary.problem is not None and summary.problem.kind is ProblemKind.NOT_BUILT
    return summary.value is not None and summary.value.accounts > 0 and not is_absent


def value_at_risk(account_id: str | None) -> Reading[list[queries.ValueAtRisk]]:
    """The latest estimates of an account, or of the book (None)."""
    if account_id is None:
        return _read(("book_var",), queries.book_var, SLOW_MAX_AGE)
    return _read(("account_var", account_id), lambda source: queries.account_var(source, [account_id]), SLOW_MAX_AGE)


def model_of_book() -> ModelReadings:
    """The latest verdicts on the book's figures, what they are made of, and what lies beyond them."""
    backtests, components, stress = shared().together(
        Read(("var_backtests",), var_queries.var_backtests, SLOW_MAX_AGE),
        Read(("var_components",), lambda source: var_queries.var_components(source, "asset"), SLOW_MAX_AGE),
        Read(("stress_results",), stress_queries.stress_results, SLOW_MAX_AGE),
    )
    return ModelReadings(backtests, components, stress)


def _full_hour(at: datetime) -> datetime:
    # A time that changed with each run would make every read a new one.
    return at.replace(minute=0, second=0, microsecond=0)


def _full_minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)

"""What the exports hold, read together at the moment of the export; nothing comes from a cache."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from assets.risk import account_queries, queries, var_queries
from assets.risk.account_queries import OwnThresholds
from assets.risk.queries import (
    AssetExposure,
    BookSummary,
    Exposure,
    LiquidationPrice,
    MarginEventRow,
    MarginHealth,
    Reader,
    ValueAtRisk,
)
from assets.risk.var_queries import VarBacktest
from infra.runtime.errors import BallastError

EVENTS_WITHIN = timedelta(days=30)
EVENT_ROWS = 25
NEAREST_ROWS = 40


class UnknownAccountError(BallastError):
    """The account has no position, so there is nothing to export."""

    code = "account_unknown"


@dataclass(frozen=True)
class BookContent:
    """The book at `as_of` (UTC)."""

    as_of: datetime
    summary: BookSummary
    assets: list[AssetExposure]
    nearest: list[MarginHealth]
    estimates: list[ValueAtRisk]
    backtests: list[VarBacktest]
    events: list[MarginEventRow]


@dataclass(frozen=True)
class AccountContent:
    """One account at `as_of` (UTC)."""

    as_of: datetime
    health: MarginHealth
    positions: list[Exposure]
    triggers: list[LiquidationPrice]
    estimates: list[ValueAtRisk]
    events: list[MarginEventRow]
    own_thresholds: OwnThresholds | None


def read_book(reader: Reader, as_of: datetime) -> BookContent:
    """The book now; raises what the warehouse raises, for a report with holes would be taken for a whole one."""
    return BookContent(
        as_of,
        queries.book_summary(reader),
        queries.asset_exposures(reader),
        queries.nearest_to_call(reader, NEAREST_ROWS),
        queries.book_var(reader),
        var_queries.var_backtests(reader),
        queries.margin_events(reader, as_of - EVENTS_WITHIN, None, EVENT_ROWS),
    )


def read_account(reader: Reader, account_id: str, as_of: datetime) -> AccountContent:
    """One account now; raises `UnknownAccountError` and what the warehouse raises."""
    return AccountContent(
        as_of,
        read_health(reader, account_id),
        queries.account_exposures(reader, account_id),
        queries.liquidation_prices(reader, [account_id]),
        queries.account_var(reader, [account_id]),
        queries.margin_events(reader, as_of - EVENTS_WITHIN, account_id, EVENT_ROWS),
        account_queries.own_thresholds(reader, account_id),
    )


def read_health(reader: Reader, account_id: str) -> MarginHealth:
    """The account's health now; raises `UnknownAccountError`."""
    found = queries.margin_health(reader, account_id)
    if found is None:
        raise UnknownAccountError(f"{account_id} has no position, so there is nothing to export.")
    return found

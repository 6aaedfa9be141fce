"""Typed reads of what risk is computed from: closes of the active price set, positions as of a day, stored figures.

`ClosesCache` keeps the closes between reads, for a price set never changes under its id.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from functools import cached_property

from assets.risk.engine.batch import Histories
from assets.risk.engine.history import Closes, closes_of
from assets.risk.engine.methods import STANDARD_WINDOW
from assets.risk.queries import Reader, ValueAtRisk, read_rows
from infra.runtime.errors import NotReadyError
from ingest.closes import ACTIVE_PRICE_SET_SQL

# How long a price set that was replaced may still be used.
CHECK_ACTIVE_EVERY_S = 15.0
# Histories that are kept: each holds returns, resamples and simulated paths of its own window, some ten MB.
KEPT_HISTORIES = 4

# One row an asset, its closes in one text: as rows of their own, 100 assets of three years take ten times as long.
CLOSES_SQL = """
select
    price_set_id,
    as_of_date,
    asset,
    logical_or(is_simulated) as is_simulated,
    string_agg(concat(cast(price_date as string), ' ', cast(close_usd as string)), ',') as closes
from staging.stg_market__daily_closes
where (@is_every_asset or asset in unnest(@assets)) and price_date <= @until
group by price_set_id, as_of_date, asset
order by asset
"""

# Without an account id it is the book.
POSITIONS_SQL = """
select
    asset,
    sum(if(side = 'collateral' and occurred_at < @day_end, signed_quantity, bignumeric '0')) as collateral_quantity,
    sum(if(side = 'borrow' and occurred_at < @day_end, signed_quantity, bignumeric '0')) as borrow_quantity
from intermediate.int_settlements__events_deduped
where @account_id = '' or account_id = @account_id
group by asset
order by asset
"""

# A price set may be replaced within a day: the figures of the one that was computed last count.
STORED_ACCOUNT_VAR_SQL = """
select *
from risk.portfolio_var
where account_id = @account_id and as_of_date = @as_of
qualify
    row_number() over (
        partition by method, horizon_days, window_observations, confidence order by computed_at desc
    ) = 1
"""

STORED_BOOK_VAR_SQL = """
select *
from risk.book_var
where as_of_date = @as_of
qualify
    row_number() over (
        partition by method, horizon_days, window_observations, confidence order by computed_at desc
    ) = 1
"""


@dataclass(frozen=True)
class PriceSetCloses:
    """Closes of one price set; `as_of_date` is the last day on which all its assets have one."""

    price_set_id: str
    as_of_date: date
    closes: Closes
    simulated_assets: frozenset[str]

    @cached_property
    def assets(self) -> tuple[str, ...]:
        """Assets with a close, sorted."""
        return tuple(sorted(self.closes.by_asset))

    @cached_property
    def first_date(self) -> date:
        """The first day on which any asset has a close."""
        return min(min(days) for days in self.closes.by_asset.values())

    def latest(self, asset: str, as_of: date) -> tuple[date, Decimal] | None:
        """Day and USD of the last close of `asset` up to `as_of`; None where it has none."""
        days = self.closes.by_asset.get(asset, {})
        found = as_of if as_of in days else max((day for day in days if day <= as_of), default=None)
        return None if found is None else (found, days[found])

    def histories(self, as_of: date, assets: Sequence[str] | None = None) -> Histories:
        """What the engine estimates from, of all assets unless some are named."""
        return Histories(self.closes, self.assets if assets is None else tuple(assets), as_of, self.price_set_id)


@dataclass(frozen=True)
class AssetPosition:
    """Units of one asset that were held and owed; below zero where an event is missing."""

    asset: str
    collateral_quantity: Decimal
    borrow_quantity: Decimal

    @property
    def is_open(self) -> bool:
        """Whether anything is held or owed."""
        return self.collateral_quantity != 0 or self.borrow_quantity != 0

    @property
    def net_quantity(self) -> Decimal:
        """Held less owed."""
        return self.collateral_quantity - self.borrow_quantity


def active_price_set_id(reader: Reader) -> str:
    """The price set that risk uses now; `NotReadyError` before the first one."""
    rows = reader.query(ACTIVE_PRICE_SET_SQL)
    if not rows:
        raise NotReadyError(
            "No daily closes were ever loaded. Wait for the first load, or materialize them in Dagster."
        )
    return str(rows[0]["price_set_id"])


def read_closes(
    reader: Reader, assets: Sequence[str] | None = None, until: date | None = None
) -> PriceSetCloses | None:
    """Closes of the active price set, of all assets and days unless told; None where there is none of them."""
    rows = reader.query(
        CLOSES_SQL,
        {"is_every_asset": assets is None, "assets": list(assets or ()), "until": until or date.max},
    )
    if not rows:
        return None
    simulated = frozenset(str(row["asset"]) for row in rows if row["is_simulated"])
    closes = closes_of(each for row in rows for each in _unpacked(row["asset"], row["closes"]))
    return PriceSetCloses(rows[0]["price_set_id"], rows[0]["as_of_date"], closes, simulated)


def _unpacked(asset: str, closes: str) -> Iterator[tuple[str, date, Decimal]]:
    for close in closes.split(","):
        day, close_usd = close.split(" ")
        yield asset, date.fromisoformat(day), Decimal(close_usd)


def account_positions(reader: Reader, account_id: str, as_of: date) -> list[AssetPosition] | None:
    """What an account held and owed at the end of a UTC day, as far as compacted; None if it never had an event."""
    return (
        read_rows(reader, AssetPosition, POSITIONS_SQL, {"account_id": account_id, "day_end": _end_of(as_of)}) or None
    )


def book_positions(reader: Reader, as_of: date) -> list[AssetPosition]:
    """What all accounts held and owed at the end of a UTC day, as far as compacted."""
    return read_rows(reader, AssetPosition, POSITIONS_SQL, {"account_id": "", "day_end": _end_of(as_of)})


def stored_account_var(reader: Reader, account_id: str, as_of: date) -> list[ValueAtRisk]:
    """Every estimate of an account that is stored for a day."""
    return read_rows(reader, ValueAtRisk, STORED_ACCOUNT_VAR_SQL, {"account_id": account_id, "as_of": as_of})


def stored_book_var(reader: Reader, as_of: date) -> list[ValueAtRisk]:
    """Every estimate of the book that is stored for a day."""
    return read_rows(reader, ValueAtRisk, STORED_BOOK_VAR_SQL, {"as_of": as_of})


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time_of_day(), UTC)


@dataclass
class ClosesCache:
    """Closes of the active price set, read once for all callers, and what the engine made of them.

    Safe to share between threads: one reads while the others wait, or, where closes are there already, go on with
    these. Which set is active is asked again every `check_every_s` seconds of `monotonic`.
    """

    check_every_s: float = CHECK_ACTIVE_EVERY_S
    monotonic: Callable[[], float] = time.monotonic
    _kept: PriceSetCloses | None = field(default=None, init=False)
    _checked_at: float = field(default=0.0, init=False)
    _reading: threading.Lock = field(default_factory=threading.Lock, init=False)
    _histories: OrderedDict[tuple[object, ...], Histories] = field(default_factory=OrderedDict, init=False)
    _using: threading.Lock = field(default_factory=threading.Lock, init=False)

    def price_set(self, reader: Reader) -> PriceSetCloses:
        """Closes of the active price set; `NotReadyError` before the first one."""
        kept = self._fresh()
        if kept is not None:
            return kept
        kept = self._kept
        if not self._reading.acquire(blocking=kept is None):
            assert kept is not None
            return kept
        try:
            return self._fresh() or self._renewed(reader)
        finally:
            self._reading.release()

    def histories(
        self,
        reader: Reader,
        assets: Sequence[str] | None = None,
        as_of: date | None = None,
        window: int = STANDARD_WINDOW,
    ) -> Histories:
        """What the engine estimates from, on the closes of the active price set."""
        return self.histories_of(self.price_set(reader), assets, as_of, window)

    def histories_of(
        self,
        found: PriceSetCloses,
        assets: Sequence[str] | None = None,
        as_of: date | None = None,
        window: int = STANDARD_WINDOW,
    ) -> Histories:
        """What the engine estimates from up to `as_of` (the set's last day unless told), of all assets unless named.

        One for each `window`, so that what a caller asks for once does not stay for ever. Simulated paths are drawn
        from one fit to all `assets`: a figure by a copula is the stored one only with those that the store used.
        """
        day = as_of or found.as_of_date
        chosen = found.assets if assets is None else tuple(assets)
        key = (found.price_set_id, day, window, chosen)
        with self._using:
            made = self._histories.get(key)
            if made is None:
                made = self._histories[key] = found.histories(day, chosen)
            self._histories.move_to_end(key)
            while len(self._histories) > KEPT_HISTORIES:
                self._histories.popitem(last=False)
        return made

    def _fresh(self) -> PriceSetCloses | None:
        is_fresh = self._kept is not None and self.monotonic() - self._checked_at < self.check_every_s
        return self._kept if is_fresh else None

    def _renewed(self, reader: Reader) -> PriceSetCloses:
        asked_at = self.monotonic()
        kept = self._kept
        if kept is None or kept.price_set_id != active_price_set_id(reader):
            kept = read_closes(reader)
        if kept is None:
            active_price_set_id(reader)
            raise NotReadyError("The active price set has no closes; load it again.")
        self._kept, self._checked_at = kept, asked_at
        return kept

"""The present state that all connections share: health of the accounts subscribed, and the latest prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from api.risk.schemas import HealthView
from api.stream import repository
from api.stream.messages import PriceView
from api.stream.policy import StreamPolicy
from assets.risk.queries import Reader
from infra.runtime.clock import Clock


class HealthSource:
    """Health of every account that somebody subscribed, read in one query; tells the accounts that changed.

    `on_change` gets one account at a time, also where its row is gone.
    """

    def __init__(self, reader: Reader, on_change: Callable[[str], None]) -> None:
        self.rows: dict[str, HealthView] = {}
        self._reader = reader
        self._on_change = on_change
        self._wanted: Counter[str] = Counter()

    def is_wanted(self) -> bool:
        """Whether anybody is subscribed to an account."""
        return bool(self._wanted)

    def count_with(self, accounts: Iterable[str]) -> int:
        """How many accounts would be read if these were wanted too."""
        return len(self._wanted.keys() | set(accounts))

    def want(self, accounts: Iterable[str]) -> None:
        """Read these too."""
        self._wanted.update(accounts)

    def release(self, accounts: Iterable[str]) -> None:
        """One subscriber less for each of these."""
        self._wanted.subtract(accounts)
        for account in [account for account, count in self._wanted.items() if count <= 0]:
            del self._wanted[account]
            self.rows.pop(account, None)

    def plan(self) -> Callable[[], tuple[list[str], dict[str, HealthView]]]:
        """A read of the accounts wanted now."""
        accounts, reader = sorted(self._wanted), self._reader
        return lambda: (accounts, repository.health_of(reader, accounts))

    def apply(self, found: tuple[list[str], dict[str, HealthView]]) -> bool:
        """Take the rows, and tell which accounts changed."""
        asked, rows = found
        for account in asked:
            if account not in self._wanted:
                continue
            old, new = self.rows.get(account), rows.get(account)
            if new is None:
                self.rows.pop(account, None)
            else:
                self.rows[account] = new
            if _told(old) != _told(new):
                self._on_change(account)
        return False


def _told(row: HealthView | None) -> object:
    """What makes a change; ages, the prices' ids and the time of the read change all the time."""
    return None if row is None else row.model_dump(exclude=_PASSING)


_PASSING = {"measured_at", "oldest_price_at", "oldest_price_age_seconds", "price_ids"}


class PriceSource:
    """The latest price of each asset; reads what arrived since, with an overlap for appends that land late."""

    def __init__(self, reader: Reader, clock: Clock, policy: StreamPolicy, on_change: Callable[[str], None]) -> None:
        self.latest: dict[str, PriceView] = {}
        self.subscribers = 0
        self._reader = reader
        self._clock = clock
        self._policy = policy
        self._on_change = on_change
        self._read_at: datetime | None = None

    def is_wanted(self) -> bool:
        """Whether anybody is subscribed."""
        return self.subscribers > 0

    def plan(self) -> Callable[[], tuple[datetime, list[PriceView]]]:
        """A read of what arrived since the last one, or of the whole look-back."""
        now, reader = self._clock.now(), self._reader
        since = now - self._policy.price_lookback
        if self._read_at is not None:
            since = max(since, self._read_at - self._policy.price_overlap)
        return lambda: (now, repository.latest_prices(reader, since))

    def apply(self, found: tuple[datetime, list[PriceView]]) -> bool:
        """Take the later prices, and tell their assets."""
        self._read_at, prices = found
        for price in prices:
            known = self.latest.get(price.asset)
            if known is None or _is_behind(known, price):
                self.latest[price.asset] = price
                self._on_change(price.asset)
        return False


def _is_behind(known: PriceView, other: PriceView) -> bool:
    """Whether `other` is the later one, in the order of the marts."""
    own, others = (known.published_at, known.observed_at), (other.published_at, other.observed_at)
    return own < others or (own == others and other.price_id < known.price_id)

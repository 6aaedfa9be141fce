"""What an asset was worth when something settled: the latest price for what is fresh, the day's close for the past."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from compliance.aml.valuation import Valuation
from infra.runtime.clock import Clock
from infra.runtime.errors import NotReadyError
from ingest.closes_reads import active_closes
from ingest.prices.reads import Reader

FRESH = timedelta(hours=1)
# A weekend and a holiday of whoever loads closes; an older one says nothing of that day.
CLOSE_WITHIN_DAYS = 4
HISTORY_DAYS = 400
KEPT_FOR = timedelta(minutes=5)


class PastPrices(Protocol):
    """Where prices of a time come from."""

    def at(self, when: datetime) -> Valuation:
        """The prices of that time; raises `NotReadyError` where they cannot be read yet."""
        ...


@dataclass(frozen=True, slots=True)
class _OfDay:
    closes_usd: Mapping[tuple[str, date], Decimal]
    day: date

    def price_usd(self, asset: str) -> Decimal | None:
        """The last close up to that day, None where there is none within some days."""
        days = (self.day - timedelta(days=back) for back in range(CLOSE_WITHIN_DAYS))
        return next((close for day in days if (close := self.closes_usd.get((asset, day))) is not None), None)


class ClosesAndLatest:
    """The latest price within an hour, else the close of the active price set; safe for threads.

    Before any closes are loaded the past has no price yet, which is not the same as none: `NotReadyError`.
    """

    def __init__(self, reader: Reader, latest: Valuation, clock: Clock) -> None:
        self._reader, self._latest, self._clock = reader, latest, clock
        self._lock = threading.Lock()
        self._read_at: datetime | None = None
        self._closes_usd: Mapping[tuple[str, date], Decimal] = {}

    def at(self, when: datetime) -> Valuation:
        """The prices of that time; raises `NotReadyError` where they cannot be read yet."""
        now = self._clock.now()
        if now - when <= FRESH:
            return self._latest
        return _OfDay(self._closes(now), when.astimezone(UTC).date())

    def _closes(self, now: datetime) -> Mapping[tuple[str, date], Decimal]:
        with self._lock:
            if self._read_at is None or not timedelta(0) <= now - self._read_at < KEPT_FOR:
                found = active_closes(self._reader, now.astimezone(UTC).date() - timedelta(days=HISTORY_DAYS))
                if not found:
                    raise NotReadyError("No daily closes are loaded, so that past settlements have no price yet.")
                self._closes_usd, self._read_at = found, now
            return self._closes_usd

"""Where sources report to: one queue from their threads to the oracle's."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from datetime import datetime

from ingest.messages import PRICE_DECIMALS, PRICE_LIMIT, READING_DECIMALS
from ingest.prices.ticks import Rejection, SourceFailure, Tick

OUT_OF_RANGE = "out_of_range"
MAX_REFERENCE = 128
_SMALLEST = 10**-PRICE_DECIMALS


@dataclass(frozen=True)
class Answered:
    """The source was read completely."""

    source: str
    at: datetime


@dataclass(frozen=True)
class Broken:
    """The source cannot run until a person mends something, or its thread died; `reason` names no secret."""

    source: str
    code: str
    reason: str
    at: datetime


Event = Tick | Rejection | SourceFailure | Answered | Broken


class Inbox:
    """The sink of all sources; never blocks."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def tick(self, tick: Tick) -> None:
        """A reading; one that no price can hold becomes a rejection."""
        fault = _fault(tick)
        if fault is None:
            self._events.put(tick)
            return
        self._events.put(
            Rejection(
                source=tick.source,
                asset=tick.asset,
                code=OUT_OF_RANGE,
                reason=fault,
                received_at=tick.received_at,
                reference=tick.reference[:MAX_REFERENCE],
            )
        )

    def rejected(self, rejection: Rejection) -> None:
        """A reading that cannot be used."""
        self._events.put(rejection)

    def failed(self, failure: SourceFailure) -> None:
        """The source could not be read."""
        self._events.put(failure)

    def answered(self, source: str, at: datetime) -> None:
        """The source was read completely."""
        self._events.put(Answered(source, at))

    def broken(self, broken: Broken) -> None:
        """The source cannot run."""
        self._events.put(broken)

    def take(self, timeout_s: float) -> list[Event]:
        """All that came in; waits up to `timeout_s` for the first."""
        found: list[Event] = []
        try:
            found.append(self._events.get(timeout=timeout_s))
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            return found


def _fault(tick: Tick) -> str | None:
    """Why no price of ours can hold the reading; None where one can."""
    price, confidence = tick.price_usd, tick.confidence_usd
    if not price.is_finite() or not _SMALLEST <= price < PRICE_LIMIT:
        return f"the price is not from {_SMALLEST:.0e} to {PRICE_LIMIT:.0e} USD"
    if confidence is not None and not (confidence.is_finite() and 0 <= confidence < PRICE_LIMIT):
        return "the confidence is no width in USD"
    numbers = (price,) if confidence is None else (price, confidence)
    if any(-int(number.as_tuple().exponent) > READING_DECIMALS for number in numbers):
        return f"the reading has more than {READING_DECIMALS} decimals"
    if len(tick.reference) > MAX_REFERENCE:
        return f"the reference has more than {MAX_REFERENCE} characters"
    return None

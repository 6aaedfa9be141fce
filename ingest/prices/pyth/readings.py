"""From updates to readings: which prices of an update may be used, and why the others may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ingest.messages import ALLOWED_SKEW
from ingest.prices.pyth.accumulator import PriceFeedMessage, decode_update
from ingest.prices.pyth.errors import AccumulatorError
from ingest.prices.pyth.wire import ParsedPrice, PriceUpdate
from ingest.prices.ticks import PYTH, Rejection, Tick

# A 64-bit price outside of these is no price in USD.
EXPONENTS = range(-18, 7)

Attested = Mapping[str, list[tuple[int, PriceFeedMessage]]]


@dataclass(frozen=True)
class Outcome:
    """What one update held. `is_moved`: a bound publish time is later than any that was seen of its feed before."""

    ticks: tuple[Tick, ...]
    rejections: tuple[Rejection, ...]
    is_moved: bool


class _Unusable(Exception):  # noqa: N818 -- a verdict on one price, not an error of the program
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class _Last:
    publish_time: int
    slot: int
    price_usd: Decimal


@dataclass
class Readings:
    """Judges updates in the order in which they come; `assets` maps feed ids to assets. Not for several threads.

    A price must equal the message of its feed, which is proven in the update's binary data; must be positive, not from
    the future, and not older than the last one of its feed. Its repetition is neither a reading nor a rejection.
    """

    assets: Mapping[str, str]
    is_simulated: bool = False
    allowed_skew: timedelta = ALLOWED_SKEW
    _last: dict[str, _Last] = field(default_factory=dict, init=False)
    _newest: dict[str, int] = field(default_factory=dict, init=False)

    def take(self, update: PriceUpdate, now: datetime) -> Outcome:
        """The readings of one update received `now`."""
        ticks: list[Tick] = []
        rejections: list[Rejection] = []
        is_moved = False
        attested = _attested(update)
        for parsed in update.parsed:
            if parsed.id not in self.assets:
                continue
            try:
                slot, message = _bound(parsed, attested)
                self._refuse_time(message, now)
                is_moved = self._moves(message) or is_moved
                tick = self._tick(slot, message, now)
            except _Unusable as verdict:
                rejections.append(self._rejection(parsed, verdict, now))
            else:
                ticks += [tick] if tick else []
        return Outcome(tuple(ticks), tuple(rejections), is_moved)

    def _refuse_time(self, message: PriceFeedMessage, now: datetime) -> None:
        if message.publish_time <= 0:
            raise _Unusable("never_published", f"publish_time {message.publish_time} means that there is no price")
        if message.publish_time > (now + self.allowed_skew).timestamp():
            raise _Unusable("from_future", f"publish_time {message.publish_time} lies after the clock")

    def _moves(self, message: PriceFeedMessage) -> bool:
        if message.publish_time <= self._newest.get(message.feed_id, -1):
            return False
        self._newest[message.feed_id] = message.publish_time
        return True

    def _tick(self, slot: int, message: PriceFeedMessage, now: datetime) -> Tick | None:
        if message.price <= 0:
            raise _Unusable("non_positive_price", f"price {message.price} is not positive")
        if message.expo not in EXPONENTS:
            raise _Unusable("exponent_out_of_range", f"exponent {message.expo} is not of a price in USD")
        price = Decimal(message.price).scaleb(message.expo)
        last, found = self._last.get(message.feed_id), _Last(message.publish_time, slot, price)
        if last is not None:
            if (last.publish_time, last.price_usd) == (found.publish_time, found.price_usd):
                return None
            # Several slots share one second.
            if (found.publish_time, slot) < (last.publish_time, last.slot):
                raise _Unusable("out_of_order", f"publish_time {found.publish_time} comes after {last.publish_time}")
        self._last[message.feed_id] = found
        return Tick(
            source=PYTH,
            asset=self.assets[message.feed_id],
            price_usd=price,
            confidence_usd=Decimal(message.conf).scaleb(message.expo),
            observed_at=datetime.fromtimestamp(message.publish_time, UTC),
            received_at=now,
            reference=str(slot),
            is_simulated=self.is_simulated,
        )

    def _rejection(self, parsed: ParsedPrice, verdict: _Unusable, now: datetime) -> Rejection:
        return Rejection(
            source=PYTH,
            asset=self.assets[parsed.id],
            code=verdict.code,
            reason=verdict.reason,
            received_at=now,
            reference=str(parsed.price.publish_time),
        )


def _attested(update: PriceUpdate) -> Attested | _Unusable:
    """The proven messages of each feed with their slots, or why there are none."""
    if update.binary is None or not update.binary.data:
        return _Unusable("unbound", "the update came without the binary data that would prove it")
    found: dict[str, list[tuple[int, PriceFeedMessage]]] = {}
    try:
        for data in update.binary.decoded():
            decoded = decode_update(data)
            for message in decoded.messages:
                found.setdefault(message.feed_id, []).append((decoded.slot, message))
    except AccumulatorError as error:
        return _Unusable(error.code, error.message)
    return found


def _bound(parsed: ParsedPrice, attested: Attested | _Unusable) -> tuple[int, PriceFeedMessage]:
    """Slot and message that say what the parsed price says."""
    if isinstance(attested, _Unusable):
        raise _Unusable(attested.code, attested.reason)
    messages = attested.get(parsed.id)
    if not messages:
        raise _Unusable("unbound", "the binary data holds no message of the feed")
    said = (int(parsed.price.price), int(parsed.price.conf), parsed.price.expo, parsed.price.publish_time)
    for slot, message in messages:
        if said == (message.price, message.conf, message.expo, message.publish_time):
            return slot, message
    raise _Unusable("parsed_mismatch", "the parsed price is not what the feed's message says")

"""Chainlink rounds: their ids, their exact prices, and which of them may be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Self

from ingest.messages import ALLOWED_SKEW, PRICE_LIMIT
from ingest.prices.feeds import ChainlinkFeed
from ingest.prices.ticks import CHAINLINK, Rejection, Tick

_ROUND_BITS = 64
_ROUND_MASK = 2**_ROUND_BITS - 1
_ID_LIMIT = 2**80
# An int256 has up to 78 digits; the default context would round them to 28.
_EXACT = Context(prec=100)


@dataclass(frozen=True, order=True)
class RoundId:
    """A proxy's round id: the phase (which aggregator) above the aggregator's own round; ordered by both."""

    phase: int
    aggregator_round: int

    def __post_init__(self) -> None:
        if not (0 <= self.phase < _ID_LIMIT >> _ROUND_BITS and 0 <= self.aggregator_round <= _ROUND_MASK):
            raise ValueError(f"phase {self.phase}, round {self.aggregator_round} do not fit into 16 and 64 bits")

    @classmethod
    def from_int(cls, value: int) -> Self:
        """The id in a uint80; raises `ValueError` outside it."""
        if not 0 <= value < _ID_LIMIT:
            raise ValueError(f"{value} is no uint80")
        return cls(value >> _ROUND_BITS, value & _ROUND_MASK)

    def __int__(self) -> int:
        return self.phase << _ROUND_BITS | self.aggregator_round

    def __str__(self) -> str:
        return str(int(self))


@dataclass(frozen=True)
class Round:
    """What a proxy says about one round; `answer` in the feed's decimals, `updated_at` in seconds since 1970."""

    round_id: RoundId
    answer: int
    updated_at: int


def exact_price(answer: int, decimals: int) -> Decimal:
    """The answer in USD, every digit kept."""
    return Decimal(answer).scaleb(-decimals, _EXACT)


def judge(
    asset: str, feed: ChainlinkFeed, reading: Round, received_at: datetime, *, is_simulated: bool
) -> Tick | Rejection:
    """The tick of a round, or why it can never be one."""
    wrong = _fault(feed, reading, received_at)
    if wrong is not None:
        return rejection(asset, *wrong, received_at, str(reading.round_id))
    return Tick(
        source=CHAINLINK,
        asset=asset,
        price_usd=exact_price(reading.answer, feed.decimals),
        confidence_usd=None,
        observed_at=datetime.fromtimestamp(reading.updated_at, UTC),
        received_at=received_at,
        reference=str(reading.round_id),
        is_simulated=is_simulated,
    )


def rejection(asset: str, code: str, reason: str, received_at: datetime, reference: str = "") -> Rejection:
    """A rejection by this source."""
    return Rejection(
        source=CHAINLINK, asset=asset, code=code, reason=reason, received_at=received_at, reference=reference
    )


def _fault(feed: ChainlinkFeed, reading: Round, now: datetime) -> tuple[str, str] | None:
    latest_allowed = int((now + ALLOWED_SKEW).timestamp())
    # A round without a time has no meaning, whatever its answer.
    if reading.updated_at == 0 or int(reading.round_id) == 0:
        return "incomplete_round", "the round has no time or no id: the aggregator has not completed it"
    if reading.answer == 0:
        return "zero_answer", "the answer is 0"
    if reading.answer < 0:
        return "negative_answer", "the answer is negative"
    if reading.updated_at > latest_allowed:
        return "from_future", f"updatedAt {reading.updated_at} lies after the clock ({int(now.timestamp())})"
    if exact_price(reading.answer, feed.decimals) >= PRICE_LIMIT:
        return "out_of_range", f"the price is not below {PRICE_LIMIT:.0E} USD"
    return None


def is_out_of_order(reading: Round, accepted: Round) -> bool:
    """Whether the reading is older than what was accepted, as a node that lags behind the others gives it.

    A later phase is never out of order: its aggregator counts and dates anew.
    """
    if reading.round_id.phase != accepted.round_id.phase:
        return reading.round_id.phase < accepted.round_id.phase
    return reading.round_id < accepted.round_id or reading.updated_at < accepted.updated_at

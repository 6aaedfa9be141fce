"""What each source's reading is worth by itself: used, or excluded with a code and words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum

from ingest.prices.breakers import Standing
from ingest.prices.feeds import AssetFeeds
from ingest.prices.ticks import CHAINLINK, PYTH, Rejection, Tick

SOURCES = (CHAINLINK, PYTH)
"""All sources, in order of preference."""
CLOCK_SKEW = timedelta(seconds=5)
"""A source's clock may be this far ahead of ours."""
HARMLESS_REJECTIONS = frozenset({"out_of_order"})
"""Rejections that say nothing against the reading that stands: a node that lags gave an older one."""
EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)


class Exclusion(StrEnum):
    """Why a reading was not used; a rejection's own code may stand in its place."""

    NO_FEED = "no_feed"
    SOURCE_UNUSABLE = "source_unusable"
    ON_PROBATION = "on_probation"
    STALE = "stale"
    FROM_FUTURE = "from_future"
    CONFIDENCE_TOO_WIDE = "confidence_too_wide"
    CONTRADICTS = "contradicts"


@dataclass(frozen=True)
class SourceView:
    """What a source's readings are worth now, and in words why they do not count fully."""

    standing: Standing = Standing.USABLE
    reason: str = ""


@dataclass(frozen=True)
class Input:
    """One reading and what became of it; `code` and `reason` are empty for one that was used."""

    tick: Tick
    code: str = ""
    reason: str = ""

    @property
    def used(self) -> bool:
        """Whether the price rests on it."""
        return not self.code


def configured_sources(feeds: AssetFeeds) -> tuple[str, ...]:
    """Names of the sources that have a feed of the asset, in order of preference."""
    return tuple(max_ages(feeds))


def max_ages(feeds: AssetFeeds) -> dict[str, timedelta]:
    """The age up to which a source's reading is fresh, for each source that has a feed of the asset."""
    found = {CHAINLINK: feeds.chainlink, PYTH: feeds.pyth}
    return {source: feed.max_age for source, feed in found.items() if feed is not None}


def checked_inputs(
    feeds: AssetFeeds,
    ticks: Mapping[str, Tick],
    rejections: Mapping[str, Rejection],
    sources: Mapping[str, SourceView],
    now: datetime,
) -> list[Input]:
    """Every reading, by source, and whether it may be used; a source on probation only where no other can be."""
    inputs = [
        _checked(tick, feeds, rejections.get(source), sources.get(source), now)
        for source, tick in sorted(ticks.items())
    ]
    return _without_probationers(inputs, sources)


def _checked(
    tick: Tick,
    feeds: AssetFeeds,
    rejection: Rejection | None,
    source: SourceView | None,
    now: datetime,
) -> Input:
    """The reading by itself: may it be used?"""
    max_age = max_ages(feeds).get(tick.source)
    if max_age is None:
        return Input(tick, Exclusion.NO_FEED, "the feed table has no feed of this source for the asset")
    if source is None or source.standing is Standing.UNUSABLE:
        return Input(tick, Exclusion.SOURCE_UNUSABLE, source.reason if source else "the source is not running")
    if rejection is not None and _discredits(rejection, tick):
        return Input(tick, rejection.code, f"withdrawn by a newer reading that was rejected: {rejection.reason}")
    if tick.observed_at > now + CLOCK_SKEW:
        ahead = (tick.observed_at - now).total_seconds()
        return Input(tick, Exclusion.FROM_FUTURE, f"dated {ahead:.0f} s after our clock")
    if now - tick.observed_at > max_age:
        limit = max_age.total_seconds()
        stale_since = tick.observed_at + max_age
        return Input(
            tick, Exclusion.STALE, f"stale since {stale_since:%Y-%m-%d %H:%M:%S} UTC, {limit:.0f} s after its reading"
        )
    if tick.confidence_usd is not None and bp(tick.confidence_usd, tick.price_usd) > feeds.max_confidence_bp:
        wide = bp(tick.confidence_usd, tick.price_usd)
        return Input(
            tick, Exclusion.CONFIDENCE_TOO_WIDE, f"its confidence is {wide:.0f} bp, at most {feeds.max_confidence_bp}"
        )
    return Input(tick)


def _discredits(rejection: Rejection, tick: Tick) -> bool:
    """Whether the source's newer word on the asset was no price: its older reading then stands no more."""
    return rejection.received_at > tick.received_at and rejection.code not in HARMLESS_REJECTIONS


def _without_probationers(inputs: Sequence[Input], sources: Mapping[str, SourceView]) -> list[Input]:
    """A source on probation counts only where no other does."""

    def is_probationer(each: Input) -> bool:
        return each.used and sources[each.tick.source].standing is Standing.LAST_RESORT

    if not any(each.used and not is_probationer(each) for each in inputs):
        return list(inputs)
    return [
        Input(each.tick, Exclusion.ON_PROBATION, sources[each.tick.source].reason) if is_probationer(each) else each
        for each in inputs
    ]


def bp(part: Decimal, whole: Decimal) -> Decimal:
    """`part` in basis points of `whole`."""
    return EXACT.divide(EXACT.multiply(part, Decimal(10_000)), whole)

"""From readings of several sources to one price of an asset, with the reasons. Pure.

The price is the median of the readings that can be relied upon, exact and rounded half-even to nine decimals. What is
not known is never `ok`: a source that should be there and is not makes the price degraded, no source makes it None.
Stablecoins are priced like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal, localcontext
from enum import StrEnum

from ingest.messages import PRICE_DECIMALS, Quality
from ingest.prices.breakers import Standing
from ingest.prices.feeds import AssetFeeds
from ingest.prices.inputs import EXACT, Exclusion, Input, SourceView, bp, checked_inputs, configured_sources
from ingest.prices.ticks import Rejection, Tick

ANCHOR_MAX_AGE = timedelta(minutes=15)
"""A last good price older than this tells nothing about which source is right, nor about a jump."""
JUMP_CONFIRMED_AFTER = timedelta(seconds=60)
"""A lone source's new level that held this long is believed."""
MAX_REASON = 500
_QUANTUM = Decimal(1).scaleb(-PRICE_DECIMALS)


class Kind(StrEnum):
    """What kind of price was decided; all but `agreed` are degraded."""

    AGREED = "agreed"
    ONE_SOURCE = "one_source"
    UNCONFIRMED_JUMP = "unconfirmed_jump"
    SOURCES_DISAGREE = "sources_disagree"
    NO_SOURCE = "no_source"


@dataclass(frozen=True)
class GoodPrice:
    """A price that can be measured against: decided without a contradiction or an open question."""

    price_usd: Decimal
    at: datetime


@dataclass(frozen=True)
class Jump:
    """A level that a lone source jumped to, and since when it has been there."""

    price_usd: Decimal
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The price of one asset at `decided_at`; USD for one unit.

    `observed_at` is the time of the oldest input used; for no price, `decided_at`. `jump` goes into the next decision.
    """

    asset: str
    price_usd: Decimal | None
    confidence_usd: Decimal | None
    kind: Kind
    reason: str | None
    observed_at: datetime
    decided_at: datetime
    inputs: tuple[Input, ...]
    jump: Jump | None = None

    @property
    def quality(self) -> Quality:
        """Ok only for a price that every source with a feed supports."""
        return Quality.OK if self.kind is Kind.AGREED else Quality.DEGRADED

    @property
    def used(self) -> tuple[Tick, ...]:
        """The readings that the price rests on, by source."""
        return tuple(each.tick for each in self.inputs if each.used)

    @property
    def good_price(self) -> GoodPrice | None:
        """This price as a measure for later ones; None where it is contested itself."""
        if self.price_usd is None or self.kind not in (Kind.AGREED, Kind.ONE_SOURCE):
            return None
        return GoodPrice(self.price_usd, self.decided_at)


def select_price(
    asset: str,
    feeds: AssetFeeds,
    ticks: Mapping[str, Tick],
    rejections: Mapping[str, Rejection],
    sources: Mapping[str, SourceView],
    last_good: GoodPrice | None,
    jump: Jump | None,
    now: datetime,
) -> Decision:
    """The price of `asset` from the last reading (and last rejection) of each source, by source name.

    A source without an entry in `sources` cannot be used. Two sources further apart than the asset allows contradict
    each other: the one nearer to `last_good` is published, degraded; without a recent one nothing tells which is
    right, so the middle is published, degraded. Either way the confidence reaches to both. `jump` is that of the
    decision before.
    """
    inputs = checked_inputs(feeds, ticks, rejections, sources, now)
    anchor = last_good if last_good is not None and now - last_good.at <= ANCHOR_MAX_AGE else None
    inputs, contradiction = _contradiction(inputs, feeds, anchor)
    used = [each.tick for each in inputs if each.used]
    missing = _missing(asset, configured_sources(feeds), inputs, rejections, sources)
    if not used:
        return Decision(
            asset=asset,
            price_usd=None,
            confidence_usd=None,
            kind=Kind.NO_SOURCE,
            reason=_text("no usable source", missing),
            observed_at=now,
            decided_at=now,
            inputs=tuple(inputs),
        )
    price_usd = _median([tick.price_usd for tick in used])
    kind, reason, next_jump = Kind.AGREED, None, None
    if contradiction:
        kind, reason = Kind.SOURCES_DISAGREE, contradiction
    elif len(used) == 1:
        next_jump = _jump(price_usd, feeds, anchor, jump, now)
        if next_jump is not None:
            kind = Kind.UNCONFIRMED_JUMP
            reason = _text(_jump_text(used[0].source, price_usd, anchor), missing)
        elif missing:
            kind, reason = Kind.ONE_SOURCE, _text(f"only {used[0].source}", missing)
    return Decision(
        asset=asset,
        price_usd=price_usd,
        confidence_usd=_confidence(used, [each.tick for each in inputs if each.code == Exclusion.CONTRADICTS]),
        kind=kind,
        reason=reason[:MAX_REASON] if reason else None,
        observed_at=min(tick.observed_at for tick in used),
        decided_at=now,
        inputs=tuple(inputs),
        jump=next_jump,
    )


def _contradiction(
    inputs: Sequence[Input], feeds: AssetFeeds, anchor: GoodPrice | None
) -> tuple[list[Input], str | None]:
    """The inputs to use where the sources contradict each other, and the words for it; None where they agree."""
    prices = [each.tick.price_usd for each in inputs if each.used]
    if len(prices) < 2 or bp(max(prices) - min(prices), min(prices)) <= feeds.max_spread_bp:
        return list(inputs), None
    apart = f"sources disagree by {bp(max(prices) - min(prices), min(prices)):.0f} bp"
    if anchor is None:
        return list(inputs), f"{apart} and no recent good price tells which is right: this is the middle"
    nearest = min(abs(price - anchor.price_usd) for price in prices)
    kept = [
        Input(each.tick, Exclusion.CONTRADICTS, f"{apart}, and it is further from the last good price")
        if each.used and abs(each.tick.price_usd - anchor.price_usd) > nearest
        else each
        for each in inputs
    ]
    names = [each.tick.source for each in kept if each.used]
    if len(names) > 1:
        return kept, f"{apart} and are equally far from the last good price: this is the middle"
    return kept, f"{apart}: {names[0]} is nearer to the last good price"


def _jump(
    price_usd: Decimal, feeds: AssetFeeds, anchor: GoodPrice | None, jump: Jump | None, now: datetime
) -> Jump | None:
    """The jump that still waits to be confirmed; None for a price near the anchor, or one that held long enough."""
    if anchor is None or bp(abs(price_usd - anchor.price_usd), anchor.price_usd) <= feeds.max_jump_bp:
        return None
    if jump is None or bp(abs(price_usd - jump.price_usd), jump.price_usd) > feeds.max_jump_bp:
        return Jump(price_usd, now)
    return None if now - jump.since >= JUMP_CONFIRMED_AFTER else jump


def _jump_text(source: str, price_usd: Decimal, anchor: GoodPrice | None) -> str:
    moved = bp(abs(price_usd - anchor.price_usd), anchor.price_usd) if anchor else Decimal(0)
    return f"unconfirmed jump: only {source}, {moved:.0f} bp from the last good price"


def _missing(
    asset: str,
    configured: Sequence[str],
    inputs: Sequence[Input],
    rejections: Mapping[str, Rejection],
    sources: Mapping[str, SourceView],
) -> list[str]:
    """For each source that has a feed and is not used, why."""
    by_source = {each.tick.source: each for each in inputs}
    if not configured:
        return [f"the feed table has no feed of {asset}"]
    found = []
    for source in configured:
        known, view = by_source.get(source), sources.get(source)
        if known is not None and known.used:
            continue
        if known is not None:
            found.append(
                f"{source} is {known.reason}" if known.code == Exclusion.STALE else f"{source}: {known.reason}"
            )
        elif view is None or view.standing is Standing.UNUSABLE:
            found.append(f"{source}: {view.reason if view else 'the source is not running'}")
        elif source in rejections:
            found.append(f"{source}: {rejections[source].reason}")
        else:
            found.append(f"{source}: no reading yet")
    return found


def _text(head: str, missing: Sequence[str]) -> str:
    """`head` and the reasons, each cut so that all of them fit."""
    room = (MAX_REASON - len(head)) // max(len(missing), 1) - 2
    return f"{head}: {'; '.join(reason[:room] for reason in missing)}" if missing else head


def _median(prices: Sequence[Decimal]) -> Decimal:
    """The middle one, or the mean of the two middle ones; nine decimals, half-even."""
    ordered = sorted(prices)
    half = len(ordered) // 2
    with localcontext(EXACT):
        middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
        return middle.quantize(_QUANTUM)


def _confidence(used: Sequence[Tick], contradicting: Sequence[Tick]) -> Decimal | None:
    """Half width in USD: the widest of the inputs and half their spread, and as far as what contradicts them.

    None where one source has no interval.
    """
    prices = [tick.price_usd for tick in used]
    widths = [tick.confidence_usd for tick in used if tick.confidence_usd is not None]
    with localcontext(EXACT):
        if len(used) > 1:
            widths.append((max(prices) - min(prices)) / 2)
        widths += [abs(other.price_usd - price) for other in contradicting for price in prices]
        return max(widths).quantize(_QUANTUM, rounding=ROUND_CEILING) if widths else None

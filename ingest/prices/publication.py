"""When a decision is published, and as which messages: the price, and the trace of what it rests on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from infra.runtime.ids import stable_id
from ingest.messages import (
    PRICE_DECIMALS,
    PriceInput,
    PriceMessage,
    PriceSource,
    PriceTicksMessage,
    RejectedReading,
)
from ingest.prices.feeds import AssetFeeds
from ingest.prices.inputs import Input, bp, configured_sources
from ingest.prices.selection import Decision
from ingest.prices.ticks import Rejection

NO_READING = "none"
NO_SOURCE = "none"
_QUANTUM = Decimal(1).scaleb(-PRICE_DECIMALS)


@dataclass(frozen=True)
class Published:
    """What an asset's last publication said; `content_ids` are those of its heartbeat slot."""

    decision: Decision
    published_at: datetime
    slot: int
    content_id: str
    content_ids: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Publication:
    """The two messages of one publication, and the state to remember."""

    price: PriceMessage
    ticks: PriceTicksMessage
    state: Published


def is_due(decision: Decision, last: Published | None, feeds: AssetFeeds, now: datetime) -> bool:
    """Whether the decision says something new, or the asset has been silent for `publish_every_s`."""
    if last is None or now - last.published_at >= timedelta(seconds=feeds.publish_every_s):
        return True
    if _standing(decision) != _standing(last.decision):
        return True
    price_usd, last_usd = decision.price_usd, last.decision.price_usd
    if price_usd is None or last_usd is None:
        return price_usd is not last_usd
    return bp(abs(price_usd - last_usd), last_usd) >= feeds.publish_move_bp


def publication(
    decision: Decision,
    last: Published | None,
    feeds: AssetFeeds,
    rejections: Sequence[Rejection],
    is_simulated: bool,
    now: datetime,
) -> Publication:
    """The messages that say `decision` at `now`; `rejections` are those since the publication before.

    The price's id follows from what the price says and rests on and from the heartbeat slot: the same decision made
    again after a crash has the same id, a heartbeat has a new one. Where the oracle returns to what it said earlier
    in the slot, a count makes it a new price, for a repeated id is dropped.
    `is_simulated` marks a price that rests on no reading at all.
    """
    slot = int(now.timestamp()) // feeds.publish_every_s
    content_id = _content_id(decision, slot)
    state = _remembered(decision, last, slot, content_id, now)
    repeats = state.content_ids.count(content_id) - 1
    price_id = content_id if not repeats else stable_id("px", content_id, repeats)
    price = PriceMessage(
        price_id=price_id,
        asset=decision.asset,
        price_usd=decision.price_usd,
        confidence_usd=decision.confidence_usd,
        sources=_sources(decision, feeds, is_simulated),
        observed_at=decision.observed_at,
        published_at=now,
        quality=decision.quality,
        degraded_reason=decision.reason,
    )
    ticks = PriceTicksMessage(
        price_id=price_id,
        asset=decision.asset,
        published_at=now,
        inputs=[_price_input(each) for each in decision.inputs],
        rejections=[_rejected(each) for each in rejections],
    )
    return Publication(price, ticks, state)


def _standing(decision: Decision) -> tuple[object, ...]:
    return (decision.quality, decision.kind, tuple(tick.source for tick in decision.used))


def _content_id(decision: Decision, slot: int) -> str:
    references = [f"{tick.source}:{tick.reference}" for tick in decision.used]
    rests_on = (decision.asset, decision.observed_at.isoformat(), *references)
    return stable_id("px", *rests_on, decision.price_usd, decision.quality, decision.kind, slot)


def _remembered(decision: Decision, last: Published | None, slot: int, content_id: str, now: datetime) -> Published:
    if last is None or last.slot != slot:
        return Published(decision, now, slot, content_id, (content_id,))
    # Said again without anything in between: the same price, such as one that waits to be sent.
    more = () if last.content_id == content_id else (content_id,)
    return replace(
        last, decision=decision, published_at=now, content_id=content_id, content_ids=(*last.content_ids, *more)
    )


def _sources(decision: Decision, feeds: AssetFeeds, is_simulated: bool) -> list[PriceSource]:
    """The inputs used; where there is none, each source without a price, and when its last reading was."""
    if decision.used:
        return [
            PriceSource(
                name=tick.source,
                price_usd=max(tick.price_usd.quantize(_QUANTUM, rounding=ROUND_HALF_EVEN), _QUANTUM),
                observed_at=tick.observed_at,
                reference=tick.reference,
                is_simulated=tick.is_simulated,
            )
            for tick in decision.used
        ]
    last = {each.tick.source: each.tick for each in decision.inputs}
    return [
        PriceSource(
            name=source,
            price_usd=None,
            observed_at=last[source].observed_at if source in last else decision.decided_at,
            reference=last[source].reference if source in last else NO_READING,
            is_simulated=last[source].is_simulated if source in last else is_simulated,
        )
        for source in configured_sources(feeds) or (NO_SOURCE,)
    ]


def _price_input(each: Input) -> PriceInput:
    tick = each.tick
    return PriceInput(
        tick_id=tick.tick_id,
        source=tick.source,
        price_usd=tick.price_usd,
        confidence_usd=tick.confidence_usd,
        observed_at=tick.observed_at,
        received_at=tick.received_at,
        reference=tick.reference,
        is_simulated=tick.is_simulated,
        used=each.used,
        exclusion_code=each.code or None,
        exclusion_reason=each.reason[:500] or None,
    )


def _rejected(each: Rejection) -> RejectedReading:
    return RejectedReading(
        source=each.source,
        code=each.code[:64],
        reason=each.reason[:500],
        received_at=each.received_at,
        reference=each.reference[:128],
    )

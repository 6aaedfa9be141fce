"""When a price is published, and with which identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingest.messages import Quality
from ingest.prices.feeds import AssetFeeds
from ingest.prices.inputs import SourceView
from ingest.prices.publication import Publication, Published, is_due, publication
from ingest.prices.selection import Decision, select_price
from ingest.prices.ticks import Rejection, Tick

Make = Callable[..., Tick]
BOTH = {"chainlink": SourceView(), "pyth": SourceView()}


@pytest.fixture
def decide(feeds: AssetFeeds, now: datetime) -> Callable[..., Decision]:
    """The decision at noon, or at another time, from some readings."""

    def make(*ticks: Tick, at: datetime = now) -> Decision:
        return select_price("BTC", feeds, {tick.source: tick for tick in ticks}, {}, BOTH, None, None, at)

    return make


@pytest.fixture
def publish(feeds: AssetFeeds) -> Callable[..., Publication]:
    def make(
        decision: Decision, last: Published | None = None, rejections: Sequence[Rejection] = (), **changes: Any
    ) -> Publication:
        now = changes.get("at", decision.decided_at)
        return publication(decision, last, feeds, rejections, changes.get("is_simulated", False), now)

    return make


def later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


def test_is_due__first_decision(decide: Any, feeds: AssetFeeds, now: datetime) -> None:
    assert is_due(decide(), None, feeds, now)


@pytest.mark.parametrize(("price", "due"), [("65064.99", False), ("65065", True), ("64935", True)])
def test_is_due__when_the_price_moved_far_enough(
    decide: Any, publish: Any, tick: Make, feeds: AssetFeeds, now: datetime, price: str, due: bool
) -> None:
    last = publish(decide(tick("pyth", "65000"), tick("chainlink", "65000"))).state
    moved = decide(tick("pyth", price), tick("chainlink", price))
    assert is_due(moved, last, feeds, later(now, 1)) is due


@pytest.mark.parametrize(("seconds", "due"), [(59.9, False), (60, True)])
def test_is_due__at_the_heartbeat(
    decide: Any, publish: Any, tick: Make, feeds: AssetFeeds, now: datetime, seconds: float, due: bool
) -> None:
    decision = decide(tick("pyth", "65000"), tick("chainlink", "65000"))
    assert is_due(decision, publish(decision).state, feeds, later(now, seconds)) is due


def test_is_due__when_quality_or_its_kind_changed(decide: Any, publish: Any, tick: Make, feeds: AssetFeeds) -> None:
    both = decide(tick("pyth", "65000"), tick("chainlink", "65000"))
    only_pyth, only_chainlink = decide(tick("pyth", "65000")), decide(tick("chainlink", "65000"))
    none = decide()
    for before, after in ((both, only_pyth), (only_pyth, both), (only_pyth, only_chainlink), (only_pyth, none)):
        assert is_due(after, publish(before).state, feeds, after.decided_at)
        assert not is_due(before, publish(before).state, feeds, before.decided_at)


def test_publication__says_the_decision(
    decide: Any, publish: Any, tick: Make, rejection: Callable[..., Rejection], now: datetime
) -> None:
    pyth = tick("pyth", "65000.1234567891", confidence_usd=Decimal("0.1234567891"), is_simulated=True)
    made = publish(decide(pyth, tick("chainlink", "65000", age_s=9000)), rejections=[rejection("chainlink")])
    price, ticks = made.price, made.ticks
    assert (price.price_usd, price.quality, price.is_simulated) == (Decimal("65000.123456789"), Quality.DEGRADED, True)
    assert price.degraded_reason is not None
    assert [source.name for source in price.sources] == ["pyth"]
    assert (ticks.price_id, ticks.published_at) == (price.price_id, now)
    unused, used = ticks.inputs
    assert (used.tick_id, used.used, used.price_usd) == (pyth.tick_id, True, Decimal("65000.1234567891"))
    assert (unused.source, unused.used, unused.exclusion_code) == ("chainlink", False, "stale")
    assert [each.code for each in ticks.rejections] == ["zero_answer"]


def test_publication__without_a_price_names_each_source(decide: Any, publish: Any, tick: Make, now: datetime) -> None:
    stale = tick("chainlink", "65000", age_s=9000)
    price = publish(decide(stale), is_simulated=True).price
    assert (price.price_usd, price.confidence_usd, price.observed_at) == (None, None, now)
    told = [(each.name, each.price_usd, each.observed_at, each.reference) for each in price.sources]
    assert told == [("chainlink", None, stale.observed_at, stale.reference), ("pyth", None, now, "none")]
    assert price.is_simulated


def test_price_id__is_the_same_after_a_crash_within_the_slot(
    decide: Any, publish: Any, tick: Make, now: datetime
) -> None:
    readings = (tick("pyth", "65000"), tick("chainlink", "65000"))
    first = publish(decide(*readings)).price
    again = publish(decide(*readings, at=later(now, 20))).price
    assert again.price_id == first.price_id


def test_price_id__of_no_price_is_new_each_time_it_is_said(decide: Any, publish: Any, now: datetime) -> None:
    # After a crash it must not be taken for the one that was said before a price came in between.
    assert publish(decide(at=later(now, 1))).price.price_id != publish(decide(at=later(now, 2))).price.price_id


def test_price_id__is_new_at_the_heartbeat_of_an_unmoved_price(
    decide: Any, publish: Any, tick: Make, now: datetime
) -> None:
    readings = (tick("pyth", "65000"), tick("chainlink", "65000"))
    first = publish(decide(*readings))
    beat = publish(decide(*readings, at=later(now, 60)), first.state)
    assert beat.price.price_id != first.price.price_id
    assert beat.state.content_ids == (beat.price.price_id,)


def test_price_id__is_new_where_the_oracle_returns_to_what_it_said_before(
    decide: Any, publish: Any, tick: Make, now: datetime
) -> None:
    chainlink = tick("chainlink", "65000")
    decisions = [decide(chainlink), decide(at=later(now, 1)), decide(chainlink, at=later(now, 2))]
    last, ids = None, []
    for decision in [*decisions, *decisions[1:]]:
        made = publish(decision, last)
        last = made.state
        ids.append(made.price.price_id)
    assert len(set(ids)) == 5


def test_price_id__of_a_price_said_again_while_it_waits_is_the_same(decide: Any, publish: Any, tick: Make) -> None:
    decision = decide(tick("pyth", "65000"))
    first = publish(decision)
    assert publish(decision, first.state).price.price_id == first.price.price_id


def test_price_id__differs_with_all_that_is_said(decide: Any, publish: Any, tick: Make, now: datetime) -> None:
    base = decide(tick("pyth", "65000"))
    others = [
        replace(base, asset="ETH"),
        replace(base, price_usd=Decimal("65000.1")),
        replace(base, observed_at=later(now, -3)),
        decide(tick("pyth", "65000", reference="7")),
        decide(tick("chainlink", "65000")),
    ]
    assert len({publish(each).price.price_id for each in [base, *others]}) == 6

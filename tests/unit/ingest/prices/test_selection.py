"""Which price follows from which readings, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.messages import PRICE_LIMIT, PriceMessage, PriceTicksMessage, Quality, parse_message
from ingest.prices.breakers import Standing
from ingest.prices.feeds import AssetFeeds, ChainlinkFeed, PythFeed
from ingest.prices.inputs import SourceView
from ingest.prices.publication import publication
from ingest.prices.selection import (
    ANCHOR_MAX_AGE,
    JUMP_CONFIRMED_AFTER,
    Decision,
    GoodPrice,
    Jump,
    Kind,
    select_price,
)
from ingest.prices.ticks import Rejection, Tick

Make = Callable[..., Tick]
BOTH = {"chainlink": SourceView(), "pyth": SourceView()}


@pytest.fixture
def select(feeds: AssetFeeds, now: datetime) -> Callable[..., Decision]:
    """`select_price` of BTC at noon from some readings; keyword arguments replace the rest."""

    def make(*ticks: Tick, **changes: Any) -> Decision:
        arguments: dict[str, Any] = {
            "feeds": feeds,
            "ticks": {tick.source: tick for tick in ticks},
            "rejections": {},
            "sources": BOTH,
            "last_good": None,
            "jump": None,
            "now": now,
        }
        return select_price("BTC", **(arguments | changes))

    return make


def test_select__two_that_agree_give_their_mean_of_quality_ok(select: Any, tick: Make, now: datetime) -> None:
    found = select(tick("chainlink", "65000", age_s=1800), tick("pyth", "65100", confidence_usd=Decimal("20")))
    assert (found.price_usd, found.quality, found.reason) == (Decimal("65050"), Quality.OK, None)
    assert found.confidence_usd == 50
    assert found.observed_at == now - timedelta(seconds=1800)
    assert [each.used for each in found.inputs] == [True, True]


def test_select__confidence_is_the_widest_of_the_inputs(select: Any, tick: Make) -> None:
    found = select(tick("chainlink", "65000"), tick("pyth", "65001", confidence_usd=Decimal("20.5")))
    assert found.confidence_usd == Decimal("20.5")


def test_select__rounds_half_even_to_nine_decimals(select: Any, tick: Make) -> None:
    found = select(tick("chainlink", "1.000000001"), tick("pyth", "1.000000002", confidence_usd=Decimal("0")))
    assert found.price_usd == Decimal("1.000000002")
    assert found.confidence_usd == Decimal("0.000000001")


def test_select__lone_source_of_two_is_degraded_and_says_why(select: Any, tick: Make) -> None:
    found = select(tick("chainlink", "65000", age_s=4201), tick("pyth", "65100"))
    assert (found.price_usd, found.quality, found.kind) == (Decimal("65100"), Quality.DEGRADED, Kind.ONE_SOURCE)
    assert found.reason == ("only pyth: chainlink is stale since 2026-01-31 11:59:59 UTC, 4200 s after its reading")
    assert [(each.tick.source, each.used, each.code) for each in found.inputs] == [
        ("chainlink", False, "stale"),
        ("pyth", True, ""),
    ]


def test_select__at_its_age_limit_a_reading_is_fresh(select: Any, tick: Make) -> None:
    assert select(tick("chainlink", "65000", age_s=4200), tick("pyth", "65000", age_s=30)).quality is Quality.OK


def test_select__source_that_never_answered_degrades(select: Any, tick: Make) -> None:
    assert select(tick("pyth", "65100")).reason == "only pyth: chainlink: no reading yet"


def test_select__source_that_does_not_run_degrades(select: Any, tick: Make) -> None:
    found = select(tick("pyth", "65100"), sources={"pyth": SourceView()})
    assert (found.quality, found.reason) == (Quality.DEGRADED, "only pyth: chainlink: the source is not running")


def test_select__asset_with_one_feed_is_ok_on_it(select: Any, tick: Make, feeds: AssetFeeds) -> None:
    only_pyth = feeds.model_copy(update={"chainlink": None})
    found = select(tick("pyth", "65100"), feeds=only_pyth)
    assert (found.quality, found.price_usd) == (Quality.OK, Decimal("65100"))


def test_select__both_stale_give_no_price(select: Any, tick: Make, now: datetime) -> None:
    old = GoodPrice(Decimal("65000"), now)
    found = select(tick("chainlink", "65000", age_s=9000), tick("pyth", "65100", age_s=31), last_good=old)
    assert (found.price_usd, found.confidence_usd, found.kind) == (None, None, Kind.NO_SOURCE)
    assert found.quality is Quality.DEGRADED
    assert found.reason.startswith("no usable source: chainlink is stale since")
    assert "pyth is stale since" in found.reason
    assert found.observed_at == now


def test_select__without_readings_there_is_no_price(select: Any) -> None:
    found = select()
    assert (found.price_usd, found.inputs) == (None, ())
    assert found.reason == "no usable source: chainlink: no reading yet; pyth: no reading yet"


@pytest.mark.parametrize(("ahead_s", "code"), [(5, ""), (6, "from_future")])
def test_select__excludes_what_is_dated_after_our_clock(select: Any, tick: Make, ahead_s: int, code: str) -> None:
    found = select(tick("chainlink", "65000"), tick("pyth", "65100", age_s=-ahead_s))
    assert found.inputs[1].code == code


@pytest.mark.parametrize(("confidence", "code"), [("651", ""), ("651.0001", "confidence_too_wide")])
def test_select__excludes_a_confidence_that_is_too_wide(select: Any, tick: Make, confidence: str, code: str) -> None:
    found = select(tick("chainlink", "65100"), tick("pyth", "65100", confidence_usd=Decimal(confidence)))
    assert found.inputs[1].code == code


def test_select__of_two_that_contradict_takes_the_one_nearer_to_the_last_good_price(
    select: Any, tick: Make, now: datetime
) -> None:
    last = GoodPrice(Decimal("66900"), now - timedelta(minutes=1))
    found = select(tick("chainlink", "65000"), tick("pyth", "66950"), last_good=last)
    assert (found.price_usd, found.kind) == (Decimal("66950"), Kind.SOURCES_DISAGREE)
    assert found.quality is Quality.DEGRADED
    assert found.reason == "sources disagree by 300 bp: pyth is nearer to the last good price"
    assert found.price_usd is not None
    assert found.confidence_usd is not None
    # It may be the one that lags: the interval reaches to the other.
    others = [each.tick.price_usd for each in found.inputs if not each.used]
    assert [abs(other - found.price_usd) <= found.confidence_usd for other in others] == [True]
    assert found.inputs[0].code == "contradicts"
    assert found.good_price is None


@pytest.mark.parametrize("age", [None, ANCHOR_MAX_AGE + timedelta(seconds=1)])
def test_select__contradiction_without_a_recent_good_price_gives_the_middle_degraded(
    select: Any, tick: Make, now: datetime, age: timedelta | None
) -> None:
    last = GoodPrice(Decimal("66950"), now - age) if age else None
    found = select(tick("chainlink", "65000"), tick("pyth", "66950"), last_good=last)
    assert (found.price_usd, found.confidence_usd) == (Decimal("65975"), Decimal("975"))
    assert found.quality is Quality.DEGRADED
    assert "no recent good price" in found.reason


def test_select__at_the_spread_limit_sources_agree(select: Any, tick: Make) -> None:
    assert select(tick("chainlink", "65000"), tick("pyth", "66300")).quality is Quality.OK
    assert select(tick("chainlink", "65000"), tick("pyth", "66300.0001")).quality is Quality.DEGRADED


def test_select__stablecoin_is_worth_what_its_sources_say(select: Any, tick: Make) -> None:
    small = {"confidence_usd": Decimal("0.001")}
    found = select(tick("chainlink", "0.88"), tick("pyth", "0.881", **small))
    assert (found.price_usd, found.quality) == (Decimal("0.8805"), Quality.OK)


def test_select__jump_of_a_lone_source_waits_until_it_held(select: Any, tick: Make, now: datetime) -> None:
    last = GoodPrice(Decimal("65000"), now - timedelta(seconds=10))
    first = select(tick("pyth", "58000"), last_good=last)
    assert (first.price_usd, first.kind) == (Decimal("58000"), Kind.UNCONFIRMED_JUMP)
    assert first.reason.startswith("unconfirmed jump: only pyth, 1077 bp from the last good price")
    assert first.good_price is None
    assert first.jump == Jump(Decimal("58000"), now)
    almost = now + JUMP_CONFIRMED_AFTER - timedelta(seconds=1)
    second = select(tick("pyth", "58100", at=almost), last_good=last, jump=first.jump, now=almost)
    assert (second.kind, second.jump) == (Kind.UNCONFIRMED_JUMP, first.jump)
    held = now + JUMP_CONFIRMED_AFTER
    third = select(tick("pyth", "58100", at=held), last_good=last, jump=second.jump, now=held)
    assert (third.kind, third.jump) == (Kind.ONE_SOURCE, None)
    assert third.good_price == GoodPrice(Decimal("58100"), held)


def test_select__jump_begins_anew_where_the_price_jumps_on(select: Any, tick: Make, now: datetime) -> None:
    last = GoodPrice(Decimal("65000"), now)
    found = select(tick("pyth", "40000"), last_good=last, jump=Jump(Decimal("50000"), now - timedelta(seconds=59)))
    assert found.jump == Jump(Decimal("40000"), now)


def test_select__second_source_confirms_a_jump(select: Any, tick: Make, now: datetime) -> None:
    last = GoodPrice(Decimal("65000"), now)
    found = select(tick("chainlink", "50000"), tick("pyth", "50100"), last_good=last)
    assert (found.quality, found.jump) == (Quality.OK, None)


def test_select__newer_rejection_discredits_the_older_reading(
    select: Any, tick: Make, rejection: Callable[..., Rejection], now: datetime
) -> None:
    before = tick("chainlink", "65000", received_at=now - timedelta(seconds=9))
    found = select(before, tick("pyth", "65100"), rejections={"chainlink": rejection("chainlink")})
    assert found.inputs[0].code == "zero_answer"
    assert found.quality is Quality.DEGRADED
    late = {"chainlink": rejection("chainlink", "out_of_order")}
    assert select(before, tick("pyth", "65100"), rejections=late).quality is Quality.OK
    earlier = {"chainlink": rejection("chainlink", at=now - timedelta(seconds=10))}
    assert select(before, tick("pyth", "65100"), rejections=earlier).quality is Quality.OK


def test_select__source_on_probation_counts_only_where_no_other_does(select: Any, tick: Make) -> None:
    sources = BOTH | {"chainlink": SourceView(Standing.LAST_RESORT, "is on probation")}
    with_other = select(tick("chainlink", "65000"), tick("pyth", "65100"), sources=sources)
    assert (with_other.price_usd, with_other.inputs[0].code) == (Decimal("65100"), "on_probation")
    assert with_other.reason == "only pyth: chainlink: is on probation"
    alone = select(tick("chainlink", "65000"), tick("pyth", "65100", age_s=99), sources=sources)
    assert (alone.price_usd, alone.quality) == (Decimal("65000"), Quality.DEGRADED)


def test_select__source_with_an_open_breaker_does_not_count_even_alone(select: Any, tick: Make) -> None:
    sources = BOTH | {"chainlink": SourceView(Standing.UNUSABLE, "cannot be relied upon")}
    found = select(tick("chainlink", "65000"), sources=sources)
    assert (found.price_usd, found.inputs[0].code) == (None, "source_unusable")
    assert "cannot be relied upon" in found.reason


def test_select__long_reasons_are_cut_so_that_all_are_told(select: Any, tick: Make) -> None:
    sources = {name: SourceView(Standing.UNUSABLE, f"{name} {'x' * 900}") for name in BOTH}
    found = select(tick("chainlink", "65000"), tick("pyth", "65100"), sources=sources)
    assert len(found.reason) <= 500
    assert "chainlink x" in found.reason
    assert "pyth x" in found.reason


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TABLE = AssetFeeds(
    chainlink=ChainlinkFeed(
        proxy="0x" + "1" * 40, description="BTC / USD", decimals=8, heartbeat_s=3600, grace_s=600, deviation_bp=50
    ),
    pyth=PythFeed(feed_id="a" * 64, max_age_s=30),
)
PRICES = st.decimals(Decimal("1e-9"), Decimal("999999999999999"), places=12, allow_nan=False, allow_infinity=False)
VIEWS = st.dictionaries(
    st.sampled_from(["chainlink", "pyth"]), st.builds(SourceView, st.sampled_from(Standing), st.just("why"))
)
GOODS = st.none() | st.builds(
    GoodPrice, PRICES, st.integers(0, 2000).map(lambda seconds: NOON - timedelta(seconds=seconds))
)


@st.composite
def readings(draw: st.DrawFn, source: str) -> Tick:
    base = draw(PRICES)
    return Tick(
        source=source,
        asset="BTC",
        price_usd=base,
        confidence_usd=draw(st.none() | st.sampled_from([base / 1000, base / 10])),
        observed_at=NOON - timedelta(seconds=draw(st.integers(-20, 5000))),
        received_at=NOON,
        reference=draw(st.text("ab", min_size=1, max_size=3)),
    )


@st.composite
def pairs(draw: st.DrawFn) -> dict[str, Tick]:
    """No, one or two readings; two are often near each other."""
    ticks = {source: draw(readings(source)) for source in draw(st.sets(st.sampled_from(["chainlink", "pyth"])))}
    if len(ticks) == 2 and draw(st.booleans()):
        near = ticks["chainlink"].price_usd * draw(st.sampled_from([Decimal("1"), Decimal("1.001"), Decimal("0.99")]))
        # The sources reject what is not below the limit.
        ticks["pyth"] = replace(ticks["pyth"], price_usd=min(near, PRICE_LIMIT - 1), confidence_usd=None)
    return ticks


@given(pairs(), VIEWS, GOODS)
def test_select__lies_within_the_inputs_used_and_tells_what_it_does_not_know(
    ticks: dict[str, Tick], views: dict[str, SourceView], last_good: GoodPrice | None
) -> None:
    found = select_price("BTC", TABLE, ticks, {}, views, last_good, None, NOON)
    prices = [each.price_usd for each in found.used]
    assert {each.tick.source for each in found.inputs} == set(ticks)
    if not prices:
        assert found.price_usd is None
    else:
        assert found.price_usd is not None
        half_a_unit = Decimal("0.5e-9")
        assert min(prices) - half_a_unit <= found.price_usd <= max(prices) + half_a_unit
        assert found.price_usd == found.price_usd.quantize(Decimal("1e-9"), rounding=ROUND_HALF_EVEN)
        assert found.observed_at == min(each.observed_at for each in found.used)
        if found.confidence_usd is not None:
            assert found.confidence_usd * 2 >= max(prices) - min(prices)
    if len(prices) < 2:
        assert found.quality is Quality.DEGRADED
    assert (found.quality is Quality.OK) == (found.reason is None)


@given(pairs(), VIEWS, GOODS, st.booleans(), st.booleans())
def test_select__every_decision_can_be_published(
    ticks: dict[str, Tick], views: dict[str, SourceView], last_good: GoodPrice | None, on_chain: bool, off_chain: bool
) -> None:
    without = {"chainlink": TABLE.chainlink if on_chain else None, "pyth": TABLE.pyth if off_chain else None}
    feeds = TABLE.model_copy(update=without)
    found = select_price("BTC", feeds, ticks, {}, views, last_good, None, NOON)
    made = publication(found, None, feeds, [], True, NOON)
    # What is read back is what was said; a reader whose clock agrees refuses nothing.
    now = NOON + timedelta(seconds=1)
    assert parse_message(PriceMessage, made.price.to_json(), now) == made.price
    assert parse_message(PriceTicksMessage, made.ticks.to_json(), now) == made.ticks
    assert len(made.ticks.inputs) == len(ticks)


@given(pairs(), VIEWS, GOODS)
def test_select__does_not_depend_on_the_order_of_the_sources(
    ticks: dict[str, Tick], views: dict[str, SourceView], last_good: GoodPrice | None
) -> None:
    def backwards(content: dict[str, Any]) -> dict[str, Any]:
        return dict(reversed(content.items()))

    one = select_price("BTC", TABLE, ticks, {}, views, last_good, None, NOON)
    other = select_price("BTC", TABLE, backwards(ticks), {}, backwards(views), last_good, None, NOON)
    assert one == other

"""Which prices of an update are readings, and how the others are called."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.embedded.hermes.encoder import SlotEncoder
from ingest.prices.pyth.accumulator import PriceFeedMessage
from ingest.prices.pyth.errors import HermesError
from ingest.prices.pyth.readings import Outcome, Readings
from ingest.prices.pyth.wire import PriceUpdate, parse_update

NOW = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
FEED = "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43"
OTHER = "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace"


def message(**changes: Any) -> PriceFeedMessage:
    usual = PriceFeedMessage(FEED, 6140993501000, 3287868567, -8, SECONDS, SECONDS - 1, 1, 1)
    return replace(usual, **changes)


def parsed_of(said: PriceFeedMessage) -> dict[str, Any]:
    price = {"price": str(said.price), "conf": str(said.conf), "expo": said.expo, "publish_time": said.publish_time}
    return {"id": said.feed_id, "price": price, "metadata": {"slot": None}}


def update(*proven: PriceFeedMessage, said: PriceFeedMessage | None = None, slot: int = 100) -> PriceUpdate:
    data = SlotEncoder(slot, SECONDS, {each.feed_id: each for each in proven})
    binary = data.update([each.feed_id for each in proven]).hex()
    shown = [said] if said else proven
    body = {"binary": {"encoding": "hex", "data": [binary]}, "parsed": [parsed_of(each) for each in shown]}
    return parse_update(json.dumps(body))


@pytest.fixture
def readings() -> Readings:
    return Readings({FEED: "BTC", OTHER: "ETH"}, is_simulated=True)


def codes(outcome: Outcome) -> list[str]:
    return [each.code for each in outcome.rejections]


def test_take__gives_exact_values(readings: Readings) -> None:
    outcome = readings.take(update(message()), NOW)
    [tick] = outcome.ticks
    assert (tick.source, tick.asset, tick.reference, tick.is_simulated) == ("pyth", "BTC", "100", True)
    # The example in Pyth's documentation.
    assert (str(tick.price_usd), str(tick.confidence_usd)) == ("61409.93501000", "32.87868567")
    assert (tick.observed_at, tick.received_at) == (NOW, NOW)
    assert outcome.is_moved
    assert not outcome.rejections


@given(st.integers(1, 2**63 - 1), st.integers(0, 2**64 - 1), st.integers(-18, 6))
def test_take__loses_no_digit(price: int, conf: int, expo: int) -> None:
    [tick] = Readings({FEED: "BTC"}).take(update(message(price=price, conf=conf, expo=expo)), NOW).ticks
    assert tick.price_usd.as_tuple() == Decimal((0, tuple(map(int, str(price))), expo)).as_tuple()
    assert tick.confidence_usd is not None
    assert int(tick.confidence_usd.scaleb(-expo)) == conf


def test_take__follows_a_changing_exponent(readings: Readings) -> None:
    readings.take(update(message()), NOW)
    [tick] = readings.take(update(message(price=6140993, expo=-2, conf=3, publish_time=SECONDS + 1)), NOW).ticks
    assert (tick.price_usd, tick.confidence_usd) == (Decimal("61409.93"), Decimal("0.03"))


def test_take__of_the_same_again_is_silent(readings: Readings) -> None:
    readings.take(update(message()), NOW)
    # A price that is equal in value is the same, however it is written.
    for again in (message(), message(price=61409935010000, expo=-9, conf=0)):
        assert readings.take(update(again, slot=101), NOW) == Outcome((), (), False)


def test_take__accepts_a_later_slot_of_the_same_second(readings: Readings) -> None:
    readings.take(update(message()), NOW)
    outcome = readings.take(update(message(price=5), slot=101), NOW)
    assert [each.reference for each in outcome.ticks] == ["101"]
    assert not outcome.is_moved
    assert codes(readings.take(update(message(price=6), slot=100), NOW)) == ["out_of_order"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"publish_time": SECONDS - 1}, "out_of_order"),
        ({"publish_time": SECONDS + 121}, "from_future"),
        ({"publish_time": 2**62}, "from_future"),
        ({"publish_time": 0}, "never_published"),
        ({"publish_time": -(2**62)}, "never_published"),
        ({"price": 0, "publish_time": SECONDS + 1}, "non_positive_price"),
        ({"price": -1, "publish_time": SECONDS + 1}, "non_positive_price"),
        ({"expo": 2**31 - 1, "publish_time": SECONDS + 1}, "exponent_out_of_range"),
        ({"expo": -(2**31), "publish_time": SECONDS + 1}, "exponent_out_of_range"),
    ],
)
def test_take__rejects_with_a_code_and_goes_on(readings: Readings, changes: dict[str, Any], code: str) -> None:
    readings.take(update(message()), NOW)
    outcome = readings.take(update(message(**changes)), NOW)
    assert (outcome.ticks, codes(outcome)) == ((), [code])
    assert outcome.rejections[0].asset == "BTC"
    # What was rejected does not count as the last price.
    assert len(readings.take(update(message(publish_time=SECONDS + 2)), NOW).ticks) == 1


def test_take__accepts_a_clock_that_is_two_minutes_off(readings: Readings) -> None:
    assert len(readings.take(update(message(publish_time=SECONDS + 120)), NOW).ticks) == 1
    assert codes(readings.take(update(message(publish_time=SECONDS + 121)), NOW)) == ["from_future"]
    assert len(readings.take(update(message(publish_time=SECONDS + 121)), NOW + timedelta(seconds=1)).ticks) == 1


@pytest.mark.parametrize("changes", [{"price": 1}, {"conf": 1}, {"expo": -7}, {"publish_time": SECONDS - 5}])
def test_take__rejects_what_the_message_does_not_say(readings: Readings, changes: dict[str, Any]) -> None:
    outcome = readings.take(update(message(), said=message(**changes)), NOW)
    assert (outcome.ticks, codes(outcome), outcome.is_moved) == ((), ["parsed_mismatch"], False)


def test_take__rejects_a_price_without_a_message(readings: Readings) -> None:
    assert codes(readings.take(update(message(feed_id=OTHER), said=message()), NOW)) == ["unbound"]
    without = update(message()).model_copy(update={"binary": None})
    assert codes(readings.take(without, NOW)) == ["unbound"]


@pytest.mark.parametrize(
    ("data", "code"), [("", "accumulator_invalid"), ("zz", "accumulator_invalid"), ("50", "accumulator_invalid")]
)
def test_take__rejects_prices_of_broken_binary_data(readings: Readings, data: str, code: str) -> None:
    body = {"binary": {"encoding": "hex", "data": [data]}, "parsed": [parsed_of(message())]}
    assert codes(readings.take(parse_update(json.dumps(body)), NOW)) == [code]


def test_take__rejects_a_forged_proof(readings: Readings) -> None:
    good = update(message(), message(feed_id=OTHER))
    assert good.binary is not None
    forged = good.binary.model_copy(update={"data": [good.binary.data[0][:-2] + "00"]})
    assert codes(readings.take(good.model_copy(update={"binary": forged}), NOW)) == ["merkle_mismatch"] * 2


def test_take__judges_each_price_alone_and_ignores_what_nobody_asked_for(readings: Readings) -> None:
    stranger = message(feed_id="ab" * 32)
    outcome = readings.take(update(message(price=-1), message(feed_id=OTHER), stranger), NOW)
    assert [each.asset for each in outcome.ticks] == ["ETH"]
    assert codes(outcome) == ["non_positive_price"]


def test_take__accepts_an_update_of_the_real_network(readings: Readings) -> None:
    real = Path(__file__).with_name("btc_update.hex").read_text(encoding="ascii").strip()
    said = message(price=6694292072563, conf=6737627122, publish_time=1729766814)
    body = {"binary": {"encoding": "hex", "data": [real]}, "parsed": [parsed_of(said)]}
    [tick] = readings.take(parse_update(json.dumps(body)), NOW).ticks
    assert (tick.price_usd, tick.reference) == (Decimal("66942.92072563"), "173357632")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"parsed": null}',
        '{"parsed": [{"id": "xy"}]}',
        '{"parsed": [], "binary": {"encoding": "rot13", "data": []}}',
        json.dumps({"parsed": [{"id": FEED, "price": {"price": 1.5, "conf": "1", "expo": 0, "publish_time": 1}}]}),
        json.dumps({"parsed": [{"id": FEED, "price": {"price": "1e5", "conf": "1", "expo": 0, "publish_time": 1}}]}),
        json.dumps({"parsed": [{"id": FEED, "price": {"price": "1", "conf": "1", "expo": "0", "publish_time": 1}}]}),
        "[" * 10_000,
    ],
)
def test_parse_update__refuses_what_is_not_of_the_contract(text: str) -> None:
    with pytest.raises(HermesError) as caught:
        parse_update(text)
    assert caught.value.code == "malformed"


def test_parse_update__takes_ids_in_every_form() -> None:
    body = json.dumps({"parsed": [parsed_of(message()) | {"id": f"0x{FEED.upper()}"}]})
    assert parse_update(body).parsed[0].id == FEED

"""Round ids, exact prices, and the judgement of rounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.prices.chainlink.rounds import Round, RoundId, exact_price, is_out_of_order, judge
from ingest.prices.feeds import load_feeds
from ingest.prices.ticks import Rejection, Tick

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT = int(NOW.timestamp()) - 30
GOOD = Round(RoundId(5, 13078), 6_500_012_345_678, AT)
FEED = load_feeds().assets["BTC"].chainlink


@settings(max_examples=50)
@given(st.integers(0, 2**80 - 1))
def test_round_id__survives_the_way_through_its_parts(value):
    round_id = RoundId.from_int(value)
    assert int(round_id) == value
    assert str(round_id) == str(value)
    assert (round_id.phase, round_id.aggregator_round) == divmod(value, 2**64)


def test_round_id__reads_the_documented_example():
    assert RoundId.from_int(92233720368547771158) == RoundId(5, 13078)


@settings(max_examples=30)
@given(st.integers(0, 2**80 - 1), st.integers(0, 2**80 - 1))
def test_round_id__orders_as_its_number_does(one, other):
    assert (RoundId.from_int(one) < RoundId.from_int(other)) == (one < other)


@pytest.mark.parametrize("value", [-1, 2**80])
def test_round_id__refuses_what_is_no_uint80(value):
    with pytest.raises(ValueError, match="no uint80"):
        RoundId.from_int(value)


@pytest.mark.parametrize(("phase", "number"), [(2**16, 0), (0, 2**64), (-1, 0), (0, -1)])
def test_round_id__refuses_parts_that_do_not_fit(phase, number):
    with pytest.raises(ValueError, match="do not fit"):
        RoundId(phase, number)


@settings(max_examples=50)
@given(st.integers(-(2**255), 2**255 - 1), st.integers(0, 18))
def test_exact_price__keeps_every_digit(answer, decimals):
    price = exact_price(answer, decimals)
    sign, digits, exponent = price.as_tuple()
    assert exponent == -decimals
    assert int("".join(map(str, digits))) * (-1 if sign else 1) == answer


def test_exact_price__does_not_depend_on_the_thread_context():
    with localcontext(prec=3):
        assert exact_price(6_500_012_345_678, 8) == Decimal("65000.12345678")


def test_judge__makes_a_tick_of_a_good_round():
    tick = judge("BTC", FEED, GOOD, NOW, is_simulated=False)
    assert tick == Tick(
        source="chainlink",
        asset="BTC",
        price_usd=Decimal("65000.12345678"),
        confidence_usd=None,
        observed_at=datetime.fromtimestamp(AT, UTC),
        received_at=NOW,
        reference="92233720368547771158",
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"answer": 0}, "zero_answer"),
        ({"answer": -1}, "negative_answer"),
        ({"updated_at": 0}, "incomplete_round"),
        ({"round_id": RoundId(0, 0)}, "incomplete_round"),
        ({"answer": 0, "updated_at": 0}, "incomplete_round"),
        ({"updated_at": int((NOW + timedelta(seconds=121)).timestamp())}, "from_future"),
        ({"updated_at": 2**256 - 1}, "from_future"),
        ({"answer": 10**23}, "out_of_range"),
        ({"answer": 2**255 - 1}, "out_of_range"),
    ],
)
def test_judge__refuses_with_a_stable_code(change, code):
    found = judge("BTC", FEED, replace(GOOD, **change), NOW, is_simulated=False)
    assert isinstance(found, Rejection)
    assert (found.code, found.asset, found.source) == (code, "BTC", "chainlink")


def test_judge__allows_the_skew_of_clocks():
    found = judge("BTC", FEED, replace(GOOD, updated_at=int(NOW.timestamp()) + 120), NOW, is_simulated=False)
    assert isinstance(found, Tick)


@pytest.mark.parametrize(
    ("round_id", "seconds", "is_older"),
    [
        (RoundId(5, 13079), 10, False),
        (RoundId(5, 13077), 0, True),
        (RoundId(5, 13079), -1, True),
        (RoundId(5, 13078), 0, False),
        (RoundId(6, 1), -500, False),
        (RoundId(4, 99_999), 500, True),
    ],
)
def test_is_out_of_order__goes_by_round_and_date_within_a_phase(round_id, seconds, is_older):
    assert is_out_of_order(Round(round_id, 1, AT + seconds), GOOD) is is_older

"""How numbers, times and ages are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlit_app.components import formats


@pytest.mark.parametrize(
    ("lower", "upper", "shown"),
    [
        (Decimal("1234.5"), Decimal(2000), "1,234.50 to 2,000.00"),
        (Decimal("1234.5"), None, "at least 1,234.50 USD"),
        (None, Decimal(2000), "at most 2,000.00 USD"),
        (None, None, ""),
    ],
)
def test_interval__names_the_bounds_that_there_are(lower: Decimal | None, upper: Decimal | None, shown: str) -> None:
    assert formats.interval(lower, upper) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("1234567.891"), "1,234,567.89 USD"),
        (Decimal(0), "0.00 USD"),
        (Decimal("-0.001"), "0.00 USD"),
        (Decimal("-1500.5"), "\u22121,500.50 USD"),
        (None, "unknown"),
    ],
)
def test_usd__groups_thousands_and_names_the_unit(value: Decimal | None, shown: str) -> None:
    assert formats.usd(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("97345.1234"), "97,345.12 USD"),
        (Decimal("2.34175"), "2.3418 USD"),
        (Decimal("0.99981"), "0.9998 USD"),
        (Decimal("0.00001234"), "0.00001234 USD"),
        (None, "unknown"),
    ],
)
def test_price__keeps_the_digits_that_matter_for_small_prices(value: Decimal | None, shown: str) -> None:
    assert formats.price(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("8.72131"), "\u00b1 8.72 USD"),
        (Decimal("0.8469"), "\u00b1 0.85 USD"),
        (Decimal("0.00485990"), "\u00b1 0.0049 USD"),
        (Decimal("0.00050013"), "\u00b1 0.00050 USD"),
        (Decimal(0), "\u00b1 0.00 USD"),
    ],
)
def test_half_width__has_two_digits_that_count(value: Decimal, shown: str) -> None:
    assert formats.half_width(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("1.50000000"), "1.5 BTC"),
        (Decimal(1200), "1,200 BTC"),
        (Decimal("0.123456789"), "0.12345679 BTC"),
        (Decimal("0.000000000000000001"), "< 0.00000001 BTC"),
        (Decimal("-0.000000000000000001"), "\u2212< 0.00000001 BTC"),
        (Decimal(0), "0 BTC"),
        (Decimal("-2.5"), "\u22122.5 BTC"),
    ],
)
def test_quantity__trims_zeros_and_never_hides_a_rest(value: Decimal, shown: str) -> None:
    assert formats.quantity(value, "BTC") == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("29.99999"), "29.99%"),
        (Decimal("30"), "30.00%"),
        (Decimal("-0.001"), "\u22120.01%"),
        (None, "unknown"),
    ],
)
def test_health__rounds_down_so_that_it_never_reads_as_a_threshold_it_missed(value: Decimal | None, shown: str) -> None:
    assert formats.health(value) == shown


@given(st.decimals(min_value=-100, max_value=30, allow_nan=False, places=6).filter(lambda value: value < 30))
def test_health__below_the_margin_call_never_shows_thirty(value: Decimal) -> None:
    shown = Decimal(formats.health(value).rstrip("%").replace(",", "").replace(formats.MINUS, "-"))
    assert shown < 30


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("4.25"), "+4.2%"),
        (Decimal("-7.14"), "\u22127.1%"),
        (Decimal("-0.064"), "\u22120.06%"),
        (Decimal("0.001"), "0.00%"),
        (None, "unknown"),
    ],
)
def test_change__is_signed_and_finer_when_small(value: Decimal | None, shown: str) -> None:
    assert formats.change(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(Decimal("97.50"), "97.5%"), (Decimal(100), "100%"), (Decimal(30), "30%")]
)
def test_plain_percent__has_no_trailing_zero_and_no_exponent(value: Decimal, shown: str) -> None:
    assert formats.plain_percent(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (-3, "0 s"),
        (None, "unknown"),
    ],
)
def test_age__shows_the_two_largest_units(seconds: float | None, shown: str) -> None:
    assert formats.age(seconds) == shown


def test_time_of_day__is_utc_whatever_the_zone_of_the_value() -> None:
    at = datetime(2026, 3, 2, 14, 34, 56, tzinfo=timezone(timedelta(hours=2)))
    assert formats.time_of_day(at) == "12:34:56 UTC"
    assert formats.moment(datetime(2026, 3, 2, 1, 2, 3, tzinfo=UTC)) == "2026-03-02 01:02:03 UTC"


@pytest.mark.parametrize(("number", "shown"), [(1, "1 account"), (0, "0 accounts"), (1200, "1,200 accounts")])
def test_count__agrees_with_its_noun(number: int, shown: str) -> None:
    assert formats.count(number, "account") == shown


def test_words__shows_a_code_that_it_does_not_know() -> None:
    assert formats.words("margin_call", formats.STATUS_WORDS) == "Margin call"
    assert formats.words("brand_new", formats.STATUS_WORDS) == "Brand new"

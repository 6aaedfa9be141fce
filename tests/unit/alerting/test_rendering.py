"""What rendering promises beyond the committed texts: exact figures, nothing stale, no message too long."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from babel.numbers import format_currency, format_percent
from hypothesis import given
from hypothesis import strategies as st

from alerting.gsm7 import is_gsm7, segments
from alerting.notices import ChannelName, Kind, Notice
from alerting.rendering.language import LANGUAGES, environment, load_language
from tests.unit.alerting.rendering_cases import (
    AT,
    CASES,
    EMAIL,
    PAGERDUTY,
    RENDERER,
    SMS,
    WEBHOOK,
    mail,
    notice,
    page,
    sms,
    webhook,
)

FORMATS = {code: load_language(code, environment()).formats for code in LANGUAGES}
SEVERITIES = ["early_warning", "margin_call", "liquidation", "recovered", "unpriced"]
# BIGNUMERIC, which every figure of the warehouse fits.
figures = st.decimals(
    min_value=Decimal("-5.7e38"), max_value=Decimal("5.7e38"), allow_nan=False, allow_infinity=False
) | st.decimals(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=64).filter(lambda text: any(each.isalnum() for each in text))


# Numbers and times


@pytest.mark.parametrize("code", LANGUAGES)
@given(value=st.decimals(min_value=-(10**24), max_value=10**24, places=6))
def test_formats__writes_numbers_as_babel_does(code: str, value: Decimal) -> None:
    formats = FORMATS[code]
    zero = Decimal("0.00")
    rounded = value.quantize(Decimal("0.01"))
    assert formats.usd(value) == format_currency(rounded or zero, "USD", locale=code)
    whole = value.quantize(Decimal("0.1"), "ROUND_FLOOR")
    pattern = {"en": "#,##0.0%", "de": "#,##0.0\xa0%", "es": "#,##0.0\xa0%"}[code]
    assert formats.percent(value) == format_percent(whole / 100 or Decimal(0), pattern, locale=code)


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        ("57500.005", "$57,500.00"),
        ("10", "$10.00"),
        ("9.99999", "$10.0000"),
        ("0.0123456", "$0.0123"),
        ("0.000012345", "$0.00001234"),
        ("0", "$0.00"),
    ],
)
def test_price__shows_decimals_that_tell_small_prices_apart(price: str, shown: str) -> None:
    assert FORMATS["en"].price(Decimal(price)) == shown


@pytest.mark.parametrize(
    ("health", "threshold", "shown", "called"),
    [
        ("29.9999", "30", "29.9%", "30%"),
        ("29.9999", "30.00", "29.9%", "30%"),
        ("12.5499", "12.55", "12.54%", "12.55%"),
        ("-3.21", "15", "-3.3%", "15%"),
    ],
)
def test_health__is_rounded_down_so_that_it_never_reads_as_the_threshold(
    health: str, threshold: str, shown: str, called: str
) -> None:
    text = sms(notice(SMS, health=health, threshold=threshold))
    assert f"health {shown} < {called}." in text


@pytest.mark.parametrize(
    ("time_zone", "expected"),
    [
        ("Europe/Berlin", ["Detected: Jan 31, 2026, 13:00:00 (Europe/Berlin)", "(UTC): Jan 31, 2026, 12:00:00 UTC"]),
        ("Asia/Tokyo", ["Detected: Jan 31, 2026, 21:00:00 (Asia/Tokyo)", "(UTC): Jan 31, 2026, 12:00:00 UTC"]),
        ("UTC", ["Detected: Jan 31, 2026, 12:00:00 UTC"]),
        ("Mars/Olympus", ["Detected: Jan 31, 2026, 12:00:00 UTC"]),
        ("../etc/passwd", ["Detected: Jan 31, 2026, 12:00:00 UTC"]),
        ("", ["Detected: Jan 31, 2026, 12:00:00 UTC"]),
    ],
)
def test_times__are_in_the_recipients_zone_and_in_utc(time_zone: str, expected: list[str]) -> None:
    lines = [line.strip() for line in mail(notice(EMAIL, time_zone=time_zone)).text.splitlines() if "Detected" in line]
    assert len(lines) == len(expected)
    assert all(part in line for part, line in zip(expected, lines, strict=True))


@pytest.mark.parametrize(
    ("locale", "word"),
    [
        ("de-AT", "Konto"),
        ("de_CH", "Konto"),
        ("ES", "Cuenta"),
        ("es-419", "Cuenta"),
        ("en-GB", "Account"),
        ("fr", "Account"),
        ("", "Account"),
        ("deutsch", "Account"),
    ],
)
def test_locale__falls_back_to_its_language_and_then_to_english(locale: str, word: str) -> None:
    assert f"{word}: acct-00001" in mail(notice(EMAIL, locale=locale)).text


# Cure


def test_cure__is_rounded_up_to_cents_for_people_and_exact_for_machines() -> None:
    asked = {"collateral_usd": "64750.001", "borrow_usd": "50000"}
    assert "deposit $2,750.00 or repay $2,037.04" in sms(notice(SMS, **asked))
    assert webhook(notice(WEBHOOK, **asked)).data["cure"] == {
        "target_pct": "35",
        "deposit_usd": "2749.999000000",
        "repay_usd": "2037.036296297",
    }


@pytest.mark.parametrize(
    ("threshold", "levels", "target"),
    [("30", ["15", "30"], "35"), ("15", ["15", "50"], "50"), ("45", [], "45"), (None, [], "35")],
)
def test_cure__leads_out_of_the_accounts_own_thresholds(threshold: str | None, levels: list[str], target: str) -> None:
    prices = [{"asset": "BTC", "threshold_pct": level, "price_usd": "1", "reason": None} for level in levels]
    data = webhook(notice(WEBHOOK, threshold=threshold, liquidation_prices=prices)).data
    assert data["cure"]["target_pct"] == target


def test_cure__is_left_out_where_it_cannot_be_known() -> None:
    huge = {"collateral_usd": "1", "borrow_usd": "1e200"}
    assert webhook(notice(WEBHOOK, **huge)).data["cure"] is None
    assert "deposit" not in sms(notice(SMS, **huge))


# Nothing stale


def test_unpriced__shows_no_figure_although_the_event_carries_some() -> None:
    name = "margin unpriced"
    told = [mail(notice(EMAIL, name)).text, sms(notice(SMS, name)), repr(page(notice(PAGERDUTY, name)))]
    for text in told:
        assert "BTC" in text
        assert "40" not in text.replace("ntf_1", "")
        assert "70,000" not in text
        assert "50,000" not in text
    assert webhook(notice(WEBHOOK, name)).data["cure"] is None


def test_margin_call__without_health_says_so_and_names_no_amount() -> None:
    text = sms(notice(SMS, health=None))
    assert "health unknown." in text
    assert "deposit" not in text
    assert "unknown" in mail(notice(EMAIL, health=None)).subject


def test_margin_call__after_liquidation_does_not_call_health_below_the_threshold() -> None:
    name = "margin margin_call, after liquidation"
    assert "17.5% >= 15%" in sms(notice(SMS, name))
    assert "below" not in mail(notice(EMAIL, name)).text


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("channel", [EMAIL, SMS, PAGERDUTY])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_margin__says_plainly_that_prices_are_simulated(severity: str, channel: ChannelName, locale: str) -> None:
    name = f"margin {severity}"
    said = {"en": "Simulated prices", "de": "Simulierte Preise", "es": "Precios simulados"}
    words = said["en" if channel is PAGERDUTY else locale]
    assert words in repr(RENDERER.render(notice(channel, name, locale=locale, is_simulated=True)))
    assert words not in repr(RENDERER.render(notice(channel, name, locale=locale)))


def test_prices__are_those_of_liquidation_and_of_no_more_assets_than_fit() -> None:
    prices = [
        {"asset": f"A{number:02}", "threshold_pct": level, "price_usd": "12.5", "reason": None}
        for level in ("30", "15")
        for number in range(20)
    ]
    content = mail(notice(EMAIL, liquidation_prices=prices))
    assert content.text.count("$12.50") == 12
    assert "The account holds 8 more" in content.text
    assert "threshold of 15%:" in content.text
    assert len(content.html.encode()) < 6_000


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("below_at_any_price", "none: health is below at any price"),
        ("frozen_by_order", "frozen by order"),
        (None, "unknown"),
    ],
)
def test_prices__give_the_reason_in_words_where_there_is_none(reason: str | None, shown: str) -> None:
    prices = [{"asset": "BTC", "threshold_pct": "15", "price_usd": None, "reason": reason}]
    assert f"BTC: {shown}\n" in mail(notice(EMAIL, liquidation_prices=prices)).text


# Any figures


@pytest.mark.parametrize("locale", LANGUAGES)
@given(
    severity=st.sampled_from(SEVERITIES),
    health=figures | st.none(),
    threshold=figures | st.none(),
    collateral=figures,
    borrow=figures,
    price=figures | st.none(),
    account=names,
    asset=names,
    is_simulated=st.booleans(),
)
def test_render__puts_any_figures_into_words(
    locale: str,
    severity: str,
    health: Decimal | None,
    threshold: Decimal | None,
    collateral: Decimal,
    borrow: Decimal,
    price: Decimal | None,
    account: str,
    asset: str,
    is_simulated: bool,
) -> None:
    changes: dict[str, Any] = {
        "severity": severity,
        "account_id": account,
        "health": None if health is None else str(health),
        "threshold": threshold,
        "collateral_usd": str(collateral),
        "borrow_usd": borrow,
        "liquidation_prices": [{"asset": asset, "threshold_pct": "15", "price_usd": price, "reason": None}],
        "unpriced_assets": [asset],
        "is_simulated": is_simulated,
    }
    for channel in (EMAIL, WEBHOOK, PAGERDUTY):
        RENDERER.render(any_notice(channel, severity, locale, changes))
    text = sms(any_notice(SMS, severity, locale, changes))
    assert is_gsm7(text)
    assert 1 <= segments(text) <= 2


def any_notice(channel: ChannelName, severity: str, locale: str, changes: dict[str, Any]) -> Notice:
    payload = CASES["margin margin_call"]["payload"] | changes
    return Notice("ntf_1", Kind.MARGIN, severity, channel, locale, "UTC", payload, AT)


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "sms" in case["channels"]])
def test_sms__of_an_account_with_a_long_id_keeps_to_two_segments(name: str, locale: str) -> None:
    long = {"account_id": "A-" * 32, "case_id": "C-" * 32, "summary": "s" * 500}
    changes = {key: value for key, value in long.items() if key in CASES[name]["payload"]}
    text = sms(notice(SMS, name, locale=locale, code="482913", **changes))
    assert 1 <= segments(text) <= 2

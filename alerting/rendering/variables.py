"""What the templates of mail and text messages may say, as texts in the recipient's language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from alerting.errors import TemplateError
from alerting.events import Severity
from alerting.notices import Notice
from alerting.rendering import fields
from alerting.rendering.formats import Formats, clock_time, percent_decimals, zone_of
from alerting.rendering.language import Language
from alerting.rendering.margin import MarginFacts
from alerting.rendering.sms import shortened

Variables = dict[str, Any]

MAX_PRICES = 12
# An account's id has at most 64 characters where we give it; the event allows more.
_SMS_LENGTHS = {"account": 64, "case": 64, "reason": 110, "summary": 60}
_MIN_HEALTH_DECIMALS = 1


@dataclass(frozen=True, slots=True)
class Links:
    """Where people reach the app and the API, without a slash at the end."""

    app_url: str
    public_url: str

    def account(self, account_id: str) -> str:
        """The account in the app."""
        return f"{self.app_url}/?account={quote(account_id, safe='')}"

    def verification(self, code: str) -> str:
        """The page that confirms an address."""
        return f"{self.public_url}/v1/alert-verifications/{quote(code, safe='')}"


def margin_figures(language: Language, facts: MarginFacts, links: Links) -> Variables:
    """What every text about an account's margin may name."""
    formats, words = language.formats, language.words
    threshold_pct, cure = facts.threshold_pct, facts.cure
    is_called = facts.severity is not Severity.RECOVERED
    return {
        "account": facts.account_id,
        "health": health_text(language, facts),
        "has_health": facts.health_pct is not None,
        "threshold": formats.plain_percent(threshold_pct) if threshold_pct is not None and facts.has_health else None,
        "relation": ">=" if facts.is_better else "<",
        "is_better": facts.is_better,
        "target": formats.plain_percent(facts.target_pct),
        "deposit": formats.usd_raised(cure.deposit_usd) if is_called and cure and cure.deposit_usd else None,
        "repay": formats.usd_raised(cure.repay_usd) if is_called and cure and cure.repay_usd else None,
        "previous": words.severity_word(facts.previous) if facts.previous else None,
        "reason": words.reason_words(facts.unpriced_reason, facts.unpriced_assets),
        "link": links.account(facts.account_id),
    }


def margin_details(language: Language, facts: MarginFacts, time_zone: str) -> Variables:
    """What mail says beyond `margin_figures`: amounts, liquidation prices and times."""
    formats, words = language.formats, language.words
    shown = facts.prices[:MAX_PRICES]
    return {
        "collateral": formats.usd(facts.collateral_usd),
        "debt": formats.usd(facts.borrow_usd),
        "prices": [
            (
                fields.one_line(each.asset),
                words.no_price_words(each.reason) if each.price_usd is None else formats.price(each.price_usd),
            )
            for each in shown
        ],
        "prices_threshold": formats.plain_percent(shown[0].threshold_pct) if shown else None,
        "more_prices": len(facts.prices) - len(shown),
        "assets": ", ".join(facts.unpriced_assets) or None,
        **times(formats, "detected", facts.detected_at, time_zone),
    }


def health_text(language: Language, facts: MarginFacts) -> str:
    """Health with as many decimals as tell it from the threshold, at least one, rounded down."""
    if facts.health_pct is None:
        return language.words.no_debt if facts.severity is Severity.RECOVERED else language.words.unknown
    return language.formats.percent(facts.health_pct, max(_MIN_HEALTH_DECIMALS, percent_decimals(facts.threshold_pct)))


def compliance(language: Language, notice: Notice) -> Variables:
    """A step of a compliance case; its summary stays English."""
    payload = notice.payload
    return {
        "case": fields.text(payload, "case_id"),
        "severity": language.words.severity_word(fields.text(payload, "severity")),
        "step": readable(fields.text(payload, "kind")),
        "account": fields.optional_text(payload, "account_id"),
        "rule": fields.optional_text(payload, "rule_id"),
        "policy": fields.optional_text(payload, "policy_version"),
        "summary": fields.optional_text(payload, "summary"),
        **times(language.formats, "occurred", fields.moment(payload, "occurred_at"), notice.time_zone),
    }


def delivery_rate(language: Language, notice: Notice) -> Variables:
    """How a channel keeps its promise."""
    payload, formats = notice.payload, language.formats
    channel = fields.text(payload, "channel")
    rate_pct, target_pct = fields.optional_decimal(payload, "rate_pct"), fields.decimal(payload, "target_pct")
    decimals = max(_MIN_HEALTH_DECIMALS, percent_decimals(target_pct))
    return {
        "channel": language.words.channel.get(channel, channel),
        "rate": language.words.unknown if rate_pct is None else formats.percent(rate_pct, decimals),
        "target": formats.plain_percent(target_pct),
        "window": fields.whole(payload, "window_minutes"),
        "ended": fields.whole(payload, "ended"),
        "failed": fields.whole(payload, "failed"),
        **times(formats, "detected", notice.detected_at, notice.time_zone),
    }


def test(notice: Notice) -> Variables:
    """A test alert."""
    return {"requested_by": fields.text(notice.payload, "requested_by")}


def verification(language: Language, notice: Notice, links: Links, *, is_brief: bool) -> Variables:
    """The proof of ownership; a text message names the time only."""
    code = code_of(notice)
    expires_at = fields.moment(notice.payload, "expires_at")
    if is_brief:
        return {"code": code, "expires": clock_time(expires_at, zone_of(notice.time_zone))}
    return {
        "link": links.verification(code),
        **times(language.formats, "expires", expires_at, notice.time_zone),
    }


def code_of(notice: Notice) -> str:
    """The code of a verification."""
    if not notice.code:
        raise TemplateError("The verification has no code.")
    return notice.code


def times(formats: Formats, name: str, at: datetime, time_zone: str) -> Variables:
    """A moment in the recipient's zone, and in UTC where that is another."""
    zone = zone_of(time_zone)
    utc = zone_of("UTC")
    return {name: formats.moment(at, zone), f"{name}_utc": None if zone is utc else formats.moment(at, utc)}


def readable(code: str) -> str:
    """A code as people read it: `Case opened`."""
    return code.replace("_", " ").capitalize()


def sms_safe(variables: Variables) -> Variables:
    """The same, with ids and reasons shortened to what a text message can hold."""
    return {
        name: shortened(value, _SMS_LENGTHS[name]) if value and name in _SMS_LENGTHS else value
        for name, value in variables.items()
    }

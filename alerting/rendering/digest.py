"""Many alerts in one message: grouped by severity, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from alerting.errors import TemplateError
from alerting.events import Severity
from alerting.notices import Kind, Notice
from alerting.rendering import fields
from alerting.rendering.formats import clock_time, zone_of
from alerting.rendering.language import SEVERITIES, Language
from alerting.rendering.sms import shortened
from alerting.rendering.variables import Variables

MAX_LINES = 100
MAX_WORST = 3
_WORST_FIRST = (
    "liquidation",
    "critical",
    "margin_call",
    "unpriced",
    "warning",
    "early_warning",
    "recovered",
    "info",
)
_SMS_NAME = 40


@dataclass(frozen=True, slots=True)
class Member:
    """One alert of the digest; `fact` is what its line says beside the name."""

    severity: str
    name: str
    fact: str | None
    at: datetime
    is_simulated: bool


def digest_members(language: Language, notice: Notice) -> list[Member]:
    """The alerts, the worst first, then the latest; `TemplateError` for one of a kind or severity that is unknown."""
    if not notice.members:
        raise TemplateError("The digest has no members.")
    found = [_member(language, each) for each in notice.members]
    return sorted(found, key=lambda each: (_WORST_FIRST.index(each.severity), -each.at.timestamp(), each.name))


def mail_variables(language: Language, notice: Notice, members: list[Member], app_url: str) -> Variables:
    """What the mail says: at most 100 lines, and how many more there are."""
    zone, formats = zone_of(notice.time_zone), language.formats
    shown = members[:MAX_LINES]
    return {
        "count": len(members),
        "start": formats.minute(fields.moment(notice.payload, "window_start"), zone),
        "end": formats.minute(fields.moment(notice.payload, "window_end"), zone),
        "zone": zone.key,
        "groups": [
            (
                language.words.severity_word(severity),
                [
                    (each.name, ", ".join(part for part in (each.fact, formats.minute(each.at, zone)) if part))
                    for each in group
                ],
            )
            for severity, group in groupby(shown, key=lambda each: each.severity)
        ],
        "more": len(members) - len(shown),
        "link": f"{app_url}/",
    }


def sms_variables(language: Language, notice: Notice, members: list[Member], worst: int) -> Variables:
    """What the text message says, with the `worst` first alerts named."""
    zone = zone_of(notice.time_zone)
    return {
        "count": len(members),
        "start": clock_time(fields.moment(notice.payload, "window_start"), zone),
        "end": clock_time(fields.moment(notice.payload, "window_end"), zone),
        "worst": ", ".join(
            f"{language.words.severity_word(each.severity)} {shortened(each.name, _SMS_NAME)}"
            for each in members[:worst]
        ),
        "more": len(members) - min(worst, len(members)),
    }


def _member(language: Language, payload: fields.Payload) -> Member:
    kind, severity = fields.text(payload, "kind"), fields.text(payload, "severity")
    if kind not in (Kind.MARGIN, Kind.COMPLIANCE) or severity not in SEVERITIES[Kind(kind)]:
        raise TemplateError(f"A digest cannot hold {kind[:40]!r} of severity {severity[:40]!r}.")
    if kind == Kind.COMPLIANCE:
        return Member(severity, fields.text(payload, "case_id"), None, fields.moment(payload, "occurred_at"), False)
    fact = _health(language, fields.optional_decimal(payload, "health"), severity)
    is_simulated = fields.flag(payload, "is_simulated")
    if is_simulated:
        fact = f"{fact}, {language.words.simulated}"
    name, at = fields.text(payload, "account_id"), fields.moment(payload, "detected_at")
    return Member(severity, name, fact, at, is_simulated)


def _health(language: Language, health_pct: Decimal | None, severity: str) -> str:
    # What an unpriced account's event carries is not current, and a recovered one without health owes nothing.
    if health_pct is None or severity == Severity.UNPRICED:
        return language.words.no_debt if severity == Severity.RECOVERED else language.words.unknown
    return language.formats.percent(health_pct)

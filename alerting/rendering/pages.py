"""What PagerDuty is told, always in English: one alert for each episode, which recovery resolves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alerting.channels.base import PageContent
from alerting.errors import TemplateError
from alerting.events import Severity
from alerting.notices import Kind, Notice
from alerting.rendering import fields
from alerting.rendering.language import SEVERITIES, Language
from alerting.rendering.margin import MarginFacts, dedup_key
from alerting.rendering.sms import shortened
from alerting.rendering.variables import Links, delivery_rate, margin_figures, readable
from alerting.rendering.webhooks import cure_of

MAX_SUMMARY = 1024
_MAX_REASON = 200
_TRIGGER = "trigger"
_RESOLVE = "resolve"
_MARGIN_SEVERITY = {
    Severity.LIQUIDATION: "critical",
    Severity.MARGIN_CALL: "error",
    Severity.EARLY_WARNING: "warning",
    Severity.UNPRICED: "warning",
    Severity.RECOVERED: "info",
}


def margin_page(english: Language, notice: Notice, facts: MarginFacts, links: Links) -> PageContent:
    """A margin event: opens the episode's alert or adds to it, and resolves it on recovery."""
    action = _RESOLVE if facts.severity is Severity.RECOVERED else _TRIGGER
    return _margin(english, notice, facts, links, action, _margin_summary(english, facts, links))


def escalation_page(english: Language, notice: Notice, facts: MarginFacts, links: Links) -> PageContent:
    """A margin event that nobody accepted: joins the alert of its episode."""
    page = _margin(english, notice, facts, links, _TRIGGER, _margin_summary(english, facts, links))
    return unaccepted(page, fields.text(notice.payload, "reason"))


def unaccepted(page: PageContent, reason: str) -> PageContent:
    """The page of an event that nobody accepted, which says so first."""
    said = shortened(reason, _MAX_REASON).rstrip(".")
    summary = f"Nobody has accepted the alert ({said}). {page.summary}"[:MAX_SUMMARY]
    return replace(page, summary=summary, details={**page.details, "escalation_reason": reason})


def delivery_rate_page(english: Language, notice: Notice) -> PageContent:
    """A channel that does not keep its promise, or does so again."""
    values = delivery_rate(english, notice)
    channel = fields.text(notice.payload, "channel")
    if notice.severity not in SEVERITIES[Kind.DELIVERY_RATE]:
        raise TemplateError(f"There is no page for delivery_rate {notice.severity[:40]!r}.")
    is_over = notice.severity == "recovered"
    relation = "back at" if is_over else "down to"
    return PageContent(
        action=_RESOLVE if is_over else _TRIGGER,
        dedup_key=dedup_key("delivery-rate", channel),
        summary=(
            f"Delivery rate of {values['channel']} {relation} {values['rate']}, target {values['target']}: "
            f"{values['failed']} of {values['ended']} notifications failed in {values['window']} minutes"
        )[:MAX_SUMMARY],
        severity="info" if is_over else "warning",
        timestamp=notice.detected_at,
        component="alerting",
        group=channel,
        details={name: values[name] for name in ("rate", "target", "window", "ended", "failed")} | {"channel": channel},
    )


def compliance_page(notice: Notice) -> PageContent:
    """A step of a compliance case; all steps share the case's alert."""
    payload = notice.payload
    severity, case_id = fields.text(payload, "severity"), fields.text(payload, "case_id")
    if severity not in SEVERITIES[Kind.COMPLIANCE]:
        raise TemplateError(f"There is no page for compliance {severity[:40]!r}.")
    summary = fields.optional_text(payload, "summary")
    step = readable(fields.text(payload, "kind"))
    return PageContent(
        action=_TRIGGER,
        dedup_key=dedup_key("compliance", case_id),
        summary=f"Compliance case {case_id}: {step}{f'. {summary}' if summary else ''}"[:MAX_SUMMARY],
        severity=severity,
        timestamp=notice.detected_at,
        component="compliance",
        group=case_id,
        details={name: fields.optional_text(payload, name) for name in ("account_id", "rule_id", "policy_version")}
        | {"case_id": case_id, "kind": fields.text(payload, "kind")},
    )


def _margin(
    english: Language,
    notice: Notice,
    facts: MarginFacts,
    links: Links,
    action: str,
    summary: str,
) -> PageContent:
    formats = english.formats
    details: dict[str, Any] = {
        "account_id": facts.account_id,
        "severity": str(facts.severity),
        "previous_severity": facts.previous,
        "health": None if facts.health_pct is None else formats.percent(facts.health_pct, 2),
        "threshold": None if facts.threshold_pct is None else formats.plain_percent(facts.threshold_pct),
        "is_simulated": facts.is_simulated,
        "app": links.account(facts.account_id),
    }
    if facts.severity is Severity.UNPRICED:
        details |= {"unpriced_assets": list(facts.unpriced_assets), "unpriced_reason": facts.unpriced_reason}
    else:
        details |= {
            "collateral": formats.usd(facts.collateral_usd),
            "debt": formats.usd(facts.borrow_usd),
            "cure": cure_of(facts),
        }
    return PageContent(
        action=action,
        dedup_key=dedup_key("margin", facts.account_id, facts.episode_id),
        summary=summary[:MAX_SUMMARY],
        severity=_MARGIN_SEVERITY[facts.severity],
        timestamp=notice.detected_at,
        component="margin",
        group=facts.account_id,
        details=details,
    )


def _margin_summary(english: Language, facts: MarginFacts, links: Links) -> str:
    values = margin_figures(english, facts, links)
    mark = f"[{english.words.simulated}] " if facts.is_simulated else ""
    start = f"{mark}{english.words.severity_word(facts.severity)}: account {facts.account_id}"
    if facts.severity is Severity.UNPRICED:
        return f"{start}, {values['reason']}"
    if not facts.has_health:
        return f"{start}, {'no debt' if facts.severity is Severity.RECOVERED else 'health unknown'}"
    summary = f"{start}, health {values['health']}"
    if values["threshold"]:
        summary += f" {values['relation']} {values['threshold']}"
    if values["deposit"]:
        summary += f"; to reach {values['target']} deposit {values['deposit']}"
        summary += f" or repay {values['repay']}" if values["repay"] else ""
    return summary

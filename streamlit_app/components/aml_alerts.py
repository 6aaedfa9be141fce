"""Alerts of transaction monitoring as markup: the list of them, and what became of the hits of each rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import urlencode

from compliance.api.aml_schemas import AlertSummary, AlertView, RuleOutcomes
from streamlit_app.components import aml_words as words
from streamlit_app.components import cases_words, formats, markup
from streamlit_app.components.markup import Cell, Column, text
from streamlit_app.components.scope import APP_ROOT

PATH = "aml"
PARAMETER = "transaction"
_MOST_REASON = 220
_HITS = ("rejected", "released", "blocked", "accepted", "open", "unknown")


def transaction_address(transaction_id: str) -> str:
    """The address of a transaction's file."""
    return f"{APP_ROOT}{PATH}?{urlencode({PARAMETER: transaction_id})}"


def transaction_link(transaction_id: str, *, stays: bool = True) -> str:
    """A link to the file of a transaction; where the page `stays`, it opens it without loading anew."""
    shown = escape(transaction_id)
    here = f' data-account="{shown}"' if stays else ' target="_self"'
    return f'<a class="link clip" href="{escape(transaction_address(transaction_id))}"{here}>{shown}</a>'


def alerts_html(alerts: Sequence[AlertView], now: datetime, is_filtered: bool) -> str:
    """A page of alerts with their evidence, the newest first."""
    if not alerts:
        why = "No alert fits these filters." if is_filtered else "No rule has raised an alert yet."
        return f'<p class="muted">{why}</p>'
    columns = (
        Column("Transaction"),
        Column("Rule"),
        Column("Answer"),
        Column("Because"),
        Column("Amount", True),
        Column("Became"),
        Column("Raised"),
    )
    rows = [
        (
            Cell(f"<div>{transaction_link(alert.transaction_id)}</div>", alert.account_id),
            Cell(escape(words.rule_words(alert.rule_id)), f"policy {alert.policy_version}"),
            Cell(answer_tags(alert.outcome.value, alert.severity.value, alert.is_shadow)),
            Cell(f'<span class="clip small">{escape(_reason(alert))}</span>'),
            text(formats.usd(alert.amount_usd), _movement(alert)),
            Cell(_became(alert)),
            Cell(
                f'<span class="one-line">{formats.moment(alert.raised_at)}</span>',
                f"{formats.age((now - alert.raised_at).total_seconds())} ago",
            ),
        )
        for alert in alerts
    ]
    return markup.table("Alerts, the newest first", columns, rows, is_clickable=True)


def answer_tags(outcome: str, severity: str, is_shadow: bool) -> str:
    """A rule's answer: what it said, how much a hit weighs, and whether it only watches."""
    said = markup.tag(
        cases_words.RULE_CLASSES.get(outcome, "stale"), formats.words(outcome, cases_words.RULE_OUTCOME_WORDS)
    )
    weight = ""
    if outcome == "hit":
        weight = markup.tag(
            words.SEVERITY_CLASSES.get(severity, "plain"), formats.words(severity, words.SEVERITY_WORDS)
        )
    shadow = markup.tag("simulated", "shadow", "It watches and decides nothing.") if is_shadow else ""
    return f'<span class="tags">{said}{weight}{shadow}</span>'


def outcomes_html(summary: AlertSummary) -> str:
    """What became of the hits of each rule as bars; the table below has the same figures."""
    found = [rule for rule in _by_hits(summary.rules) if rule.hits]
    if not found:
        return '<p class="muted">No rule had a hit in this time.</p>'
    most = max(rule.hits for rule in found)
    keys = "".join(f'<li><i class="part-{code}"></i>{words.BECAME_WORDS[code]}</li>' for code in _HITS)
    rows = "".join(_bar(rule, most) for rule in found)
    return (
        f'<ul class="keys" aria-label="Meaning of the patterns">{keys}</ul>'
        f'<ul class="became" aria-label="{escape(outcomes_summary(summary))}">{rows}</ul>'
    )


def outcomes_summary(summary: AlertSummary) -> str:
    """The bars in words."""
    hits = sum(rule.hits for rule in summary.rules)
    right = sum(rule.hits_rejected for rule in summary.rules)
    wrong = sum(rule.hits_released for rule in summary.rules)
    return (
        f"{formats.count(hits, 'hit')} of {formats.count(len(summary.rules), 'rule')}: {right:,} rejected by officers, "
        f"{wrong:,} released by them, {hits - right - wrong:,} decided otherwise or not yet."
    )


def rules_table(summary: AlertSummary) -> str:
    """Every rule with its hits, what became of them, when it could not run, and its precision where it is known."""
    columns = (
        Column("Rule"),
        Column("Hits", True),
        *(Column(words.BECAME_WORDS[code], True) for code in _HITS),
        Column("Could not run", True),
        Column("Too little history", True),
        Column("Cases", True),
        Column("Precision", True),
    )
    rows = [
        (
            Cell(escape(words.rule_words(rule.rule_id)) + _state(rule)),
            text(f"{rule.hits:,}"),
            *(text(f"{getattr(rule, f'hits_{code}'):,}") for code in _HITS),
            text(f"{rule.errors:,}"),
            text(f"{rule.insufficient_history:,}"),
            text(f"{rule.cases:,}"),
            _precision(rule),
        )
        for rule in _by_hits(summary.rules)
    ]
    note = markup.note(
        "Precision is the share of hits that officers rejected among those that they rejected or released. A block "
        "that nobody decided on proves nothing."
    )
    return markup.table("Outcomes by rule", columns, rows) + note


def _by_hits(rules: Sequence[RuleOutcomes]) -> list[RuleOutcomes]:
    return sorted(rules, key=lambda rule: (-rule.hits, rule.rule_id, rule.is_shadow))


def _bar(rule: RuleOutcomes, most: int) -> str:
    counts = [(code, getattr(rule, f"hits_{code}")) for code in _HITS]
    parts = "".join(
        f'<i class="part-{code}" style="width:{100 * count / most:.2f}%"'
        f' title="{words.BECAME_WORDS[code]}: {count:,}"></i>'
        for code, count in counts
        if count
    )
    said = ", ".join(f"{count:,} {words.BECAME_WORDS[code].lower()}" for code, count in counts if count)
    name = words.rule_words(rule.rule_id) + (" (shadow)" if rule.is_shadow else "")
    return (
        f'<li aria-label="{escape(name)}: {escape(said)}"><span>{escape(name)}</span>'
        f'<span class="bar">{parts}</span><span>{formats.count(rule.hits, "hit")}</span></li>'
    )


def _state(rule: RuleOutcomes) -> str:
    marks = markup.tag("simulated", "shadow", "It watches and decides nothing.") if rule.is_shadow else ""
    if rule.is_in_force is False:
        marks += markup.tag("none", "not in force so")
    elif rule.is_in_force is None:
        marks += markup.tag("stale", "no policy in force")
    return f' <span class="tags">{marks}</span>' if marks else ""


def _precision(rule: RuleOutcomes) -> Cell:
    decided = rule.hits_rejected + rule.hits_released
    if rule.precision_pct is None:
        return text(formats.UNKNOWN, "no hit decided on")
    return text(formats.percent(rule.precision_pct), f"{rule.hits_rejected:,} of {decided:,}")


def _became(alert: AlertView) -> str:
    if alert.became is None:
        return '<span class="muted">no hit</span>'
    return markup.tag(words.BECAME_CLASSES[alert.became], words.BECAME_WORDS[alert.became])


def _reason(alert: AlertView) -> str:
    reason = str(alert.evidence.get("reason") or "no reason is recorded")
    return reason if len(reason) <= _MOST_REASON else f"{reason[:_MOST_REASON]}\u2026"


def _movement(alert: AlertView) -> str:
    if alert.kind is None or alert.quantity is None or alert.asset is None:
        return "the transaction is not known"
    return f"{alert.kind} of {formats.quantity(alert.quantity, alert.asset)}"

"""Versions of the policy as markup: which is in force, what each says, and what differs between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from compliance.api.policy_schemas import ParameterView, PolicyDifferences, PolicyRuleView, PolicySummary, PolicyView
from streamlit_app.components import aml_words as words
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text

NOTHING_IN_FORCE = markup.banner(
    "error",
    "No policy is in force.",
    "Nothing can be judged, and settlements are not accepted. A policy counts from its effective date on.",
    role="alert",
)
_COUNTRIES = (
    ("block", "Blocked"),
    ("edd", "Enhanced due diligence"),
    ("review", "Reviewed"),
)
_OTHER_PARTS = ("decision", "screening", "kyc", "sla", "travel_rule", "reporting")


def versions_html(policies: Sequence[PolicySummary], now: datetime) -> str:
    """All versions, newest first, and which is in force."""
    columns = (
        Column("Version"),
        Column("State"),
        Column("Counts from"),
        Column("What changed"),
        Column("Country lists of"),
        Column("Content"),
    )
    rows = [
        (
            text(policy.version, policy.name),
            Cell(_state(policy, now)),
            text(formats.moment(policy.effective_from)),
            text(policy.changes or "nothing said"),
            text(policy.countries_as_of.isoformat()),
            Cell(f'<code title="{escape(policy.content_hash)}">{escape(policy.content_hash[:12])}</code>', "SHA-256"),
        )
        for policy in policies
    ]
    banner = "" if any(policy.is_current for policy in policies) else NOTHING_IN_FORCE
    table = markup.table("Versions of the policy", columns, rows)
    body = table if policies else '<p class="muted">There is no policy.</p>'
    return banner + markup.card(markup.head("Versions", more="Newest first"), body)


def overdue_html(policy: PolicyView) -> str:
    """The warning where the country lists are too old; of a version that is not in force it is no alarm."""
    if policy.countries_overdue is None or not policy.is_current:
        return ""
    words_of = policy.countries_overdue
    return markup.banner("away", "The country lists are too old:", f"{escape(words_of)}.", role="alert")


def countries_html(policy: PolicyView) -> str:
    """The country lists with their day, source and age."""
    lists = policy.document.get("countries", {})
    items = "".join(
        f"<h3>{title} ({len(lists.get(name, []))})</h3>"
        f"<p>{escape(_named(lists.get(name, []), policy.country_names))}</p>"
        for name, title in _COUNTRIES
    )
    age = formats.count(policy.countries_age_days, "day")
    mark = markup.tag("warn", f"{age} old, too old") if policy.countries_overdue else markup.tag("ok", f"{age} old")
    facts = markup.facts(
        [("As of", policy.countries_as_of.isoformat()), ("Source", str(lists.get("source", formats.UNKNOWN)))]
    )
    return markup.card(markup.head("Countries", mark), items + facts)


def rules_html(policy: PolicyView) -> str:
    """Every rule with its meaning, whether it runs, its parameters and where their defaults come from."""
    columns = (Column("Rule"), Column("Runs"), Column("A hit weighs"), Column("Parameters"), Column("Source"))
    rows = [
        (
            Cell(escape(words.rule_words(rule.rule_id)), words.meaning(rule.meaning)),
            Cell(_runs(rule)),
            Cell(
                markup.tag(
                    words.SEVERITY_CLASSES.get(rule.severity.value, "plain"),
                    formats.words(rule.severity.value, words.SEVERITY_WORDS),
                )
            ),
            Cell(_parameters(rule)),
            text(rule.source),
        )
        for rule in policy.rules
    ]
    shadows = sum(1 for rule in policy.rules if rule.is_shadow)
    more = f"{formats.count(shadows, 'shadow rule')}, which watch and decide nothing" if shadows else "No shadow rule"
    return markup.card(markup.head("Rules of transaction monitoring", more=more), markup.table("Rules", columns, rows))


def limits_html(policy: PolicyView) -> str:
    """Everything else that the version says: decisions, screening, KYC, time for cases, the travel rule, reports."""
    cards = []
    for part in _OTHER_PARTS:
        content = policy.document.get(part)
        if not isinstance(content, Mapping):
            continue
        title = words.PARTS.get(part, part.replace("_", " ").capitalize())
        unit = " hours" if part == "sla" else ""
        pairs = [(name, f"{value}{unit}") for name, value in words.flat("", content)]
        cards.append(f"<h3>{escape(title)}</h3>{markup.facts(pairs)}")
    return markup.card(markup.head("Other limits"), "".join(cards))


def differences_html(found: PolicyDifferences) -> str:
    """What differs between two versions, in words."""
    title = markup.head(
        f"From {found.before} to {found.after}", more=formats.count(len(found.differences), "difference")
    )
    if not found.differences:
        return markup.card(title, "<p>They say the same.</p>")
    rows = "".join(
        f'<li>{escape(each.words)} <span class="small muted clip">{escape(each.place)}</span></li>'
        for each in found.differences
    )
    return markup.card(title, f'<ul class="plain-list">{rows}</ul>')


def _state(policy: PolicySummary, now: datetime) -> str:
    if policy.is_current:
        return markup.tag("ok", "in force")
    if policy.effective_from > now:
        return markup.tag("simulated", f"in {formats.age((policy.effective_from - now).total_seconds())}")
    return markup.tag("none", "replaced")


def _named(codes: Sequence[str], names: Mapping[str, str]) -> str:
    return ", ".join(sorted(f"{names.get(code, code)} ({code})" for code in codes)) or "none"


def _runs(rule: PolicyRuleView) -> str:
    if not rule.is_named:
        return markup.tag("none", "not in the policy")
    if not rule.is_enabled:
        return markup.tag("none", "switched off")
    return markup.tag("simulated", "shadow") if rule.is_shadow else markup.tag("ok", "decides")


def _parameters(rule: PolicyRuleView) -> str:
    lines = [_parameter(each) for each in rule.parameters]
    if rule.when:
        lines.append(f"<li>only where <code>{escape(rule.when)}</code></li>")
    if not lines:
        return '<span class="muted">none of its own</span>'
    return f'<ul class="plain-list">{"".join(lines)}</ul>'


def _parameter(each: ParameterView) -> str:
    default = "" if each.is_default else " (not the default)"
    return (
        f"<li><b>{escape(words.parameter(each.kind.value, each.value))}</b>{default} "
        f'<span class="muted">{escape(each.meaning)}</span></li>'
    )

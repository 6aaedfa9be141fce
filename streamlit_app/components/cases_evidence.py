"""What a case is about as markup: a transaction with its rules, hits beside the customer, a verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from compliance.api.evidence_schemas import (
    CaseEvidence,
    CaseHitView,
    CheckView,
    CustomerView,
    TransactionView,
    VerificationView,
)
from compliance.api.transaction_schemas import RuleView
from streamlit_app.components import cases_words as words
from streamlit_app.components import formats, markup
from streamlit_app.components.cases_machine import machine_svg
from streamlit_app.components.markup import Cell, Column, text

WITHHELD = "withheld: your role does not see personal data"
_STATED_WORDS = {
    "has_travel_rule_data": "Travel rule data",
    "is_self_hosted": "Self-hosted wallet",
    "has_ownership_proof": "Proof of ownership",
}
_YES = {True: "yes", False: "no", None: "not stated"}
_RULE_ORDER = ("hit", "error", "insufficient_history")


def evidence_html(evidence: CaseEvidence) -> dict[str, str]:
    """The parts of the file by name, as far as the case has them."""
    parts = {}
    if evidence.transaction is not None:
        parts["transaction"] = transaction_html(evidence.transaction, evidence.is_withheld)
        parts["rules"] = rules_html(evidence.transaction)
    if evidence.hits:
        parts["hits"] = hits_html(evidence.hits, evidence.is_withheld, evidence.has_more_hits)
    if evidence.verification is not None:
        parts["verification"] = verification_html(evidence.verification)
    if not parts:
        parts["nothing"] = markup.card(
            markup.head("What it is about"),
            '<p class="muted">The record holds no transaction, hit or verification for this subject.</p>',
        )
    return parts


def transaction_html(found: TransactionView, is_withheld: bool) -> str:
    """The movement, what became of it, and whether it settled without being asked about."""
    decision = found.decision.value if found.decision is not None else None
    mark = markup.tag("stale", "Not decided yet")
    if decision is not None:
        mark = markup.tag(words.DECISION_CLASSES.get(decision, "stale"), formats.words(decision, words.DECISION_WORDS))
    address = found.counterparty_address or (WITHHELD if is_withheld else "none")
    pairs = [
        ("Transaction", found.transaction_id),
        ("Movement", f"{found.kind} ({found.direction}), {found.side}"),
        ("Quantity", formats.quantity(found.quantity, found.asset)),
        ("Amount", formats.usd(found.amount_usd)),
        ("Chain", found.chain),
        ("Counterparty", address),
        ("Country of the counterparty", found.counterparty_country or formats.UNKNOWN),
        ("Occurred", formats.moment(found.occurred_at)),
        ("Received", formats.moment(found.received_at)),
        ("Published", formats.moment(found.published_at) if found.published_at else "not published"),
        ("Policy", found.policy_version or formats.UNKNOWN),
        ("Lists", ", ".join(f"{name} {version}" for name, version in found.list_versions.items()) or "none"),
        *((formats.words(name, _STATED_WORDS), _YES[value]) for name, value in found.stated.items()),
    ]
    asked = ""
    if found.is_settled_unasked:
        asked = markup.banner(
            "away",
            "Settled unasked.",
            "It had happened before anybody asked the gate: a decision says what to think of it and undoes nothing.",
        )
    reason = f"<p>{escape(found.decision_reason)}</p>" if found.decision_reason else ""
    return markup.card(markup.head("Transaction", mark), asked + reason + markup.facts(pairs))


def rules_html(found: TransactionView) -> str:
    """Every rule's answer: hits first, then what could not run; the clean ones are folded."""
    clean = [rule for rule in found.rules if rule.outcome == "no_hit"]
    others = [rule for rule in found.rules if rule.outcome != "no_hit"]
    others.sort(key=lambda rule: (rule.is_shadow, _RULE_ORDER.index(rule.outcome.value)))
    if not found.rules:
        body = '<p class="muted">No rule has answered yet.</p>'
    else:
        body = _rules_table(others) if others else '<p class="muted">No rule has a hit, and all could run.</p>'
        names = ", ".join(escape(rule.rule_id.replace("_", " ")) for rule in clean)
        if clean:
            body += f"<details><summary>{formats.count(len(clean), 'clean rule')}</summary><p>{names}</p></details>"
    more = f"{formats.count(len(found.rules), 'rule')} of policy {found.policy_version or formats.UNKNOWN}"
    return markup.card(markup.head("What each rule said", more=more), body)


def hits_html(hits: Sequence[CaseHitView], is_withheld: bool, has_more: bool) -> str:
    """Each hit with its grade, its reasons and what the list says; the likeliest first."""
    note = markup.note(f"Names and dates of birth are {WITHHELD}.") if is_withheld else ""
    rest = markup.note(f"There are more hits than the {len(hits)} likeliest that are shown.") if has_more else ""
    title = markup.head("Hits on lists", more=f"{formats.count(len(hits), 'hit')}, the likeliest first")
    return markup.card(title, note + "".join(_hit(hit) for hit in hits) + rest)


def comparison_html(customer: CustomerView, hits: Sequence[CaseHitView]) -> str:
    """The customer's fields beside what the lists say of each hit, or alone where there is none."""
    known = (
        ("Names", "; ".join(customer.names)),
        ("Born", customer.birth_date.isoformat() if customer.birth_date else formats.UNKNOWN),
        ("Countries", _countries(customer)),
        ("Document", customer.document_number or formats.UNKNOWN),
        ("Address", customer.address or formats.UNKNOWN),
        ("Mail and phone", ", ".join(each for each in (customer.email, customer.phone) if each) or formats.UNKNOWN),
    )
    columns = (Column("Field"), Column("Customer"), *(Column(_named(hit)) for hit in hits))
    rows = [(text(name), text(value), *(text(_listed(hit, name)) for hit in hits)) for name, value in known]
    title = markup.head(
        "Customer", markup.tag("simulated", "personal data"), more=f"{customer.kind}, {customer.user_id}"
    )
    return markup.card(title, markup.table("Customer beside the lists", columns, rows))


def verification_html(found: VerificationView) -> str:
    """Where the verification stands, and what each provider said."""
    state = formats.words(found.state.value, words.KYC_STATE_WORDS)
    pairs = [
        ("Verification", found.kyc_case_id),
        ("Customer", f"{found.user_id}, {found.customer_kind or formats.UNKNOWN}"),
        ("Because", (found.state_reason or "no reason given").replace("_", " ")),
        ("Provider", found.provider or "nobody has it yet"),
        ("Begun", formats.moment(found.created_at)),
        ("Handed in", formats.moment(found.submitted_at) if found.submitted_at else "not yet"),
        ("Decided", formats.moment(found.decided_at) if found.decided_at else "not yet"),
        ("Valid until", formats.moment(found.expires_at) if found.expires_at else "not approved"),
        ("Policy", found.policy_version),
    ]
    title = markup.head("Verification", markup.tag("plain", state))
    checks = "<h3>Checks</h3>" + (_checks_table(found.checks) if found.checks else '<p class="muted">None yet.</p>')
    return markup.card(title, machine_svg(found.state) + markup.facts(pairs) + checks)


def _rules_table(rules: Sequence[RuleView]) -> str:
    columns = (Column("Rule"), Column("Answer"), Column("Because"), Column("Figures"))
    rows = [
        (
            text(rule.rule_id.replace("_", " ")),
            Cell(_rule_tags(rule)),
            text(rule.reason),
            Cell(f'<span class="clip small">{escape(_figures(rule.evidence))}</span>'),
        )
        for rule in rules
    ]
    return markup.table("Answers of the rules that are not clean", columns, rows)


def _rule_tags(rule: RuleView) -> str:
    outcome = rule.outcome.value
    shown = markup.tag(words.RULE_CLASSES.get(outcome, "stale"), formats.words(outcome, words.RULE_OUTCOME_WORDS))
    severity = markup.tag("plain", rule.severity.value) if outcome == "hit" else ""
    shadow = markup.tag("simulated", "shadow", "It is tried out and decides nothing.") if rule.is_shadow else ""
    return f'<span class="tags">{shown}{severity}{shadow}</span>'


def _figures(evidence: Mapping[str, Any]) -> str:
    shown = [f"{name.replace('_', ' ')} {each}" for name, each in evidence.items() if name != "reason"]
    return ", ".join(shown) or "none"


def _hit(hit: CaseHitView) -> str:
    state = markup.tag(
        words.HIT_STATE_CLASSES.get(hit.state.value, "stale"), formats.words(hit.state.value, words.HIT_STATE_WORDS)
    )
    topics = "".join(markup.tag("plain", formats.words(topic, words.TOPIC_WORDS)) for topic in hit.topics or ())
    if hit.topics is None:
        topics = markup.tag("stale", "the entry is not known any more")
    eyes = markup.tag("simulated", "two people clear it") if hit.needs_four_eyes else ""
    name = f": {hit.listed_names[0]}" if hit.listed_names else ""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in hit.reasons)
    pairs = [
        ("Score", f"{hit.score:.2f} of 1"),
        ("List", f"{hit.list_name}, version {hit.list_version_id}"),
        ("Screened", formats.moment(hit.screened_at)),
        ("Also listed as", "; ".join(hit.listed_names[1:]) or "none"),
        ("Listed countries", ", ".join(hit.listed_countries) or "none"),
        ("Programs", ", ".join(hit.programs) or "none"),
    ]
    if hit.decided_by is not None:
        until = f", until {formats.moment(hit.cleared_until)}" if hit.cleared_until else ""
        pairs.append(("Decided", f"{hit.decided_by}, {formats.moment(hit.decided_at)}{until}"))
    heading = f"{hit.rank}. {hit.list_name} {hit.entry_id}{name}"
    return (
        f'<div class="hit"><h3>{escape(heading)} {state}{topics}{eyes}</h3>'
        f"<ul>{reasons}</ul>{markup.facts(pairs)}</div>"
    )


def _named(hit: CaseHitView) -> str:
    return f"{hit.rank}. {hit.list_name} {hit.entry_id}"


def _listed(hit: CaseHitView, field: str) -> str:
    values = {
        "Names": "; ".join(hit.listed_names),
        "Born": ", ".join(hit.listed_birth_dates),
        "Countries": ", ".join(hit.listed_countries),
    }
    return values.get(field) or "not listed"


def _countries(customer: CustomerView) -> str:
    found = dict.fromkeys(each for each in (customer.nationality, customer.country) if each)
    return ", ".join(found) or formats.UNKNOWN


def _checks_table(checks: Sequence[CheckView]) -> str:
    columns = (Column("Provider"), Column("Answer"), Column("Its own word"), Column("When"), Column("Details"))
    rows = [
        (
            text(check.by or check.provider, check.source.value),
            Cell(
                markup.tag(
                    words.VERDICT_CLASSES.get(check.verdict.value, "plain"),
                    formats.words(check.verdict.value, words.VERDICT_WORDS),
                )
            ),
            text(check.status or "none"),
            text(formats.moment(check.occurred_at or check.received_at)),
            text(_facts(check.facts)),
        )
        for check in reversed(checks)
    ]
    return markup.table("Checks, newest first", columns, rows)


def _facts(facts: Mapping[str, str | list[str]]) -> str:
    shown = []
    for name, value in facts.items():
        if name == "status":
            continue
        said = ", ".join(value) if isinstance(value, list) else words.moment_words(value)
        if said:
            shown.append(f"{formats.words(name, words.FACT_WORDS).replace('-', ' ')}: {said}")
    return "; ".join(shown) or "none"

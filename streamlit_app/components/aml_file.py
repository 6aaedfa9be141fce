"""The file of one transaction as markup: what happened, each rule's answer with its figures, transfers, its case."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from compliance.api.aml_schemas import TransactionFile
from compliance.api.transaction_schemas import RuleView
from compliance.policy.parameters import CATALOGUE
from streamlit_app.components import aml_words as words
from streamlit_app.components import cases_words, formats, markup, transfer_graph
from streamlit_app.components.aml_alerts import answer_tags
from streamlit_app.components.cases_queue import case_address

_STATED = (
    ("has_travel_rule_data", "Data for the travel rule"),
    ("is_self_hosted", "Self-hosted wallet"),
    ("has_ownership_proof", "Proof that the wallet is the customer's"),
)
_YES = {True: "yes", False: "no", None: "not stated"}
_ORDER = ("hit", "error", "insufficient_history")


def file_sections(found: TransactionFile) -> dict[str, str]:
    """The parts of the file by name."""
    return {
        "what": _what(found),
        "rules": _rules(found),
        "graph": _graph(found),
    }


def _what(found: TransactionFile) -> str:
    decision = found.decision.value if found.decision is not None else None
    mark = markup.tag("stale", "Not decided yet")
    if decision is not None:
        mark = markup.tag(
            cases_words.DECISION_CLASSES.get(decision, "stale"), formats.words(decision, cases_words.DECISION_WORDS)
        )
    counterparty = "not known"
    if found.counterparty is not None:
        counterparty = found.counterparty.address or found.counterparty.masked
    pairs = [
        ("Account", found.account_id),
        ("Counterparty", counterparty),
        ("Keyed hash", _hash(found)),
        ("Country of the counterparty", found.counterparty_country or formats.UNKNOWN),
        ("Received", formats.moment(found.received_at)),
        ("Decided", formats.moment(found.decided_at) if found.decided_at else "not yet"),
        ("Published", formats.moment(found.published_at) if found.published_at else "not published"),
        ("Policy", found.policy_version or formats.UNKNOWN),
        ("Lists", ", ".join(f"{name} {version}" for name, version in found.list_versions.items()) or "none"),
        *((name, _YES[getattr(found, field)]) for field, name in _STATED),
    ]
    reason = f'<p class="clip">Because: {escape(found.decision_reason)}</p>' if found.decision_reason else ""
    body = f"<p>{escape(_sentence(found))}</p>{_unasked(found)}{reason}{_case(found)}{markup.facts(pairs)}"
    return markup.card(markup.head("What happened", mark), body)


def _sentence(found: TransactionFile) -> str:
    amount = (
        "of unknown value: no usable price" if found.amount_usd is None else f"worth {formats.usd(found.amount_usd)}"
    )
    way = formats.words(found.direction.value, words.DIRECTION_WORDS)
    return (
        f"A {found.kind} of {formats.quantity(found.quantity, found.asset)} ({found.side}, {way}), {amount}, on "
        f"{found.chain} at {formats.moment(found.occurred_at)}."
    )


def _unasked(found: TransactionFile) -> str:
    if not found.is_settled_unasked:
        return ""
    return markup.banner(
        "away",
        "Settled unasked.",
        "It had happened before anybody asked the gate: a decision says what to think of it and undoes nothing.",
    )


def _case(found: TransactionFile) -> str:
    case = found.case
    if case is None:
        return '<p class="muted">It has no case: nothing held it.</p>' if found.decision is not None else ""
    state = formats.words(case.state, cases_words.STATE_WORDS).lower()
    outcome = f" as {case.outcome}" if case.outcome else ""
    link = f'<a class="link clip" href="{escape(case_address(case.case_id))}" target="_self">{escape(case.case_id)}</a>'
    who = f", {case.assignee} has it" if case.assignee else ", nobody has it"
    return f"<p>Case {link}: {escape(state + outcome)}, priority {escape(case.priority)}{escape(who)}.</p>"


def _rules(found: TransactionFile) -> str:
    if not found.results:
        body = '<p class="muted">No rule has answered yet.</p>'
        return markup.card(markup.head("What each rule said"), body)
    clean = [rule for rule in found.results if rule.outcome.value == "no_hit"]
    others = [rule for rule in found.results if rule.outcome.value != "no_hit"]
    others.sort(key=lambda rule: (rule.is_shadow, _ORDER.index(rule.outcome.value)))
    body = "".join(_rule(rule) for rule in others) or "<p>No rule has a hit, and all could run.</p>"
    more = f"{formats.count(len(found.results), 'rule')} of policy {found.policy_version or formats.UNKNOWN}"
    return markup.card(markup.head("What each rule said", more=more), body + _clean(clean))


def _rule(rule: RuleView) -> str:
    tags = answer_tags(rule.outcome.value, rule.severity.value, rule.is_shadow)
    spec = CATALOGUE.get(rule.rule_id)
    meaning = (
        f'<p class="small muted">It looks for: {escape(words.meaning(spec.meaning))}.</p>' if spec is not None else ""
    )
    return (
        f'<div class="rule"><h3>{escape(words.rule_words(rule.rule_id))} {tags}</h3>{meaning}'
        f'<p class="clip">{escape(rule.reason)}</p>{markup.facts(words.figures(rule.evidence))}</div>'
    )


def _clean(rules: Sequence[RuleView]) -> str:
    if not rules:
        return ""
    names = ", ".join(escape(words.rule_words(rule.rule_id)) for rule in rules)
    count = formats.count(len(rules), "rule ran and found nothing", "rules ran and found nothing")
    return f"<details><summary>{count}</summary><p>{names}</p></details>"


def _graph(found: TransactionFile) -> str:
    graph = found.graph
    title = markup.head(
        "Transfers of the account in the 7 days until it",
        more=f"{formats.moment(graph.since)} to {formats.moment(graph.until)}",
    )
    if not graph.edges:
        return markup.card(title, '<p class="muted">No transfer of a customer in this time.</p>')
    return markup.card(
        title,
        f"<p>{escape(transfer_graph.summary(graph))}</p>{transfer_graph.graph_svg(graph)}"
        f"{transfer_graph.keys_html()}<h3>The same as a table</h3>{transfer_graph.transfers_table(graph)}",
    )


def _hash(found: TransactionFile) -> str:
    if found.counterparty is None:
        return "none"
    return found.counterparty.keyed_hash or "not known: no key is there"

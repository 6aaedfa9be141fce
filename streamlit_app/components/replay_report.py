"""A replay of a policy as markup: what it would have flagged and decided, beside what was flagged and decided then."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

from compliance.api.replay_schemas import ReplayReport, ReplayRuleView, ReplayView
from streamlit_app.components import aml_words as words
from streamlit_app.components import cases_words, formats, markup
from streamlit_app.components.aml_alerts import transaction_link
from streamlit_app.components.markup import Cell, Column, text

STATE_WORDS = {"running": "Running", "done": "Done", "cancelled": "Cancelled", "failed": "Failed"}
STATE_CLASSES = {"running": "simulated", "done": "ok", "cancelled": "degraded", "failed": "liquidation"}
_CANDIDATE = ("accepted", "review", "blocked")


def head_html(run: ReplayView) -> str:
    """Which policy over which time, who began it, and how it stands."""
    mark = markup.tag(STATE_CLASSES[run.state.value], STATE_WORDS[run.state.value])
    total = "not counted yet" if run.total is None else f"{run.total:,}"
    pairs = [
        ("Policy", run.policy_version),
        ("From", formats.moment(run.since)),
        ("To", formats.moment(run.until)),
        ("Transactions", total),
        ("Begun by", run.started_by),
        ("Begun", formats.moment(run.started_at)),
        ("Ended", formats.moment(run.ended_at) if run.ended_at else "not yet"),
    ]
    problem = ""
    if run.problem:
        problem = markup.banner("error", "The replay failed.", escape(run.problem), role="alert")
    elif run.state.value == "cancelled":
        problem = markup.banner("info", "The replay was cancelled.", "There is no report of it.")
    note = markup.note("A replay decides and stores nothing; its report is kept for an hour.")
    return markup.card(markup.head("Replay", mark), problem + markup.facts(pairs) + note)


def report_sections(report: ReplayReport, can_open: bool) -> dict[str, str]:
    """The parts of the report by name; links only for who may open a transaction."""
    if not report.transactions:
        return {"empty": markup.banner("info", "No transaction.", "In this time nothing was monitored.")}
    return {
        "missed": _missed(report, can_open),
        "rules": _rules(report),
        "decisions": _decisions(report),
        "examples": _examples(report.rules, can_open),
    }


def _missed(report: ReplayReport, can_open: bool) -> str:
    missed = report.missed
    if not missed.transactions:
        return ""
    said = formats.count(missed.transactions, "transaction")
    return markup.banner(
        "error",
        f"It would accept {said} that an officer rejected:",
        _links(missed.examples, can_open, missed.transactions),
        role="alert",
    )


def _rules(report: ReplayReport) -> str:
    columns = (
        Column("Rule"),
        Column("Candidate", True),
        Column("Then", True),
        Column("Both", True),
        Column("Only candidate", True),
        Column("Only then", True),
        Column("Could not run", True),
        Column("Too little history", True),
        Column("Precision", True),
        Column("Precision then", True),
    )
    rows = [
        (
            Cell(escape(words.rule_words(rule.rule_id)) + _state(rule)),
            *(
                text(f"{count:,}")
                for count in (
                    rule.candidate,
                    rule.then,
                    rule.both,
                    rule.only_candidate,
                    rule.only_then,
                    rule.errors,
                    rule.insufficient_history,
                )
            ),
            text(_percent(rule.precision_pct), _known(rule)),
            text(_percent(rule.precision_then_pct)),
        )
        for rule in report.rules
    ]
    note = markup.note(
        "Transactions that a rule flags. Precision counts flags whose outcome an officer settled: rejected is right, "
        "released is wrong. What nobody looked at says nothing of it."
    )
    title = markup.head(
        "What each rule would have flagged", more=f"{formats.count(report.transactions, 'transaction')} judged anew"
    )
    return markup.card(title, markup.table("Flags by rule", columns, rows) + note)


def _decisions(report: ReplayReport) -> str:
    counts = {(each.then, each.candidate.value): each.transactions for each in report.decisions}
    thens = [code for code in words.THEN_WORDS if any(then == code for then, _ in counts)]
    columns = (
        Column("Decided then"),
        *(Column(f"Candidate: {cases_words.DECISION_WORDS[code].lower()}", True) for code in _CANDIDATE),
        Column("All", True),
    )
    rows = [
        (
            text(words.THEN_WORDS[then]),
            *(text(f"{counts.get((then, code), 0):,}") for code in _CANDIDATE),
            text(f"{sum(counts.get((then, code), 0) for code in _CANDIDATE):,}"),
        )
        for then in thens
    ]
    return markup.card(
        markup.head("Decisions then and by the candidate", more="Transactions"),
        markup.table("Decisions then against decisions by the candidate", columns, rows),
    )


def _examples(rules: Sequence[ReplayRuleView], can_open: bool) -> str:
    found = [rule for rule in rules if rule.examples]
    if not found:
        return ""
    parts = "".join(
        f"<details><summary>{escape(words.rule_words(rule.rule_id))}: "
        f"{formats.count(rule.only_candidate, 'new flag')}</summary>"
        f"<p>{_links(rule.examples, can_open, rule.only_candidate)}</p></details>"
        for rule in found
    )
    return markup.card(markup.head("Examples of what only the candidate flags"), parts)


def _links(examples: Sequence[str], can_open: bool, total: int) -> str:
    shown = ", ".join(
        transaction_link(example, stays=False) if can_open else f'<span class="clip">{escape(example)}</span>'
        for example in examples
    )
    more = total - len(examples)
    return shown + (f" and {more:,} more" if more > 0 else "")


def _state(rule: ReplayRuleView) -> str:
    if not rule.is_run:
        return f" {markup.tag('none', 'not in the candidate')}"
    return f" {markup.tag('simulated', 'shadow', 'It watches and decides nothing.')}" if rule.is_shadow else ""


def _known(rule: ReplayRuleView) -> str:
    known = rule.known_right + rule.known_wrong
    return f"{rule.known_right:,} of {known:,} known" if known else "no outcome is known"


def _percent(value: str | None) -> str:
    return formats.UNKNOWN if value is None else formats.percent(Decimal(value))

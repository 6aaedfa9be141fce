"""The queue of cases and the numbers of compliance as markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import urlencode

from compliance.api.case_schemas import CaseView
from compliance.api.metrics_schemas import CaseCounts, KycFunnel, MetricsView, Waiting
from streamlit_app.components import cases_words as words
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text
from streamlit_app.components.scope import APP_ROOT

PATH = "cases"
PARAMETER = "case"


def case_address(case_id: str) -> str:
    """The address of a case's file; of the queue for an empty id."""
    return f"{APP_ROOT}{PATH}" + (f"?{urlencode({PARAMETER: case_id})}" if case_id else "")


def queue_html(cases: Sequence[CaseView], now: datetime, can_open: bool, is_filtered: bool) -> str:
    """The cases of a page of the queue, the one due first in front; links only for who may open a case."""
    if not cases:
        why = "No case fits these filters." if is_filtered else "No case is open."
        return f'<p class="muted">{why}</p>'
    columns = (
        Column("Case"),
        Column("Due"),
        Column("Priority"),
        Column("State"),
        Column("Assignee"),
        Column("Account"),
    )
    rows = [
        (
            Cell(_title(case, can_open)),
            _due(case, now),
            Cell(_tag(words.PRIORITY_CLASSES.get(case.priority, "plain"), words.PRIORITY_WORDS, case.priority)),
            _state(case),
            text(case.assignee or "nobody"),
            Cell(f'<span class="one-line">{escape(case.account_id or "none")}</span>'),
        )
        for case in cases
    ]
    return markup.table("Queue of cases", columns, rows, is_clickable=can_open)


def numbers_html(metrics: MetricsView) -> str:
    """Open cases by kind, the funnel of verifications, and what waits."""
    kinds = "".join(_kind(counts) for counts in metrics.cases)
    waiting = markup.facts(
        [
            ("Settlements held", _waiting(metrics.held)),
            ("Transactions without a decision", _waiting(metrics.undecided)),
            ("Accepted, not published yet", _waiting(metrics.unpublished)),
        ]
    )
    return f'<div class="numbers">{kinds}{_funnel(metrics.kyc)}</div>{waiting}'


def not_ready_html(metrics: MetricsView) -> str:
    """The banner while nothing can be judged."""
    if metrics.is_ready:
        return ""
    why = escape(metrics.not_ready_reason or "the reason is not known")
    return markup.banner("error", "Nothing can be judged now:", f"{why} Settlements are not accepted.", role="alert")


def due_tag(case: CaseView, now: datetime) -> str:
    """Time left or overdue, in words and colour."""
    clock = words.sla_clock(case, now)
    return markup.tag(clock.kind, clock.words, f"due {formats.moment(case.sla_due_at)}")


def _title(case: CaseView, can_open: bool) -> str:
    kind = markup.tag("plain", formats.words(case.kind.value, words.KIND_WORDS))
    under = f'<span class="under clip">{escape(case.subject_id)}</span>'
    if not can_open:
        return f"{kind} <span>{escape(case.title)}</span>{under}"
    link = (
        f'<a class="link" href="{escape(case_address(case.case_id))}" data-account="{escape(case.case_id)}">'
        f"{escape(case.title)}</a>"
    )
    return f"{kind} {link}{under}"


def _due(case: CaseView, now: datetime) -> Cell:
    return Cell(due_tag(case, now), formats.moment(case.sla_due_at))


def _state(case: CaseView) -> Cell:
    under = case.outcome or ""
    if case.proposal is not None and case.outcome is None:
        under = f"{case.proposal.by} proposes to {words.proposal_words(case.proposal.outcome)}"
    return Cell(_tag(words.STATE_CLASSES.get(case.state, "plain"), words.STATE_WORDS, case.state), under)


def _tag(kind: str, known: dict[str, str], code: str) -> str:
    return markup.tag(kind, formats.words(str(code), known))


def _kind(counts: CaseCounts) -> str:
    name = formats.words(counts.kind, words.KIND_WORDS)
    parts = [
        f"{counts.unassigned:,} unassigned",
        f"{counts.awaiting_approval:,} await approval",
        f"{counts.escalated:,} escalated",
    ]
    late = markup.tag("liquidation", f"{counts.sla_breached:,} overdue") if counts.sla_breached else ""
    oldest = f"oldest {formats.age(counts.oldest_s)}" if counts.oldest_s is not None else "none open"
    return (
        f'<div class="card"><h2><span>{escape(name)} cases</span>{late}</h2><p><b>{counts.open:,}</b> open</p>'
        f'<p class="muted small">{", ".join(parts)}; {oldest}</p></div>'
    )


def _funnel(kyc: KycFunnel) -> str:
    steps = "".join(
        f"<li><b>{count:,}</b> {escape(formats.words(state, words.KYC_STATE_WORDS).lower())}</li>"
        for state, count in kyc.by_state.items()
    )
    target = "target unknown: no policy is in force"
    if kyc.target_s is not None:
        target = f"{kyc.within_target:,} of {kyc.decided:,} decided within {formats.age(kyc.target_s)}"
    median = f"median {formats.age(kyc.median_s)}" if kyc.median_s is not None else "no decision yet"
    return (
        f'<div class="card"><h2>Verifications begun in {kyc.window_days} days</h2><ul class="funnel">{steps}</ul>'
        f'<p class="muted small">{target}; {median}</p></div>'
    )


def _waiting(rows: Waiting) -> str:
    if not rows.count:
        return "0"
    return f"{rows.count:,}, oldest {formats.age(rows.oldest_s)}"

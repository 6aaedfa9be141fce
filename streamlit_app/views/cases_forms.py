"""The work on a case: one form for whatever the person may do now, which sends the version that was seen."""

from __future__ import annotations

from typing import Any

import streamlit as st

from compliance.api.case_schemas import CaseView
from compliance.api.evidence_schemas import CaseEvidence
from infra.runtime.errors import BallastError
from streamlit_app.api_client import ApiAway, ApiProblem
from streamlit_app.components import cases_api, cases_file, cases_work
from streamlit_app.components import cases_words as words
from streamlit_app.components.cases_work import WORK_WORDS, Offer, Work
from streamlit_app.views import cases_state
from streamlit_app.views.cases_state import FileState
from streamlit_app.visitor import Visitor

MAX_REASON = 1_000
REASON_HELP = "Kept for good: no names, addresses or document numbers."
_VERDICT_WORDS = {"approved": "approve the customer", "declined": "decline the customer", "review": "open it again"}
_DONE = {
    Work.APPROVE: "Approved, and carried out.",
    Work.REJECT_PROPOSAL: "The proposal is rejected.",
    Work.DECIDE_KYC: "The verification is decided.",
    Work.FINISH: "The decision is carried out.",
    Work.PROPOSE: "Proposed. Another person must approve it.",
    Work.CLEAR_HIT: "The hit is cleared.",
    Work.CONFIRM_HIT: "The hit is confirmed.",
    Work.CLOSE: "The case is closed.",
    Work.ASSIGN: "Assigned.",
    Work.COMMENT: "The comment is recorded.",
    Work.ESCALATE: "Escalated.",
}


def render(state: FileState, evidence: CaseEvidence | None, someone: Visitor) -> None:
    """What may be done, the form of what is chosen, and why other work is not possible now."""
    seen = state.seen
    if seen is None:
        return
    people = cases_state.people()
    offered = cases_work.offers(seen, evidence, someone, people)
    possible = [offer for offer in offered if not offer.why_not]
    with st.container(border=True, key="cases_work"):
        st.subheader("Work on the case", anchor=False)
        _messages(state)
        if not possible:
            st.caption("Nothing can be done with this case now.")
        else:
            by_work = {offer.work.value: offer for offer in possible}
            chosen = st.radio(
                "What to do",
                list(by_work),
                format_func=lambda work: WORK_WORDS[Work(work)],
                horizontal=True,
                key=f"cases_what_{seen.case_id}_{seen.version}",
            )
            _form(state, seen, evidence, someone, by_work[chosen])
        impossible = [f"- {WORK_WORDS[offer.work]}: {offer.why_not}" for offer in offered if offer.why_not]
        if impossible:
            st.markdown("Not possible now:\n" + "\n".join(impossible))


def _messages(state: FileState) -> None:
    if state.conflict:
        st.warning(state.conflict)
        if st.button("Reload, keep what I typed", key="cases_reload"):
            state.look_anew()
            st.rerun()
    if state.problem:
        st.error(state.problem)
        state.problem = ""


def _form(state: FileState, seen: CaseView, evidence: CaseEvidence | None, someone: Visitor, chosen: Offer) -> None:
    with st.form(f"cases_form_{seen.case_id}", border=False):
        choice = _choice(evidence, someone, chosen)
        is_comment = chosen.work is Work.COMMENT
        reason = ""
        if chosen.work is not Work.ASSIGN:
            reason = st.text_area(
                f"{'Comment' if is_comment else 'Reason'}. {REASON_HELP}",
                key=f"cases_reason_{seen.case_id}_{state.nonce}",
                max_chars=MAX_REASON,
            )
        is_sent = st.form_submit_button(_button(chosen), type="primary")
    if is_sent:
        if chosen.work is not Work.ASSIGN and not reason.strip():
            state.problem = "Give a reason: it stands in the record for good."
        else:
            _send(state, seen, chosen, choice, reason)
        st.rerun()


def _choice(evidence: CaseEvidence | None, someone: Visitor, chosen: Offer) -> str:
    """The outcome, person or hit that the work is about."""
    if not chosen.choices:
        return ""
    match chosen.work:
        case Work.APPROVE | Work.FINISH | Work.REJECT_PROPOSAL:
            return chosen.choices[0]
        case Work.ASSIGN:
            start = chosen.choices.index(someone.name) if someone.name in chosen.choices else 0
            named = {someone.name: f"{someone.name} (me)"}
            return st.selectbox(
                "To whom", chosen.choices, index=start, format_func=lambda name: named.get(name, name), key="cases_whom"
            )
        case Work.CLEAR_HIT | Work.CONFIRM_HIT:
            hits = {hit.hit_id: f"{hit.rank}. {hit.list_name} {hit.entry_id}" for hit in cases_work.open_hits(evidence)}
            return st.selectbox(
                "Which hit", chosen.choices, format_func=lambda hit_id: hits.get(hit_id, hit_id), key="cases_hit"
            )
        case _:
            return st.selectbox("Outcome", chosen.choices, format_func=_outcome_words, key="cases_outcome")


def _outcome_words(outcome: str) -> str:
    known = _VERDICT_WORDS.get(outcome, words.proposal_words(outcome))
    return known[:1].upper() + known[1:]


def _button(chosen: Offer) -> str:
    if chosen.work is Work.APPROVE and chosen.choices:
        return f"Approve: {words.proposal_words(chosen.choices[0])}"
    if chosen.work is Work.FINISH and chosen.choices:
        return f"Carry out: {chosen.choices[0]} the settlement"
    return WORK_WORDS[chosen.work]


def _send(state: FileState, seen: CaseView, chosen: Offer, choice: str, reason: str) -> None:
    """Ask the API; what it says stays for the next run of the page."""
    calls = cases_api.open_cases()
    try:
        changed = _ask(calls, state, seen, chosen.work, choice, reason.strip())
    except ApiProblem as error:
        _refused(state, calls, seen, error)
    except ApiAway as error:
        state.problem = f"{error.message} It may have been done all the same: look at the history before you try again."
    except BallastError as error:
        state.problem = error.message
    else:
        state.look_anew(changed)
        state.nonce, state.done = state.nonce + 1, _DONE[chosen.work]


def _ask(
    calls: cases_api.Cases, state: FileState, seen: CaseView, work: Work, choice: str, reason: str
) -> CaseView | None:
    """The case after the step; None where it must be read anew."""
    body: dict[str, Any] = {"version": seen.version}
    match work:
        case Work.ASSIGN:
            return calls.step(seen.case_id, "assign", body | {"assignee": choice})
        case Work.COMMENT:
            return calls.step(seen.case_id, "comment", body | {"comment": reason})
        case Work.PROPOSE | Work.CLOSE:
            return calls.step(seen.case_id, work.value, body | {"outcome": choice, "reason": reason})
        case Work.APPROVE | Work.REJECT_PROPOSAL | Work.ESCALATE:
            return calls.step(seen.case_id, work.value, body | {"reason": reason})
        case Work.CLEAR_HIT | Work.CONFIRM_HIT:
            calls.decide_hit(choice, work.value, body | {"reason": reason})
        case Work.FINISH:
            calls.finish_settlement(seen.subject_id, choice, body | {"reason": reason})
        case Work.DECIDE_KYC:
            # With the answers that were on the page: one that came since is not decided over unseen.
            decision = {"verdict": choice, "reason": reason, "seen_checks": list(state.seen_checks or ())}
            calls.decide_kyc(seen.subject_id, decision)
    return None


def _refused(state: FileState, calls: cases_api.Cases, seen: CaseView, error: ApiProblem) -> None:
    if error.status != 409:
        state.problem = error.message
        return
    changed = error.message
    try:
        state.newest = calls.case(seen.case_id)
        if state.newest.version != seen.version:
            changed = f"Somebody was faster. {cases_file.difference(seen, state.newest)} Nothing of yours was done."
    except BallastError:
        # What changed is told by the live part as soon as it can be read.
        pass
    state.conflict = changed

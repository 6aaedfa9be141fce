"""Which work a person is offered on a case, and why other work is not: from the tables of states and roles. Pure.

The API decides; this spares people a form that it would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from compliance.api.case_schemas import CaseView
from compliance.api.evidence_schemas import CaseEvidence, CaseHitView
from compliance.authorization import Action, is_allowed
from compliance.case_model import FOUR_EYES, OUTCOMES, TRANSITIONS, CaseKind, CaseState, Step
from compliance.kyc.model import DECIDED, KycState
from compliance.model import Actor, Decision
from compliance.screening.model import HitState
from streamlit_app.components import cases_words as words
from streamlit_app.visitor import Visitor


class Work(StrEnum):
    """What a person may want to do with a case, in the order in which it is offered."""

    APPROVE = "approve"
    REJECT_PROPOSAL = "reject-proposal"
    DECIDE_KYC = "decide_kyc"
    FINISH = "finish"
    PROPOSE = "propose"
    CLEAR_HIT = "clear"
    CONFIRM_HIT = "confirm"
    CLOSE = "close"
    ASSIGN = "assign"
    COMMENT = "comment"
    ESCALATE = "escalate"


WORK_WORDS = {
    Work.APPROVE: "Approve the proposal",
    Work.REJECT_PROPOSAL: "Reject the proposal",
    Work.DECIDE_KYC: "Decide the verification",
    Work.FINISH: "Carry out the decision",
    Work.PROPOSE: "Propose an outcome",
    Work.CLEAR_HIT: "Clear a hit",
    Work.CONFIRM_HIT: "Confirm a hit",
    Work.CLOSE: "Close the case",
    Work.ASSIGN: "Assign",
    Work.COMMENT: "Comment",
    Work.ESCALATE: "Escalate to an officer",
}
_ACTIONS = {
    Work.APPROVE: Action.APPROVE,
    Work.REJECT_PROPOSAL: Action.REJECT_PROPOSAL,
    Work.DECIDE_KYC: Action.DECIDE_KYC,
    Work.FINISH: Action.RELEASE,
    Work.PROPOSE: Action.PROPOSE,
    Work.CLEAR_HIT: Action.CLEAR_HIT,
    Work.CONFIRM_HIT: Action.CLEAR_HIT,
    Work.CLOSE: Action.CLOSE,
    Work.ASSIGN: Action.ASSIGN,
    Work.COMMENT: Action.COMMENT,
    Work.ESCALATE: Action.ESCALATE,
}
_STEPS = {
    Work.APPROVE: Step.APPROVE,
    Work.REJECT_PROPOSAL: Step.REJECT_PROPOSAL,
    Work.PROPOSE: Step.PROPOSE,
    Work.CLOSE: Step.CLOSE,
    Work.ASSIGN: Step.ASSIGN,
    Work.COMMENT: Step.COMMENT,
    Work.ESCALATE: Step.ESCALATE,
}
_HELD = frozenset({Decision.REVIEW, Decision.BLOCKED})
# Work that belongs to cases of one kind; a verification ends with its decision alone.
_OF_KIND = {
    Work.DECIDE_KYC: CaseKind.KYC,
    Work.FINISH: CaseKind.AML,
    Work.CLEAR_HIT: CaseKind.SCREENING,
    Work.CONFIRM_HIT: CaseKind.SCREENING,
}


@dataclass(frozen=True)
class Offer:
    """Work that the role may do; `why_not` says what keeps it from being done now, empty where nothing does.

    `choices` are the outcomes, verdicts, people or hits to choose from.
    """

    work: Work
    why_not: str = ""
    choices: tuple[str, ...] = ()


def offers(case: CaseView, evidence: CaseEvidence | None, who: Visitor, people: Sequence[Actor]) -> tuple[Offer, ...]:
    """The work on the case for this person: what is possible, and what is not now with the reason."""
    found = []
    for work in Work:
        if work in _OF_KIND and _OF_KIND[work] is not case.kind:
            continue
        if case.kind is CaseKind.KYC and work in (Work.PROPOSE, Work.CLOSE, Work.APPROVE, Work.REJECT_PROPOSAL):
            continue
        offer = _offer(work, case, evidence, who, people)
        # Of a closed case everybody knows why nothing is possible.
        if offer is not None and not (offer.why_not and case.state is CaseState.CLOSED):
            found.append(offer)
    return tuple(found)


def approvers(case: CaseView, people: Sequence[Actor]) -> tuple[str, ...]:
    """Who may approve the proposal: the roles that may, but for who made it."""
    by = case.proposal.by if case.proposal is not None else ""
    return tuple(each.name for each in people if is_allowed(each.role, Action.APPROVE) and each.name != by)


def workers(people: Sequence[Actor]) -> tuple[str, ...]:
    """Who may be given a case."""
    return tuple(each.name for each in people if is_allowed(each.role, Action.COMMENT))


def open_hits(evidence: CaseEvidence | None) -> tuple[CaseHitView, ...]:
    """The hits that nobody decided."""
    return tuple(hit for hit in (evidence.hits if evidence else ()) if hit.state is HitState.OPEN)


def _offer(
    work: Work, case: CaseView, evidence: CaseEvidence | None, who: Visitor, people: Sequence[Actor]
) -> Offer | None:
    if work in (Work.APPROVE, Work.REJECT_PROPOSAL):
        return _second_eyes(work, case, who, people)
    if not who.can(_ACTIONS[work]):
        return None
    special: Mapping[Work, Callable[[], Offer | None]] = {
        Work.DECIDE_KYC: lambda: _decision(evidence),
        Work.FINISH: lambda: _finish(case, evidence),
        Work.CLEAR_HIT: lambda: _hit(work, case, evidence),
        Work.CONFIRM_HIT: lambda: _hit(work, case, evidence),
    }
    if work in special:
        return special[work]()
    why_not = _state_forbids(work, case)
    match work:
        case Work.PROPOSE:
            return Offer(work, why_not, tuple(sorted(OUTCOMES[case.kind])))
        case Work.CLOSE:
            alone = tuple(sorted(each for each in OUTCOMES[case.kind] if (case.kind, each) not in FOUR_EYES))
            return Offer(work, why_not, alone)
        case Work.ASSIGN:
            return Offer(work, why_not, workers(people))
        case _:
            return Offer(work, why_not)


def _second_eyes(work: Work, case: CaseView, who: Visitor, people: Sequence[Actor]) -> Offer | None:
    """The second pair of eyes; who may not be it is told who may, while a proposal waits."""
    if case.state is not CaseState.AWAITING_APPROVAL or case.proposal is None:
        return None
    others = ", ".join(approvers(case, people)) or "nobody who may is set up"
    if not who.can(_ACTIONS[work]):
        why_not = f"an officer other than {case.proposal.by} does that: {others}"
        return Offer(work, why_not) if work is Work.APPROVE and who.can(Action.PROPOSE) else None
    if work is Work.APPROVE and case.proposal.by.casefold() == who.name.casefold():
        return Offer(work, f"four eyes: you proposed it, so another person must: {others}")
    return Offer(work, choices=(case.proposal.outcome,))


def _state_forbids(work: Work, case: CaseView) -> str:
    if (case.state, _STEPS[work]) in TRANSITIONS:
        return ""
    state = words.STATE_WORDS.get(case.state.value, case.state.value).lower()
    return "a proposal awaits approval first" if case.state is CaseState.AWAITING_APPROVAL else f"the case is {state}"


def _decision(evidence: CaseEvidence | None) -> Offer:
    found = evidence.verification if evidence is not None else None
    if found is None:
        return Offer(Work.DECIDE_KYC, "the verification could not be read")
    if found.state is KycState.IN_REVIEW:
        return Offer(Work.DECIDE_KYC, choices=("approved", "declined"))
    if found.state in DECIDED:
        return Offer(Work.DECIDE_KYC, choices=("review",))
    state = words.KYC_STATE_WORDS.get(found.state.value, found.state.value).lower()
    return Offer(Work.DECIDE_KYC, f"the verification is not in review: it is {state}")


def _finish(case: CaseView, evidence: CaseEvidence | None) -> Offer | None:
    """What a process did not live to carry out after the case was closed."""
    found = evidence.transaction if evidence is not None else None
    if case.state is not CaseState.CLOSED or found is None or found.decision not in _HELD:
        return None
    word = {"released": "release", "rejected": "reject"}.get(case.outcome or "")
    return Offer(Work.FINISH, choices=(word,)) if word else None


def _hit(work: Work, case: CaseView, evidence: CaseEvidence | None) -> Offer:
    waiting = open_hits(evidence)
    if case.state is CaseState.CLOSED:
        return Offer(work, "the case is closed")
    if not waiting:
        return Offer(work, "no hit is open")
    if work is Work.CONFIRM_HIT:
        return Offer(work, choices=tuple(hit.hit_id for hit in waiting))
    alone = tuple(hit.hit_id for hit in waiting if hit.needs_four_eyes is False)
    if alone:
        return Offer(work, choices=alone)
    return Offer(work, "a sanction needs two people: propose that the hits are cleared, and another person approves")

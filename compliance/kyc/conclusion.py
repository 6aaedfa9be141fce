"""What all answers on a case say together: a pure rule that does not depend on the order in which they came.

- An officer's decision counts until something comes that contradicts it and that the officer had not seen.
- Answers of one provider are ordered by its own clock. A request for review stands until an end comes after it.
- Two different ends (approved, declined, failed, expired) of one attempt are for a person. That another provider than
  the case's own has expired says nothing: nobody used it.
- Approved is only what was approved and was not taken back since: by anything but approval that came after it.
- Answers that are errors say nothing. Unknown statuses are requests for review.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from compliance.kyc.model import MANUAL, Check, KycState, Source, Verdict

_ENDS = {
    Verdict.APPROVED: KycState.APPROVED,
    Verdict.DECLINED: KycState.DECLINED,
    Verdict.EXPIRED: KycState.EXPIRED,
    Verdict.FAILED: KycState.FAILED,
}
# Which of two answers of the same moment counts as the later: the one that needs more care.
_CARE = (
    Verdict.ERROR,
    Verdict.PENDING,
    Verdict.EXPIRED,
    Verdict.FAILED,
    Verdict.APPROVED,
    Verdict.REVIEW,
    Verdict.DECLINED,
)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The state that follows, and a code that says why."""

    state: KycState
    reason: str | None = None


def conclude(checks: Sequence[Check], own_provider: str | None, *, auto_decline: bool) -> Conclusion:
    """What the answers say together; `own_provider` is whom the case was given to."""
    officers = [check for check in checks if check.source is Source.MANUAL]
    answers = [check for check in checks if check.source is not Source.MANUAL and check.verdict is not Verdict.ERROR]
    if officers:
        return _after_officer(max(officers, key=lambda check: (len(check.considered), check.received_at)), answers)
    counted = [check for check in answers if check.provider == own_provider or check.verdict is not Verdict.EXPIRED]
    ends = {check.verdict for check in counted if check.verdict in _ENDS}
    if len(ends) > 1:
        return Conclusion(KycState.IN_REVIEW, "conflicting_answers")
    for name in sorted({check.provider for check in counted}):
        doubt = _doubt([check for check in counted if check.provider == name])
        if doubt is not None:
            return Conclusion(KycState.IN_REVIEW, doubt)
    if ends == {Verdict.DECLINED} and not auto_decline:
        return Conclusion(KycState.IN_REVIEW, "declined_by_provider")
    for end in ends:
        return Conclusion(_ENDS[end], f"{end.value}_by_provider")
    if any(check.submitted_at is not None for check in counted):
        return Conclusion(KycState.SUBMITTED)
    return Conclusion(KycState.PENDING if own_provider is not None or counted else KycState.CREATED)


def submitted_at(checks: Sequence[Check]) -> datetime | None:
    """When the customer had first done their part, as far as any answer tells."""
    return min((check.submitted_at for check in checks if check.submitted_at is not None), default=None)


def _doubt(answers: Sequence[Check]) -> str | None:
    """Why a person must look at the answers of one provider, None where its last word stands."""
    ordered = sorted(answers, key=_place)
    spoken = [check for check in ordered if check.verdict is not Verdict.PENDING]
    if not spoken:
        return None
    if spoken[-1].verdict is Verdict.REVIEW:
        was_approved = any(check.verdict is Verdict.APPROVED for check in spoken)
        if spoken[-1].provider == MANUAL:
            return "manual_verification"
        return "reopened_by_provider" if was_approved else "review_by_provider"
    if spoken[-1].verdict is Verdict.APPROVED and ordered[-1].verdict is Verdict.PENDING:
        return "reopened_by_provider"
    return None


def _after_officer(decision: Check, answers: Sequence[Check]) -> Conclusion:
    unseen = [check for check in answers if check.check_id not in decision.considered]
    if decision.verdict is Verdict.REVIEW:
        return Conclusion(KycState.IN_REVIEW, "reopened_by_officer")
    contradicting = {Verdict.APPROVED, Verdict.DECLINED, Verdict.REVIEW, Verdict.FAILED} - {decision.verdict}
    # A provider that begins anew after the approval takes back what it rested on.
    is_begun_anew = decision.verdict is Verdict.APPROVED and any(
        check.verdict is Verdict.PENDING and _place(check)[0] > decision.received_at for check in unseen
    )
    if is_begun_anew or any(check.verdict in contradicting for check in unseen):
        return Conclusion(KycState.IN_REVIEW, "contradicts_officer")
    return Conclusion(_ENDS[decision.verdict], f"{decision.verdict.value}_by_officer")


def _place(check: Check) -> tuple[datetime, int, str]:
    return check.occurred_at or check.received_at, _CARE.index(check.verdict), check.check_id

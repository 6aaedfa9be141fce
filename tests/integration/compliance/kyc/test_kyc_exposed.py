"""A politically exposed person, as an officer confirmed, is approved by a person and by no provider alone."""

from __future__ import annotations

from typing import Any

from compliance.kyc.model import KycState, Verdict
from compliance.model import Actor, Role

OFFICER = Actor("olga", Role.OFFICER)


def test_approval__of_an_exposed_person_is_an_officers(desk: Any) -> None:
    case = desk.start()
    desk.screener.outcome, desk.screener.is_exposed = "hit", True
    desk.wait(1)
    assert desk.hear(desk.local.inquiry("approved")).state is KycState.IN_REVIEW
    assert desk.service.read(case.kyc_case_id).state_reason == "exposed_person"
    assert desk.open_cases() == ["Identity to be verified by a person: exposed_person"]
    desk.wait(1)
    approved = desk.service.decide_manually(case.kyc_case_id, Verdict.APPROVED, OFFICER, "Source of wealth is known.")
    assert (approved.state, desk.user_state(), desk.open_cases()) == (KycState.APPROVED, "approved", [])
    *_, row = desk.rows("select actor, evidence from compliance.decisions order by sequence")
    assert (row.actor, row.evidence["exposed_person"]) == ("olga", "confirmed")


def test_approval__of_any_other_hit_is_nobodys(desk: Any) -> None:
    case = desk.start()
    desk.screener.outcome = "hit"
    desk.wait(1)
    desk.hear(desk.local.inquiry("approved"))
    desk.wait(1)
    held = desk.service.decide_manually(case.kyc_case_id, Verdict.APPROVED, OFFICER, "Seen in person.")
    assert (held.state, held.state_reason) == (KycState.IN_REVIEW, "screening_hit")

"""What is not simply approved: doubts, conflicts, screening, officers, cached and ended results."""

from __future__ import annotations

from typing import Any

import pytest

from compliance.errors import CaseConflictError, ComplianceInputError, ForbiddenError
from compliance.kyc.model import KycCase, KycState
from compliance.model import Actor, Role
from compliance.screening.lists.load import load_list
from compliance.screening.proxies import load_name_data
from compliance.screening.service import Screener
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

OFFICER = Actor("olga", Role.OFFICER)
GREEN: dict[str, Any] = {"reviewStatus": "completed", "reviewResult": {"reviewAnswer": "GREEN"}}
RED: dict[str, Any] = {
    "reviewStatus": "completed",
    "reviewResult": {"reviewAnswer": "RED", "reviewRejectType": "FINAL"},
}


def test_unknown_status__goes_to_a_person(desk: Any) -> None:
    case = desk.start()
    assert desk.hear(desk.local.inquiry("approved_by_robot")).state is KycState.IN_REVIEW
    assert desk.user_state() == "in_review"
    assert desk.open_cases() == ["Identity to be verified by a person: review_by_provider"]
    desk.wait(5)
    desk.hear(desk.local.inquiry("approved"))
    assert desk.service.read(case.kyc_case_id).state is KycState.APPROVED
    assert desk.open_cases() == []


@pytest.mark.parametrize(("auto_decline", "state"), [(True, KycState.DECLINED), (False, KycState.IN_REVIEW)])
def test_decline__follows_the_policy(desk: Any, auto_decline: bool, state: KycState) -> None:
    desk.policies.auto_decline = auto_decline
    desk.start()
    assert desk.hear(desk.local.inquiry("declined")).state is state
    assert desk.user_state() == state


def test_conflict__declined_by_one_and_approved_by_another_is_for_a_person(desk: Any) -> None:
    desk.policies.auto_decline = True
    desk.local.fail("persona", "create", 503, count=9)
    desk.local.fail("persona", "find", 503, count=9)
    case = desk.start()
    assert case.provider == "sumsub"
    desk.hear(desk.local.applicant(**GREEN))
    assert desk.user_state() == "approved"
    # The inquiry whose creation had failed as far as we knew.
    content = {
        "data": {
            "type": "event",
            "id": "evt_x",
            "attributes": {
                "name": "inquiry.declined",
                "payload": {
                    "data": {
                        "type": "inquiry",
                        "id": "inq_lost",
                        "attributes": {"status": "declined", "reference-id": case.kyc_case_id},
                    }
                },
            },
        }
    }
    assert desk.hear(desk.local.signed("persona", content)).state is KycState.IN_REVIEW
    assert desk.user_state() == "in_review"
    assert desk.open_cases() == ["Identity to be verified by a person: conflicting_answers"]


def test_reopening__a_red_after_green_takes_the_approval_back(desk: Any) -> None:
    desk.policies.auto_decline = True
    desk.local.fail("persona", "create", 401)
    case = desk.start()
    desk.hear(desk.local.applicant(**GREEN))
    assert desk.user_state() == "approved"
    desk.wait(3600)
    assert desk.hear(desk.local.applicant(**RED)).state is KycState.IN_REVIEW
    reopened = desk.service.read(case.kyc_case_id)
    assert (reopened.state_reason, reopened.decided_at) == ("conflicting_answers", None)
    assert desk.user_state() == "in_review"


@pytest.mark.parametrize("outcome", ["hit", "error", "something else"])
def test_screening__whoever_is_not_clear_is_not_approved(desk: Any, outcome: str) -> None:
    desk.screener.outcome = outcome
    desk.start()
    assert desk.hear(desk.local.inquiry("approved")).state is KycState.IN_REVIEW
    assert desk.user_state() == "in_review"
    assert desk.decisions()[0][:2] == ("in_review", "screening_hit" if outcome == "hit" else "screening_failed")


def test_screening__one_that_fails_leaves_nothing_half_and_is_tried_again(desk: Any) -> None:
    desk.screener.error = RuntimeError("Ann Lee")
    case = desk.start()
    desk.hear(desk.local.inquiry("approved"))
    assert desk.service.read(case.kyc_case_id).state is KycState.IN_REVIEW
    assert desk.rows("select 1 from compliance.outbox where event_id = 'half'") == []
    desk.screener.error = None
    desk.poll(700)
    assert desk.service.read(case.kyc_case_id).state is KycState.APPROVED
    assert desk.open_cases() == []


def test_screening__by_the_real_lists(desk: Any) -> None:
    # As the worker does before it begins: nothing else of a process runs while they load, and connecting has a limit.
    load_name_data()
    service = desk.with_screener(Screener(desk.engine, desk.clock))
    outcomes = {"Ann Lee": KycState.APPROVED, "Ottokar Marlowe-Quist": KycState.IN_REVIEW}
    cases = {name: service.start(desk.user(name, name=name), name).kyc_case_id for name in outcomes}
    for subject in desk.local.subjects("persona"):
        webhook = desk.local.inquiry("approved", subject=subject)
        # No list is loaded: nobody can be clear.
        assert service.apply_webhook("persona", webhook.headers, webhook.body).state is KycState.IN_REVIEW
    load_list(desk.engine, desk.clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    desk.wait(700)
    assert service.poll_due(10) == 2
    assert {name: service.read(kyc_case_id).state for name, kyc_case_id in cases.items()} == outcomes
    assert service.read(cases["Ottokar Marlowe-Quist"]).state_reason == "screening_hit"
    [approval] = desk.rows("select * from compliance.decisions where subject_kind = 'kyc' and outcome = 'approved'")
    assert set(approval.list_versions) == {LIST_NAME}
    assert not any("Marlowe" in title or "Ottokar" in title for title in desk.open_cases())


def in_review(desk: Any) -> KycCase:
    case = desk.start()
    desk.hear(desk.local.inquiry("needs_review"))
    return desk.service.read(case.kyc_case_id)


@pytest.mark.parametrize("verdict", ["approved", "declined"])
def test_decide_manually__an_officer_decides(desk: Any, verdict: str) -> None:
    case = in_review(desk)
    decided = desk.service.decide_manually(case.kyc_case_id, verdict, OFFICER, "Documents seen on site.")
    assert decided.state == verdict
    assert desk.user_state() == verdict
    assert desk.decisions()[-1] == (verdict, "Documents seen on site.", "olga")
    assert desk.open_cases() == []
    assert len(desk.screener.seen) == (verdict == "approved")


def test_decide_manually__a_hit_keeps_it_in_review_until_it_is_cleared(desk: Any) -> None:
    desk.screener.outcome = "hit"
    case = in_review(desk)
    assert desk.service.decide_manually(case.kyc_case_id, "approved", OFFICER, "Seen.").state is KycState.IN_REVIEW
    assert desk.user_state() == "in_review"
    desk.screener.outcome = "clear"
    assert desk.service.decide_manually(case.kyc_case_id, "approved", OFFICER, "Cleared.").state is KycState.APPROVED


def test_decide_manually__is_contradicted_by_a_later_answer_only(desk: Any) -> None:
    case = in_review(desk)
    desk.service.decide_manually(case.kyc_case_id, "approved", OFFICER, "Seen.")
    desk.hear(desk.local.inquiry("completed", after_s=-60))
    assert desk.service.read(case.kyc_case_id).state is KycState.APPROVED
    desk.hear(desk.local.inquiry("declined"))
    found = desk.service.read(case.kyc_case_id)
    assert (found.state, found.state_reason) == (KycState.IN_REVIEW, "contradicts_officer")


def test_decide_manually__an_officer_may_reopen_what_has_ended(desk: Any) -> None:
    case = desk.start()
    desk.hear(desk.local.inquiry("approved"))
    assert desk.service.decide_manually(case.kyc_case_id, "review", OFFICER, "Tip.").state is KycState.IN_REVIEW
    assert desk.user_state() == "in_review"
    assert desk.service.decide_manually(case.kyc_case_id, "declined", OFFICER, "True.").state is KycState.DECLINED


def test_decide_manually__only_officers_only_in_review_only_with_a_fit_reason(desk: Any) -> None:
    case = desk.start()
    for role in (Role.VIEWER, Role.ANALYST, Role.ADMIN, Role.AUDITOR, None):
        with pytest.raises(ForbiddenError):
            desk.service.decide_manually(case.kyc_case_id, "approved", Actor("a", role), "x")
    for verdict in ("approved", "declined", "review"):
        with pytest.raises(CaseConflictError):
            desk.service.decide_manually(case.kyc_case_id, verdict, OFFICER, "x")
    for verdict, reason in (("expired", "x"), ("approved", " "), ("approved", "mail ann@example.com")):
        with pytest.raises(ComplianceInputError):
            desk.service.decide_manually(case.kyc_case_id, verdict, OFFICER, reason)
    assert desk.decisions() == []


def test_cache__a_decision_is_reused_for_a_day(desk: Any) -> None:
    case = desk.start("k1")
    desk.hear(desk.local.inquiry("approved"))
    desk.wait(24 * 3600 - 1)
    cached = desk.start("k2")
    assert (cached.kyc_case_id, cached.is_cached) == (case.kyc_case_id, True)
    assert len(desk.local.subjects("persona")) == 1
    desk.wait(1)
    anew = desk.start("k3")
    assert anew.kyc_case_id != case.kyc_case_id
    assert len(desk.local.subjects("persona")) == 2
    # The approval before counts until the new attempt ends otherwise.
    assert desk.user_state() == "approved"


@pytest.mark.parametrize("status", ["failed", "expired"])
def test_cache__what_is_no_decision_is_not_reused(desk: Any, status: str) -> None:
    case = desk.start("k1")
    desk.hear(desk.local.inquiry(status))
    assert desk.user_state() == status
    anew = desk.start("k2")
    assert anew.kyc_case_id != case.kyc_case_id
    assert not anew.is_cached


def test_validity__ends_and_the_customer_is_verified_again(desk: Any) -> None:
    case = desk.start("k1")
    desk.hear(desk.local.inquiry("approved"))
    assert desk.service.expire_due() == 0
    desk.wait(365 * 86_400)
    assert desk.service.expire_due() == 1
    assert desk.service.expire_due() == 0
    assert (desk.user_state(), desk.decisions()[-1][:2]) == ("expired", ("expired", "validity_ended"))
    # Late news of the way does not bring it back.
    assert desk.hear(desk.local.inquiry("completed", after_s=-400 * 86_400)).state is KycState.EXPIRED
    anew = desk.start("k2")
    assert anew.kyc_case_id != case.kyc_case_id
    desk.hear(desk.local.inquiry("approved"))
    assert desk.user_state() == "approved"


def test_unfinished__ends_and_a_late_approval_is_for_a_person(desk: Any) -> None:
    case = desk.start()
    desk.wait(30 * 86_400)
    assert desk.service.expire_due() == 1
    assert desk.user_state() == "expired"
    desk.hear(desk.local.inquiry("approved"))
    found = desk.service.read(case.kyc_case_id)
    assert (found.state, found.state_reason) == (KycState.IN_REVIEW, "late_answer")
    desk.hear(desk.local.inquiry("completed", after_s=-9))
    assert desk.service.read(case.kyc_case_id).state is KycState.IN_REVIEW


def test_record__holds_nothing_of_the_person(desk: Any) -> None:
    desk.start()
    desk.hear(desk.local.inquiry("completed"))
    desk.hear(desk.local.inquiry("declined", after_s=1))
    tables = ("kyc_cases", "kyc_checks", "provider_events", "decisions", "cases", "case_events", "outbox")
    for table in tables:
        rows = desk.rows(f"select cast(to_jsonb(t) as text) as content from compliance.{table} as t")
        assert rows, table
        assert not any(name in row.content for row in rows for name in ("Ann", "Lee", "/verify/")), table

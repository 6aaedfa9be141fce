"""From the start of a verification to the automatic approval."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from compliance.errors import CaseNotFoundError, ComplianceInputError
from compliance.kyc.errors import WebhookNotConfiguredError, WebhookRefusedError
from compliance.kyc.model import KycState
from compliance.model import Actor, Role
from infra.embedded.kyc.testing import SignedWebhook

OFFICER = Actor("olga", Role.OFFICER)
GREEN: dict[str, Any] = {"reviewStatus": "completed", "reviewResult": {"reviewAnswer": "GREEN"}}
RED: dict[str, Any] = {
    "reviewStatus": "completed",
    "reviewResult": {"reviewAnswer": "RED", "reviewRejectType": "FINAL"},
}


def test_start__persona_gets_the_case_and_the_customer_a_link(desk: Any) -> None:
    case = desk.start()
    [subject] = desk.local.subjects("persona")
    assert (case.state, case.provider, case.provider_reference) == (KycState.PENDING, "persona", subject.subject_id)
    assert case.handoff is not None
    assert case.handoff.value.get_secret_value().endswith(f"/verify/persona/{subject.subject_id}")
    assert desk.service.read(case.kyc_case_id).handoff is None
    assert desk.user_state() == "pending"


def test_start__is_idempotent_and_a_customer_has_one_open_case(desk: Any) -> None:
    first = desk.start("k1")
    assert desk.start("k1").kyc_case_id == desk.start("another key").kyc_case_id == first.kyc_case_id
    with ThreadPoolExecutor(4) as pool:
        racing = list(pool.map(lambda n: desk.service.start(desk.user("r2"), f"race-{n % 2}"), range(4)))
    assert len({case.kyc_case_id for case in racing}) == 1
    assert len(desk.local.subjects("persona")) == 2


def test_start__refuses_keys_of_others_and_unknown_customers(desk: Any) -> None:
    desk.start("k1")
    with pytest.raises(ComplianceInputError):
        desk.service.start(desk.user("r2"), "k1")
    for user_id, key in (("usr_nobody", "k"), (desk.user_id, ""), (desk.user_id, "k" * 201)):
        with pytest.raises(ComplianceInputError):
            desk.service.start(user_id, key)
    with pytest.raises(CaseNotFoundError):
        desk.service.read("kyc_nobody")


def test_approval__is_screened_recorded_and_valid_for_a_year(desk: Any) -> None:
    case = desk.start()
    desk.hear(desk.local.inquiry("completed"))
    assert desk.service.read(case.kyc_case_id).state is KycState.SUBMITTED
    desk.wait(1)
    applied = desk.hear(desk.local.inquiry("approved"))
    assert (applied.is_new, applied.state) == (True, KycState.APPROVED)
    approved = desk.service.read(case.kyc_case_id)
    assert approved.expires_at == desk.clock.now() + timedelta(days=365)
    assert approved.next_poll_at is None
    assert desk.user_state() == "approved"
    assert desk.screener.seen == [desk.user_id]
    [decision] = desk.rows("select * from compliance.decisions")
    assert (decision.outcome, decision.actor, decision.list_versions) == ("approved", "system", {"ofac_sdn": "lv_1"})
    assert decision.evidence["screening_id"] == "scr_1"
    assert desk.open_cases() == []


@pytest.mark.parametrize("webhooks", [(), ("completed",)], ids=["all lost", "the last one lost"])
def test_approval__comes_within_thirty_seconds_of_submission_although_webhooks_are_lost(
    desk: Any, webhooks: tuple[str, ...]
) -> None:
    case = desk.start()
    desk.wait(40)
    desk.poll()
    desk.wait(1)
    submitted = desk.clock.now()
    heard = desk.local.inquiry("completed")
    if webhooks:
        desk.hear(heard)
    desk.local.inquiry("approved", after_s=6)
    while desk.service.read(case.kyc_case_id).state is not KycState.APPROVED:
        desk.poll(1)
        assert desk.clock.now() - submitted <= timedelta(seconds=30)
    assert desk.service.read(case.kyc_case_id).submitted_at == submitted


def test_completed__is_not_approved(desk: Any) -> None:
    case = desk.start()
    desk.hear(desk.local.inquiry("completed"))
    for _ in range(30):
        desk.poll(5)
    assert desk.service.read(case.kyc_case_id).state is KycState.SUBMITTED
    assert desk.decisions() == []


def test_webhooks__approved_before_completed_stays_approved(desk: Any) -> None:
    case = desk.start()
    completed = desk.local.inquiry("completed")
    approved = desk.local.inquiry("approved", after_s=1)
    desk.wait(2)
    desk.hear(approved)
    assert desk.hear(completed).state is KycState.APPROVED
    assert desk.service.read(case.kyc_case_id).submitted_at == desk.clock.now() - timedelta(seconds=2)
    assert len(desk.decisions()) == 1


def test_webhooks__a_repetition_changes_nothing(desk: Any) -> None:
    desk.start()
    webhook = desk.local.inquiry("approved")
    assert desk.hear(webhook).is_new
    before = desk.rows("select version, updated_at from compliance.kyc_cases")
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(desk.hear, [webhook] * 4))
    assert [each.is_new for each in again] == [False] * 4
    assert desk.rows("select version, updated_at from compliance.kyc_cases") == before
    assert len(desk.decisions()) == 1


def test_webhooks__one_that_says_nothing_makes_us_ask(desk: Any) -> None:
    case = desk.start()
    webhook = desk.local.inquiry("approved")
    content = {
        "data": {
            "type": "event",
            "id": "evt_x",
            "attributes": {
                "name": "inquiry.approved",
                "payload": {"data": {"type": "inquiry", "id": case.provider_reference, "attributes": {}}},
            },
        }
    }
    applied = desk.hear(desk.local.signed("persona", content))
    assert applied.state is KycState.PENDING
    assert desk.poll() == 1
    assert desk.service.read(case.kyc_case_id).state is KycState.APPROVED
    assert desk.hear(webhook).state is KycState.APPROVED


def test_webhooks__nobodys_are_kept_and_forged_ones_are_not(desk: Any) -> None:
    case = desk.start()
    content = {
        "data": {
            "type": "event",
            "id": "evt_x",
            "attributes": {
                "name": "inquiry.approved",
                "payload": {
                    "data": {
                        "type": "inquiry",
                        "id": "inq_other",
                        "attributes": {"status": "approved", "reference-id": "kyc_x"},
                    }
                },
            },
        }
    }
    assert desk.hear(desk.local.signed("persona", content)).kyc_case_id is None
    good = desk.local.inquiry("approved")
    with pytest.raises(WebhookRefusedError):
        desk.hear(SignedWebhook("persona", good.headers, good.body.replace(b": ", b":")))
    for unknown in ("manual", "onfido"):
        with pytest.raises(WebhookNotConfiguredError):
            desk.service.apply_webhook(unknown, good.headers, good.body)
    assert desk.service.read(case.kyc_case_id).state is KycState.PENDING
    assert len(desk.rows("select 1 from compliance.provider_events")) == 1


def test_webhooks__one_that_overtakes_the_answer_to_the_creation_finds_its_case(desk: Any) -> None:
    """As after a kill between the provider's creation and our note of it."""
    desk.start()
    with desk.engine.begin() as connection:
        connection.execute(
            text("update compliance.kyc_cases set state = 'created', provider = null, provider_reference = null")
        )
    applied = desk.hear(desk.local.inquiry("approved"))
    assert applied.state is KycState.APPROVED
    assert applied.kyc_case_id is not None
    assert desk.service.read(applied.kyc_case_id).provider == "persona"

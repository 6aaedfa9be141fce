"""A customer who closed the page is led back to the provider, as long as there is something to do for them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import structlog

from compliance.kyc.model import KycState


def link(case: Any) -> str | None:
    return None if case.handoff is None else case.handoff.value.get_secret_value()


def test_start__asked_again_leads_the_customer_back(desk: Any) -> None:
    first = desk.start("k1")
    again, by_another_key = desk.start("k1"), desk.start("k2")
    assert {each.kyc_case_id for each in (first, again, by_another_key)} == {first.kyc_case_id}
    assert len({link(each) for each in (first, again, by_another_key)}) == 3
    assert len(desk.local.subjects("persona")) == 1
    with httpx.Client(trust_env=False) as browser:
        assert browser.get(str(link(again))).status_code == 200
    stored = str(desk.rows("select k::text, c::text from compliance.kyc_cases k natural join compliance.kyc_checks c"))
    assert str(link(again)).partition("code=")[2] not in stored
    assert desk.service.read(first.kyc_case_id).handoff is None


def test_start__leads_to_sumsub_by_a_new_token(desk: Any) -> None:
    desk.local.fail("persona", "create", 503, count=2)
    first = desk.start()
    assert first.provider == "sumsub"
    again = desk.start()
    assert (again.handoff.kind, link(again) == link(first)) == ("token", False)
    # Sumsub asks for another try after the customer has handed in.
    retry = {"reviewAnswer": "RED", "reviewRejectType": "RETRY"}
    desk.hear(desk.local.applicant(reviewStatus="pending"))
    desk.hear(desk.local.applicant(after_s=1, reviewStatus="completed", reviewResult=retry))
    again = desk.start()
    assert (again.state, again.handoff is None) == (KycState.SUBMITTED, False)


@pytest.mark.parametrize(
    "failure", [{"status": 404}, {"status": 429}, {"status": 503}, {"delay_s": 1.2}], ids=lambda each: str(each)
)
def test_start__without_a_link_is_the_case_all_the_same(desk: Any, failure: dict[str, Any]) -> None:
    first = desk.start()
    desk.local.fail("persona", "link", failure.get("status"), delay_s=failure.get("delay_s", 0.0))
    with structlog.testing.capture_logs() as lines:
        again = desk.start()
    assert (again.kyc_case_id, again.state, again.handoff) == (first.kyc_case_id, KycState.PENDING, None)
    assert [line["event"] for line in lines] == ["kyc_not_led_on"]
    assert again.version == desk.service.read(first.kyc_case_id).version, "nothing is written for it"


def test_start__with_an_open_breaker_asks_nobody(desk: Any) -> None:
    desk.start()
    desk.local.fail("persona", "link", 503, count=3)
    for _ in range(5):
        assert desk.start().handoff is None
    assert desk.local.requests("persona", "link") == 3


def test_start__that_found_its_inquiry_after_a_timeout_has_a_link(desk: Any) -> None:
    desk.local.fail("persona", "create", delay_s=1.2)
    case = desk.start()
    assert (case.provider, desk.local.requests("persona", "create")) == ("persona", 1)
    assert "code=" in str(link(case))


@pytest.mark.parametrize("status", ["approved", "needs_review", "declined"])
def test_start__where_the_customer_has_nothing_to_do_leads_nowhere(desk: Any, status: str) -> None:
    desk.start()
    desk.wait(1)
    desk.hear(desk.local.inquiry(status))
    assert desk.start("k1").handoff is None
    assert desk.local.requests("persona", "link") == 0

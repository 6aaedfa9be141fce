"""Providers that fail, processes that die, policies that are missing: nobody is lost, nobody is approved."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from compliance.errors import ComplianceNotReadyError
from compliance.kyc.model import KycState
from compliance.kyc.providers.base import Applicant, Created, Provider
from compliance.kyc.service import KycService
from compliance.kyc.starting import PATIENCE, START_LEASE
from infra.runtime.breaker import BreakerState


def down(desk: Any, *names: str, status: int = 503) -> None:
    for name in names:
        for operation in ("create", "find"):
            desk.local.fail(name, operation, status, count=1000)


def up(desk: Any, *names: str) -> None:
    for name in names:
        for operation in ("create", "find"):
            desk.local.fail(name, operation, None, count=0)


def test_fallback__sumsub_takes_what_persona_does_not(desk: Any) -> None:
    down(desk, "persona")
    case = desk.start()
    assert (case.state, case.provider) == (KycState.PENDING, "sumsub")
    assert case.handoff is not None
    assert case.handoff.kind == "token"
    desk.hear(desk.local.applicant(reviewStatus="completed", reviewResult={"reviewAnswer": "GREEN"}))
    assert desk.user_state() == "approved"


def test_fallback__an_open_breaker_spares_persona(desk: Any) -> None:
    down(desk, "persona")
    for number in range(4):
        desk.user_id = desk.user(f"u{number}")
        assert desk.start(f"k{number}").provider == "sumsub"
    assert desk.service.health()["persona"].breaker is BreakerState.OPEN
    asked = desk.local.requests("persona", "create")
    desk.user_id = desk.user("u9")
    assert desk.start("k9").provider == "sumsub"
    assert desk.local.requests("persona", "create") == asked


def test_fallback__a_429_is_not_waited_for(desk: Any) -> None:
    desk.local.fail("persona", "create", 429, reset_s=60)
    assert desk.start("k1").provider == "sumsub"
    assert desk.service.health()["persona"].retry_in_s > 50


def test_fallback__officers_are_the_last(desk: Any) -> None:
    down(desk, "persona", "sumsub")
    case = desk.start()
    assert (case.state, case.provider) == (KycState.CREATED, None)
    desk.wait(PATIENCE.total_seconds())
    assert desk.poll() == 1
    found = desk.service.read(case.kyc_case_id)
    assert (found.state, found.state_reason, found.provider) == (KycState.IN_REVIEW, "manual_verification", "manual")
    assert desk.open_cases() == ["Identity to be verified by a person: manual_verification"]
    assert desk.poll(86_400) == 0


def test_fallback__one_that_comes_back_gets_the_case_that_nobody_had(desk: Any) -> None:
    down(desk, "persona", "sumsub")
    case = desk.start()
    assert desk.user_state() == "created"
    up(desk, "sumsub")
    desk.poll(10)
    found = desk.service.read(case.kyc_case_id)
    assert (found.state, found.provider) == (KycState.PENDING, "sumsub")
    assert [subject.own_id for subject in desk.local.subjects("sumsub")] == [case.kyc_case_id]


def test_companies__are_verified_by_officers(desk: Any) -> None:
    desk.user_id = desk.user("c1", "company")
    case = desk.start()
    assert (case.state, case.provider) == (KycState.IN_REVIEW, "manual")
    assert desk.local.subjects("persona") == []


def test_timeout__after_the_creation_makes_no_double_inquiry(desk: Any) -> None:
    desk.local.fail("persona", "create", delay_s=0.9)
    case = desk.start()
    [subject] = desk.local.subjects("persona")
    assert (case.provider, case.provider_reference) == ("persona", subject.subject_id)
    assert desk.local.subjects("sumsub") == []


class Killed(BaseException):
    """Ends a call as kill -9 would: nothing that catches errors sees it."""


class DyingProvider:
    """Persona, whose answer to the creation the process does not live to see."""

    name = "persona"

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.dies = True

    def create(self, applicant: Applicant, generation: int, *, may_exist: bool) -> Created:
        created = self._provider.create(applicant, generation, may_exist=may_exist)
        if self.dies:
            raise Killed
        return created

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


def test_kill__between_creation_and_note_is_made_good(desk: Any) -> None:
    providers: Mapping[str, Any] = desk.service._providers
    dying = DyingProvider(providers["persona"])
    service = desk.with_providers({**providers, "persona": dying})
    with pytest.raises(Killed):
        service.start(desk.user("r1"), "k1")
    dying.dies = False
    assert service.poll_due(10) == 0
    desk.wait(START_LEASE.total_seconds())
    assert service.poll_due(10) == 1
    case = service.start(desk.user("r1"), "k1")
    [subject] = desk.local.subjects("persona")
    assert (case.state, case.provider_reference) == (KycState.PENDING, subject.subject_id)


def test_poll__a_case_is_one_pollers_until_its_lease_ends(desk: Any) -> None:
    desk.start()
    desk.wait(15)
    asked = desk.local.requests("persona", "read")
    threads = [threading.Thread(target=desk.service.poll_due, args=(10,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desk.local.requests("persona", "read") == asked + 1


def test_poll__errors_are_kept_and_say_nothing_of_the_customer(desk: Any) -> None:
    case = desk.start()
    desk.local.fail("persona", "read", 500)
    desk.poll(15)
    found = desk.service.read(case.kyc_case_id)
    assert (found.state, found.polls) == (KycState.PENDING, 1)
    assert found.next_poll_at is not None
    assert found.next_poll_at > desk.clock.now()
    rows = desk.rows("select source, payload from compliance.kyc_checks where verdict = 'error'")
    assert [tuple(row) for row in rows] == [("poll", {"fault": "server_error"})]
    desk.local.inquiry("approved")
    desk.poll(15)
    assert desk.user_state() == "approved"


def test_poll__waits_as_long_as_a_429_asks(desk: Any) -> None:
    case = desk.start()
    desk.local.fail("persona", "read", 429, reset_s=120)
    desk.poll(15)
    assert desk.service.read(case.kyc_case_id).next_poll_at == desk.clock.now() + timedelta(seconds=120)


def test_poll__what_the_provider_no_longer_knows_is_for_a_person(desk: Any) -> None:
    case = desk.start()
    desk.local.database.rows("delete from subjects")
    desk.poll(15)
    found = desk.service.read(case.kyc_case_id)
    assert (found.state, found.state_reason) == (KycState.IN_REVIEW, "review_by_provider")


def test_poll__a_provider_without_credentials_is_an_error(desk: Any) -> None:
    case = desk.start()
    service = desk.with_providers({"manual": desk.service._providers["manual"]})
    desk.wait(15)
    assert service.poll_due(10) == 1
    assert service.read(case.kyc_case_id).state is KycState.PENDING
    assert [
        row.fault
        for row in desk.rows("select payload ->> 'fault' as fault from compliance.kyc_checks where verdict = 'error'")
    ] == ["credentials_refused"]


class NoPolicies:
    """A book without a policy that counts."""

    def current(self, at: datetime) -> Any:
        raise ComplianceNotReadyError("no policy counts")


def test_policy__without_one_nothing_is_started_and_a_webhook_is_taken_again_later(desk: Any) -> None:
    case = desk.start()
    webhook = desk.local.inquiry("approved")
    blind = desk.with_policies(NoPolicies())
    with pytest.raises(ComplianceNotReadyError):
        blind.start(desk.user("r2"), "k2")
    with pytest.raises(ComplianceNotReadyError):
        blind.apply_webhook(webhook.provider, webhook.headers, webhook.body)
    assert desk.service.read(case.kyc_case_id) == replace(case, handoff=None)
    assert desk.hear(webhook).is_new
    assert desk.user_state() == "approved"


def test_poll__a_failure_stays_with_its_case(desk: Any) -> None:
    desk.start()
    blind = desk.with_policies(NoPolicies())
    desk.local.inquiry("approved")
    desk.wait(15)
    assert blind.poll_due(10) == 1
    assert desk.user_state() == "pending"
    desk.poll(31)
    assert desk.user_state() == "approved"


def test_service__needs_the_officers(desk: Any) -> None:
    providers = {name: each for name, each in desk.service._providers.items() if name != "manual"}
    with pytest.raises(ValueError, match="manual"):
        KycService(desk.engine, desk.clock, desk.envelope, desk.policies, providers, desk.screener)

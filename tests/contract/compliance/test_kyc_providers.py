"""Requests to Persona and Sumsub over real HTTP, against local servers that speak their contracts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from compliance.kyc.errors import Fault, ProviderError
from compliance.kyc.model import Verdict
from compliance.kyc.providers.base import Applicant, Provider
from compliance.kyc.providers.guarded import GuardedProvider
from compliance.kyc.providers.persona import PersonaProvider
from compliance.kyc.providers.sumsub import SumsubProvider
from infra.embedded.kyc.testing import LocalProviders, local_providers
from infra.runtime.breaker import BreakerState
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ANN = Applicant("kyc_1", "usr_1", "Ann", "Lee", date(1990, 5, 1))
TIMEOUT = httpx.Timeout(1.0, connect=5.0)
LATE_S = 3.0
NAMES = ("persona", "sumsub")
LEVEL = "basic kyc/ä"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalProviders, FixedClock]]:
    """The local providers, started once, and their clock."""
    clock = FixedClock(AT)
    # The name must be encoded, and signed as it is written.
    with local_providers(tmp_path_factory.mktemp("kyc"), clock, sumsub_level_name=LEVEL) as local:
        yield local, clock


@pytest.fixture
def clock(served: tuple[LocalProviders, FixedClock]) -> FixedClock:
    served[1].at = AT
    return served[1]


@pytest.fixture
def local(served: tuple[LocalProviders, FixedClock], clock: FixedClock) -> LocalProviders:
    served[0].database.clear()
    return served[0]


@pytest.fixture
def providers(local: LocalProviders, clock: FixedClock) -> Iterator[dict[str, Provider]]:
    made = {"persona": persona(local.settings, clock), "sumsub": sumsub(local.settings, clock)}
    yield made
    for provider in made.values():
        provider.close()


def persona(settings: Settings, clock: FixedClock) -> Provider:
    assert settings.persona_api_key is not None
    return PersonaProvider(
        settings.persona_url,
        settings.persona_api_key,
        version=settings.persona_version,
        template_id=str(settings.persona_template_id),
        webhook_secrets=settings.persona_webhook_secrets,
        clock=clock,
        timeout=TIMEOUT,
    )


def sumsub(settings: Settings, clock: FixedClock) -> Provider:
    assert settings.sumsub_app_token is not None
    assert settings.sumsub_secret_key is not None
    return SumsubProvider(
        settings.sumsub_url,
        settings.sumsub_app_token,
        settings.sumsub_secret_key,
        level_name=LEVEL,
        webhook_secret=settings.sumsub_webhook_secret,
        clock=clock,
        timeout=TIMEOUT,
    )


def fault(call: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        call()
    assert "Ann" not in str(caught.value)
    assert "http" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", NAMES)
def test_create__makes_one_and_reads_it(name: str, local: LocalProviders, providers: dict[str, Provider]) -> None:
    created = providers[name].create(ANN, 0, may_exist=False)
    [subject] = local.subjects(name)
    assert (created.reference, subject.own_id) == (subject.subject_id, "kyc_1")
    assert created.answer.verdict is Verdict.PENDING
    assert created.handoff is not None
    assert created.handoff.value.get_secret_value() not in repr(created)
    assert providers[name].read(subject.subject_id) == created.answer


@pytest.mark.parametrize("name", NAMES)
def test_create__tells_what_documents_are_compared_with_and_no_more(
    name: str, local: LocalProviders, providers: dict[str, Provider]
) -> None:
    providers[name].create(ANN, 0, may_exist=False)
    [subject] = local.subjects(name)
    told = subject.body["fields" if name == "persona" else "fixedInfo"]
    assert sorted(told.values()) == ["1990-05-01", "Ann", "Lee"]
    providers[name].create(
        replace(ANN, kyc_case_id="kyc_2", first_name=None, last_name=None, birth_date=None), 0, may_exist=False
    )
    assert not {"fields", "fixedInfo"} & set(local.subjects(name)[1].body)


@pytest.mark.parametrize("name", NAMES)
def test_create__a_timeout_after_it_took_effect_makes_no_second_one(
    name: str, local: LocalProviders, providers: dict[str, Provider]
) -> None:
    local.fail(name, "create", delay_s=LATE_S)
    created = providers[name].create(ANN, 0, may_exist=False)
    assert [subject.subject_id for subject in local.subjects(name)] == [created.reference]
    assert local.requests(name, "create") == 1


@pytest.mark.parametrize("name", NAMES)
def test_create__where_nobody_can_tell_what_a_timeout_did_nothing_is_tried(
    name: str, local: LocalProviders, providers: dict[str, Provider]
) -> None:
    local.fail(name, "create", delay_s=LATE_S)
    local.fail(name, "find", 503)
    assert fault(lambda: providers[name].create(ANN, 0, may_exist=False)).fault is Fault.SERVER
    assert local.requests(name, "create") == 1
    again = providers[name].create(ANN, 0, may_exist=True)
    assert [subject.subject_id for subject in local.subjects(name)] == [again.reference]
    assert local.requests(name, "create") == 1


def test_persona__a_stored_500_is_left_behind_by_a_new_key(
    local: LocalProviders, providers: dict[str, Provider]
) -> None:
    local.fail("persona", "create", 500)
    created = providers["persona"].create(ANN, 0, may_exist=False)
    assert [subject.subject_id for subject in local.subjects("persona")] == [created.reference]
    assert local.requests("persona", "find") == 1


def test_persona__a_key_replays_what_it_got_first(local: LocalProviders, providers: dict[str, Provider]) -> None:
    local.fail("persona", "create", 500, count=2)
    failed = fault(lambda: providers["persona"].create(ANN, 0, may_exist=False))
    assert (failed.fault, failed.new_key) == (Fault.SERVER, True)
    # The server has recovered, and both keys still get their 500.
    assert fault(lambda: providers["persona"].create(ANN, 0, may_exist=True)).fault is Fault.SERVER
    assert local.subjects("persona") == []
    assert providers["persona"].create(ANN, 2, may_exist=True).reference is not None


@pytest.mark.parametrize("status", [401, 429])
def test_persona__what_is_not_stored_needs_no_new_key(
    status: int, local: LocalProviders, providers: dict[str, Provider]
) -> None:
    local.fail("persona", "create", status)
    assert not fault(lambda: providers["persona"].create(ANN, 0, may_exist=False)).new_key
    assert providers["persona"].create(ANN, 0, may_exist=False).reference is not None
    assert len(local.subjects("persona")) == 1


def test_persona__other_parameters_under_a_key_are_refused(
    local: LocalProviders, providers: dict[str, Provider]
) -> None:
    providers["persona"].create(ANN, 0, may_exist=False)
    other = replace(ANN, last_name="Li")
    assert fault(lambda: providers["persona"].create(other, 0, may_exist=False)).fault is Fault.REFUSED


def test_sumsub__an_applicant_that_is_there_is_taken(local: LocalProviders, providers: dict[str, Provider]) -> None:
    first = providers["sumsub"].create(ANN, 0, may_exist=False)
    assert providers["sumsub"].create(ANN, 0, may_exist=False).reference == first.reference
    assert len(local.subjects("sumsub")) == 1


def test_sumsub__without_a_token_the_applicant_still_stands(
    local: LocalProviders, providers: dict[str, Provider]
) -> None:
    local.fail("sumsub", "token", 500)
    created = providers["sumsub"].create(ANN, 0, may_exist=False)
    assert created.reference is not None
    assert created.handoff is None


FAULTS = {
    400: Fault.REFUSED,
    401: Fault.CREDENTIALS,
    403: Fault.CREDENTIALS,
    404: Fault.NOT_FOUND,
    409: Fault.CONFLICT,
    422: Fault.REFUSED,
    429: Fault.LIMITED,
    500: Fault.SERVER,
    503: Fault.SERVER,
    302: Fault.REFUSED,
}


@pytest.mark.parametrize("name", NAMES)
def test_read__faults_are_told_by_kind(name: str, local: LocalProviders, providers: dict[str, Provider]) -> None:
    reference = str(providers[name].create(ANN, 0, may_exist=False).reference)
    for status, kind in FAULTS.items():
        local.fail(name, "read", status)
        assert fault(lambda: providers[name].read(reference)).fault is kind
    local.fail(name, "read", delay_s=LATE_S)
    assert fault(lambda: providers[name].read(reference)).fault is Fault.TIMEOUT
    assert fault(lambda: providers[name].read("nobody")).fault is Fault.NOT_FOUND


@pytest.mark.parametrize(
    ("reset_s", "wait"), [(7, timedelta(seconds=7)), (None, timedelta(seconds=30)), (86_400, timedelta(minutes=15))]
)
def test_read__a_429_says_how_long_to_wait(
    reset_s: int | None, wait: timedelta, local: LocalProviders, providers: dict[str, Provider]
) -> None:
    local.fail("persona", "read", 429, reset_s=reset_s)
    assert fault(lambda: providers["persona"].read("inq_1")).retry_in == wait


def test_read__nobody_listens(clock: FixedClock) -> None:
    settings = Settings(
        persona_url="http://127.0.0.1:9/api/v1",
        persona_api_key=SecretStr("key"),
        persona_template_id="itmpl_1",
        sumsub_url="http://127.0.0.1:9",
        sumsub_app_token=SecretStr("t"),
        sumsub_secret_key=SecretStr("s"),
    )
    for provider in (persona(settings, clock), sumsub(settings, clock)):
        assert fault(lambda: provider.read("x")).fault is Fault.UNREACHABLE  # noqa: B023
        assert fault(lambda: provider.create(ANN, 0, may_exist=False)).fault is Fault.UNREACHABLE  # noqa: B023
        provider.close()


def test_sumsub__a_wrong_secret_is_refused(local: LocalProviders, clock: FixedClock) -> None:
    provider = sumsub(local.settings.model_copy(update={"sumsub_secret_key": SecretStr("other")}), clock)
    assert fault(lambda: provider.read("x")).fault is Fault.CREDENTIALS
    provider.close()


def test_persona__statuses_follow_the_customer(
    local: LocalProviders, providers: dict[str, Provider], clock: FixedClock
) -> None:
    reference = str(providers["persona"].create(ANN, 0, may_exist=False).reference)
    found = []
    for status in ("pending", "completed", "needs_review", "approved"):
        clock.advance(timedelta(seconds=1))
        local.inquiry(status)
        answer = providers["persona"].read(reference)
        assert answer.is_exact
        assert answer.occurred_at == clock.now()
        found.append((answer.verdict, answer.submitted_at))
    handed_in = AT + timedelta(seconds=2)
    assert found == [
        (Verdict.PENDING, None),
        (Verdict.PENDING, handed_in),
        (Verdict.REVIEW, handed_in),
        (Verdict.APPROVED, handed_in),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_event__says_what_a_look_says(
    name: str, local: LocalProviders, providers: dict[str, Provider], clock: FixedClock
) -> None:
    reference = str(providers[name].create(ANN, 0, may_exist=False).reference)
    clock.advance(timedelta(seconds=1))
    if name == "persona":
        webhook = local.inquiry("approved")
    else:
        webhook = local.applicant(reviewStatus="completed", reviewResult={"reviewAnswer": "GREEN"})
    event = providers[name].event(webhook.headers, webhook.body, clock.now())
    look = providers[name].read(reference)
    assert event.answer is not None
    assert (event.reference, event.kyc_case_id) == (reference, "kyc_1")
    assert (event.answer.status, event.answer.verdict) == (look.status, Verdict.APPROVED)
    assert event.answer.occurred_at == look.occurred_at == clock.now()


class Seconds:
    """A monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_guarded__faults_open_the_breaker_and_a_good_probe_closes_it(
    local: LocalProviders, providers: dict[str, Provider]
) -> None:
    seconds = Seconds()
    guarded = GuardedProvider(providers["persona"], faults=3, open_s=10, monotonic=seconds)
    local.fail("persona", "read", 503, count=3)
    for _ in range(3):
        assert fault(lambda: guarded.read("inq_1")).fault is Fault.SERVER
    blocked = fault(lambda: guarded.read("inq_1"))
    assert (blocked.fault, blocked.retry_in) == (Fault.CIRCUIT_OPEN, timedelta(seconds=10))
    assert local.requests("persona", "read") == 3
    assert guarded.health().breaker is BreakerState.OPEN
    seconds.now += 10
    # That there is no such inquiry is an answer.
    assert fault(lambda: guarded.read("inq_1")).fault is Fault.NOT_FOUND
    assert guarded.health().breaker is BreakerState.CLOSED


def test_guarded__a_429_leaves_the_provider_alone_until_its_reset(
    local: LocalProviders, providers: dict[str, Provider]
) -> None:
    seconds = Seconds()
    guarded = GuardedProvider(providers["persona"], monotonic=seconds)
    local.fail("persona", "create", 429, reset_s=5)
    fault(lambda: guarded.create(ANN, 0, may_exist=False))
    assert fault(lambda: guarded.create(ANN, 0, may_exist=False)).retry_in == timedelta(seconds=5)
    assert guarded.health().breaker is BreakerState.CLOSED
    seconds.now += 5
    assert guarded.create(ANN, 0, may_exist=False).reference is not None
    assert local.requests("persona", "create") == 2

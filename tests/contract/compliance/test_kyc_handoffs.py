"""Leading a customer back to Persona and Sumsub over real HTTP: a new link or token each time, faults told by kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from compliance.kyc.errors import Fault, ProviderError
from compliance.kyc.providers.base import Applicant
from compliance.kyc.providers.build import build_providers
from compliance.kyc.providers.guarded import FAULTS, GuardedProvider
from infra.embedded.kyc.testing import LocalProviders, local_providers
from infra.runtime.breaker import BreakerState
from infra.runtime.clock import FixedClock

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ANN = Applicant("kyc_1", "usr_1", "Ann", "Lee", date(1990, 5, 1))
TIMEOUT = httpx.Timeout(0.3, connect=2.0)
OPERATIONS = {"persona": "link", "sumsub": "token"}
NAMES = tuple(OPERATIONS)
Providers = Mapping[str, GuardedProvider]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProviders]:
    with local_providers(tmp_path_factory.mktemp("kyc"), FixedClock(AT)) as local:
        yield local


@pytest.fixture
def local(served: LocalProviders) -> LocalProviders:
    served.database.clear()
    return served


@pytest.fixture
def providers(local: LocalProviders) -> Iterator[Providers]:
    made = build_providers(local.settings, FixedClock(AT), TIMEOUT)
    yield made
    for provider in made.values():
        provider.close()


def begun(provider: GuardedProvider) -> str:
    return str(provider.create(ANN, 0, may_exist=False).reference)


def led(provider: GuardedProvider, reference: str) -> str:
    handoff = provider.handoff(reference, ANN.kyc_case_id)
    assert handoff is not None
    value = handoff.value.get_secret_value()
    assert value not in repr(handoff)
    return value


def fault(provider: GuardedProvider, reference: str) -> Fault:
    with pytest.raises(ProviderError) as caught:
        provider.handoff(reference, ANN.kyc_case_id)
    assert reference not in str(caught.value)
    return caught.value.fault


@pytest.mark.parametrize("name", NAMES)
def test_handoff__is_a_new_one_each_time_and_makes_no_second_verification(
    name: str, local: LocalProviders, providers: Providers
) -> None:
    reference = begun(providers[name])
    assert len({led(providers[name], reference) for _ in range(3)}) == 3
    assert [subject.subject_id for subject in local.subjects(name)] == [reference]


def test_persona__a_link_opens_the_page_once(providers: Providers) -> None:
    reference = begun(providers["persona"])
    first, other = (led(providers["persona"], reference) for _ in range(2))
    with httpx.Client(trust_env=False) as browser:
        assert [browser.get(link).status_code for link in (first, first, other)] == [200, 410, 200]
        assert browser.get(f"{first}x").status_code == 410
        assert browser.post(first, data={"outcome": "approved"}).status_code == 200


@pytest.mark.parametrize(
    ("status", "kind", "is_a_fault"),
    [
        (400, Fault.REFUSED, False),
        (401, Fault.CREDENTIALS, True),
        (404, Fault.NOT_FOUND, False),
        (409, Fault.CONFLICT, False),
        (429, Fault.LIMITED, False),
        (500, Fault.SERVER, True),
        (503, Fault.SERVER, True),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_handoff__faults_are_told_by_kind_and_open_the_breaker_where_the_provider_is_at_fault(
    name: str, status: int, kind: Fault, is_a_fault: bool, local: LocalProviders, providers: Providers
) -> None:
    reference, provider = begun(providers[name]), providers[name]
    asked = local.requests(name, OPERATIONS[name])
    local.fail(name, OPERATIONS[name], status, count=FAULTS)
    assert fault(provider, reference) is kind
    for _ in range(FAULTS - 1):
        fault(provider, reference)
    assert (provider.health().breaker is BreakerState.OPEN) is is_a_fault
    if is_a_fault:
        assert fault(provider, reference) is Fault.CIRCUIT_OPEN
        assert local.requests(name, OPERATIONS[name]) == asked + FAULTS


@pytest.mark.parametrize("name", NAMES)
def test_handoff__that_comes_too_late_is_given_up(name: str, local: LocalProviders, providers: Providers) -> None:
    reference = begun(providers[name])
    local.fail(name, OPERATIONS[name], delay_s=0.6)
    assert fault(providers[name], reference) is Fault.TIMEOUT


def test_persona__knows_its_own_inquiries_only(providers: Providers) -> None:
    assert fault(providers["persona"], "inq_nobody/../x") is Fault.NOT_FOUND


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [{}, {"meta": {"one-time-link": 7}, "token": ["x"]}, {"meta": [], "token": ""}])
def test_handoff__without_link_or_token_is_unreadable(
    name: str, content: Any, local: LocalProviders, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = begun(providers[name])
    answer = httpx.Response(200, json=content)
    monkeypatch.setattr(httpx.Client, "send", lambda _self, _request, **_how: answer)
    assert fault(providers[name], reference) is Fault.UNREADABLE


def test_manual__leads_nowhere(providers: Providers) -> None:
    assert providers["manual"].handoff("none", "kyc_1") is None

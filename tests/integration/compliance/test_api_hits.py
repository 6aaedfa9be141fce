"""Hits of screenings over HTTP: a sanction is cleared by two people, remembered, and only then is anybody approved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api.app import create_app
from compliance import cases, chain
from compliance.api.outcomes import resume_approved
from compliance.api.services import Services
from compliance.model import Actor, Role
from compliance.screening.lists import load_list
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES
from infra.runtime.clock import FixedClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.settings import Settings

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

PEOPLE = {"anna": "analyst", "otto": "officer", "olga": "officer"}
TOKENS = {name: f"token-of-{name}-0123456789" for name in PEOPLE}
USERS = ",".join(f"{name}:{role}:{TOKENS[name]}" for name, role in PEOPLE.items())
START = {
    "customer": {
        "reference": "crm-2",
        "personal": {"first_name": "Ottokar", "last_name": "Marlowe-Quist", "birth_date": "1999-12-31"},
    }
}
Ask = Callable[..., httpx.Response]


@pytest.fixture
def services(engine: Engine, clock: FixedClock, tmp_path: Path) -> Services:
    LocalKeyRing.create(tmp_path / "keys.json")
    settings = Settings(compliance_users=SecretStr(USERS), pii_key_file=tmp_path / "keys.json")
    return Services(settings, engine, clock)


@pytest.fixture
def ask(services: Services, engine: Engine, clock: FixedClock) -> Iterator[Ask]:
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])

    class NoPrices:
        def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
            return []

    app = create_app(services.settings, warehouse=NoPrices(), engine=engine, clock=clock, request_timeout_s=120)

    async def run(person: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        own = {"Authorization": f"Bearer {TOKENS[person]}"} | headers
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.post(f"/v1/compliance{path}", json=body, headers=own)

    with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        yield lambda person, path, body, headers=None: portal.call(run, person, path, body, headers or {})


@pytest.fixture
def kyc_case(ask: Ask) -> str:
    """The verification of a namesake of somebody listed, which an officer wanted to approve."""
    case_id: str = ask("anna", "/kyc", START, {"Idempotency-Key": "start-0001"}).json()["kyc_case_id"]
    assert approve(ask, case_id) == "in_review"
    return case_id


def approve(ask: Ask, kyc_case: str) -> str:
    body = {"verdict": "approved", "reason": "documents seen in person"}
    response = ask("otto", f"/kyc/{kyc_case}/decision", body)
    assert response.status_code == 200, response.text
    return str(response.json()["state"])


def hits(services: Services) -> list[tuple[Any, ...]]:
    statement = "select hit_id, state, case_id, decided_by from compliance.screening_hits order by hit_id"
    with services.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_sanction__is_cleared_by_two_people_and_then_the_customer_may_be_approved(
    ask: Ask, services: Services, kyc_case: str, clock: FixedClock
) -> None:
    (hit_id, state, case_id, _), *others = hits(services)
    assert (state, others) == ("open", [])
    body = {"version": 1, "reason": "born in another year"}
    assert code(ask("anna", f"/screening/hits/{hit_id}/clear", body)) == (403, "forbidden")
    assert code(ask("otto", f"/screening/hits/{hit_id}/clear", body)) == (409, "case_conflict")
    proposal = {"version": 1, "outcome": "cleared", "reason": "another date of birth"}
    body["version"] = ask("olga", f"/cases/{case_id}/propose", proposal).json()["version"]
    assert code(ask("olga", f"/screening/hits/{hit_id}/clear", body)) == (403, "forbidden")
    assert hits(services)[0][1] == "open"
    for _ in range(2):
        assert ask("otto", f"/screening/hits/{hit_id}/clear", body).json()["state"] == "cleared"
    assert hits(services) == [(hit_id, "cleared", case_id, "otto")]
    clock.advance(timedelta(minutes=1))
    assert approve(ask, kyc_case) == "approved"
    assert [each[1] for each in hits(services)].count("remembered") == 1
    with services.engine.connect() as connection:
        assert cases.read_case(connection, str(case_id)).outcome == "cleared"
        decided = connection.execute(text("select outcome from compliance.decisions order by sequence"))
        assert [row.outcome for row in decided][-3:] == ["cleared", "clear", "approved"]
        chain.verify(connection)


def test_hit__that_is_confirmed_is_not_cleared_afterwards(ask: Ask, services: Services, kyc_case: str) -> None:
    (hit_id, _, case_id, _), *_ = hits(services)
    body = {"version": 1, "reason": "the same person"}
    assert ask("otto", f"/screening/hits/{hit_id}/confirm", body).json()["state"] == "confirmed"
    assert code(ask("otto", f"/screening/hits/{hit_id}/clear", body | {"version": 2})) == (409, "case_conflict")
    assert approve(ask, kyc_case) == "in_review"
    closing = {"version": 2, "outcome": "confirmed", "reason": "the same person"}
    assert ask("otto", f"/cases/{case_id}/close", closing).status_code == 200
    assert code(ask("otto", "/screening/hits/none/clear", body)) == (404, "screening_hit_not_found")


def test_hit__that_is_no_sanction_needs_one_officer(ask: Ask, services: Services, kyc_case: str) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("update compliance.list_entries set topics = '{role.pep}'"))
    (hit_id, _, case_id, _), *_ = hits(services)
    body = {"version": 1, "reason": "another date of birth"}
    assert ask("otto", f"/screening/hits/{hit_id}/clear", body).json()["state"] == "cleared"
    with services.engine.connect() as connection:
        history = cases.case_history(connection, str(case_id))
    assert hit_id in history[-1].body["text"]


def test_hit__whose_entry_is_not_known_any_more_needs_two(ask: Ask, services: Services, kyc_case: str) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("delete from compliance.list_wallets"))
        connection.execute(text("delete from compliance.list_entries"))
    body = {"version": 1, "reason": "another date of birth"}
    assert code(ask("otto", f"/screening/hits/{hits(services)[0][0]}/clear", body)) == (409, "case_conflict")


def test_clearance__that_a_process_did_not_live_to_carry_out_is_carried_out(
    ask: Ask, services: Services, kyc_case: str, clock: FixedClock
) -> None:
    case_id = str(hits(services)[0][2])
    with services.engine.begin() as connection:
        at, anna, otto = clock.now(), Actor("anna", Role.ANALYST), Actor("otto", Role.OFFICER)
        cases.propose(connection, case_id, version=1, outcome="cleared", reason="namesake", actor=anna, at=at)
        cases.approve(connection, case_id, version=2, reason="agreed", actor=otto, at=at)
    clock.advance(timedelta(minutes=1))
    assert [resume_approved(services), resume_approved(services)] == [1, 0]
    assert [(each[1], each[3]) for each in hits(services)] == [("cleared", "otto")]

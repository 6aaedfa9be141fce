"""Verification, searches, the work on cases, policies and webhooks over HTTP, each as the person who may."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api.app import create_app
from compliance import cases
from compliance.model import Actor, Role
from compliance.screening.lists import load_list
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES
from infra.runtime.clock import FixedClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.settings import Settings

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

PEOPLE = {"anna": "analyst", "otto": "officer", "olga": "officer", "axel": "auditor"}
TOKENS = {name: f"token-of-{name}-0123456789" for name in PEOPLE}
USERS = "\n".join(f"{name}:{role}:{TOKENS[name]}" for name, role in PEOPLE.items())
KEY = {"Idempotency-Key": "start-0001"}
PERSONAL = {
    "first_name": "Erika",
    "last_name": "Musterfrau",
    "birth_date": "1980-02-29",
    "nationality": "DE",
    "email": "erika.musterfrau@example.com",
    "phone": "+4915198765432",
    "address": "Heidestrasse 17, Cologne",
    "document_number": "L01X00T471",
}
CUSTOMER = {"reference": "crm-1", "account_id": "acct-0001", "country": "DE", "declared_profile_usd": "100000"}
START = {"customer": CUSTOMER | {"personal": PERSONAL}}
SECRETS = [value for value in PERSONAL.values() if len(value) > 2]
Ask = Callable[..., httpx.Response]


class NoPrices:
    """Nothing here is valued."""

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    LocalKeyRing.create(tmp_path / "keys.json")
    return Settings(compliance_users=SecretStr(USERS), pii_key_file=tmp_path / "keys.json")


def serve(settings: Settings, engine: Engine, clock: FixedClock) -> contextlib.AbstractContextManager[Ask]:
    @contextlib.contextmanager
    def serving() -> Iterator[Ask]:
        app = create_app(settings, warehouse=NoPrices(), engine=engine, clock=clock, request_timeout_s=120)

        async def run(person: str | None, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
            own = {"Content-Type": "application/json"} | headers
            if person is not None:
                own["Authorization"] = f"Bearer {TOKENS[person]}"
            content = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
                return await client.request(method, f"/v1/compliance{path}", content=content, headers=own)

        def ask(
            person: str | None, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
        ) -> httpx.Response:
            answer: httpx.Response = portal.call(run, person, method, path, body, headers or {})
            return answer

        with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
            stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            yield ask

    return serving()


@pytest.fixture
def ask(settings: Settings, engine: Engine, clock: FixedClock) -> Iterator[Ask]:
    """Ask the application as a person, with the fictional list loaded."""
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    with serve(settings, engine, clock) as asked:
        yield asked


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_kyc__of_a_person_is_begun_once_and_decided_by_an_officer(ask: Ask, engine: Engine) -> None:
    with structlog.testing.capture_logs() as lines:
        begun = ask("anna", "POST", "/kyc", START, KEY)
        assert begun.status_code == 201, begun.text
        case_id = begun.json()["kyc_case_id"]
        assert ask("anna", "POST", "/kyc", START, KEY).json()["kyc_case_id"] == case_id
        assert ask("axel", "GET", f"/kyc/{case_id}").json()["state"] == "in_review"
        decision = {"verdict": "approved", "reason": "documents seen in person"}
        assert code(ask("anna", "POST", f"/kyc/{case_id}/decision", decision)) == (403, "forbidden")
        decided = ask("otto", "POST", f"/kyc/{case_id}/decision", decision)
        assert (decided.status_code, decided.json()["state"]) == (200, "approved"), decided.text
        assert code(ask("otto", "POST", f"/kyc/{case_id}/decision", decision)) == (409, "case_conflict")
    shown = begun.text + decided.text + str(lines)
    assert [secret for secret in SECRETS if secret in shown] == []
    with engine.connect() as connection:
        stored: str = connection.execute(text("select u::text from compliance.users u")).scalar_one()
        states = connection.execute(text("select kind, state, outcome from compliance.cases")).all()
    assert [secret for secret in SECRETS if secret in stored] == []
    assert [tuple(row) for row in states] == [("kyc", "closed", "approved")]


def personal(**changes: Any) -> dict[str, Any]:
    return {"customer": CUSTOMER | {"personal": PERSONAL | changes}}


BAD_STARTS: dict[str, Any] = {
    "nobody": {},
    "both": START | {"user_id": "usr_1"},
    "unknown user": {"user_id": "usr_none"},
    "injection": {"user_id": "usr' or 1=1 --"},
    "extra": START | {"kyc_state": "approved"},
    "extra of the customer": {"customer": START["customer"] | {"kyc_state": "approved"}},
    "extra of the person": personal(role="admin"),
    "born tomorrow": personal(birth_date="2026-02-01"),
    "born long ago": personal(birth_date="1850-01-01"),
    "no day": personal(birth_date="1980-02-30"),
    "unknown nationality": personal(nationality="ZZ"),
    "unknown residence": {"customer": START["customer"] | {"country": "XX"}},
    "empty name": personal(first_name=""),
    "blank name": personal(last_name="  \u00a0 "),
    "no name": {"customer": CUSTOMER | {"personal": {"birth_date": "1980-01-01"}}},
    "NUL": personal(first_name="Eri\x00ka"),
    "half a pair": personal(first_name="Eri\ud800ka"),
    "long name": personal(first_name="E" * 201),
    "no mail": personal(email="erika(at)example.com"),
    "no phone": personal(phone="call me"),
    "company without a name": {"customer": CUSTOMER | {"kind": "company", "personal": PERSONAL}},
    "binary profile": {"customer": START["customer"] | {"declared_profile_usd": 1.5}},
    "negative profile": {"customer": START["customer"] | {"declared_profile_usd": "-1"}},
    "surrogate for a field": {"\ud800": 1},
    "list": [],
}


def test_kyc__that_is_wrong_is_refused_without_an_echo_and_keeps_nobody(ask: Ask, engine: Engine) -> None:
    for case, body in BAD_STARTS.items():
        response = ask("anna", "POST", "/kyc", body, KEY)
        assert response.status_code == 422, f"{case}: {response.text}"
        assert [secret for secret in (*SECRETS, "erika(at)", "call me") if secret in response.text] == [], case
    for headers in ({}, {"Idempotency-Key": "short"}, {"Idempotency-Key": "with blank 0001"}):
        assert ask("anna", "POST", "/kyc", START, headers).status_code == 422
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from compliance.users")).scalar_one() == 0


def test_kyc__without_a_key_ring_is_not_ready(engine: Engine, clock: FixedClock, tmp_path: Path) -> None:
    for key_file in (None, tmp_path / "none.json"):
        with serve(Settings(compliance_users=SecretStr(USERS), pii_key_file=key_file), engine, clock) as asked:
            assert code(asked("anna", "POST", "/kyc", START, KEY)) == (503, "compliance_not_ready")


def test_search__finds_who_is_listed_also_after_somebody_who_is_not(ask: Ask) -> None:
    innocent = ask("anna", "POST", "/screening/search", {"name": "Erika Musterfrau"}).json()
    assert (innocent["outcome"], innocent["hits"]) == ("clear", [])
    listed = ask("anna", "POST", "/screening/search", {"name": "Ottokar Marlowe-Quist", "birth_date": "1971-03-04"})
    assert listed.json()["outcome"] == "hit", listed.text
    assert listed.json()["hits"][0]["entry_id"].endswith("990001")
    assert set(listed.json()["list_versions"]) == {LIST_NAME}
    for bad in ({"name": ""}, {"name": " "}, {"name": "x", "countries": ["XX"]}, {"name": "x", "kind": "ship", "a": 1}):
        assert ask("anna", "POST", "/screening/search", bad).status_code == 422
    future = {"name": "x", "birth_date": "2026-02-01"}
    assert code(ask("anna", "POST", "/screening/search", future)) == (422, "compliance_input_invalid")


def opened(engine: Engine, clock: FixedClock, subject: str, kind: str = "aml", hours: int = 4) -> str:
    with engine.begin() as connection:
        return cases.open_case(
            connection,
            kind=kind,
            subject_id=subject,
            title="Transaction held",
            priority="high",
            sla=timedelta(hours=hours),
            at=clock.now(),
            account_id="acct-0001",
        )


def test_case__goes_through_the_hands_of_those_who_may(ask: Ask, engine: Engine, clock: FixedClock) -> None:
    case_id = opened(engine, clock, "evt-1")
    path = f"/cases/{case_id}"
    assert ask("anna", "POST", f"{path}/assign", {"version": 1}).json()["assignee"] == "anna"
    assert code(ask("otto", "POST", f"{path}/comment", {"version": 1, "comment": "late"})) == (409, "case_conflict")
    assert ask("anna", "POST", f"{path}/comment", {"version": 2, "comment": "asked the customer"}).status_code == 200
    outcome = {"version": 3, "outcome": "released", "reason": "explained"}
    assert code(ask("otto", "POST", f"{path}/close", outcome)) == (403, "forbidden")
    assert code(ask("axel", "POST", f"{path}/propose", outcome)) == (403, "forbidden")
    unknown = outcome | {"outcome": "vanished"}
    assert code(ask("anna", "POST", f"{path}/propose", unknown)) == (422, "compliance_input_invalid")
    proposed = ask("anna", "POST", f"{path}/propose", outcome).json()
    assert (proposed["state"], proposed["proposal"]["by"]) == ("awaiting_approval", "anna")
    refused = ask("otto", "POST", f"{path}/reject-proposal", {"version": 4, "reason": "not yet"}).json()
    assert (refused["state"], refused["proposal"]) == ("assigned", None)
    assert ask("anna", "POST", f"{path}/escalate", {"version": 5, "reason": "help"}).json()["state"] == "escalated"
    history = ask("axel", "GET", path).json()["history"]
    assert [each["kind"] for each in history] == [
        *("opened", "assigned", "commented", "proposed", "proposal_rejected", "escalated")
    ]
    for reason in ("", "  ", "write to erika@example.com"):
        assert ask("otto", "POST", f"{path}/escalate", {"version": 6, "reason": reason}).status_code == 422
    assert code(ask("anna", "GET", "/cases/none")) == (404, "case_not_found")


def test_case__of_a_verification_ends_with_its_decision_alone(ask: Ask, engine: Engine, clock: FixedClock) -> None:
    case_id = opened(engine, clock, "kyc_1", kind="kyc")
    body = {"version": 1, "outcome": "approved", "reason": "fine"}
    for person, word in (("anna", "propose"), ("otto", "close")):
        response = ask(person, "POST", f"/cases/{case_id}/{word}", body)
        assert code(response) == (409, "case_conflict")
        assert "/v1/compliance/kyc/kyc_1/decision" in response.text


def test_cases__are_listed_by_due_time_in_pages(ask: Ask, engine: Engine, clock: FixedClock) -> None:
    ids = [opened(engine, clock, f"evt-{hours}", hours=hours) for hours in (3, 1, 2)]
    by_due = [ids[1], ids[2], ids[0]]
    first = ask("axel", "GET", "/cases?limit=2&kind=aml&is_unassigned=true").json()
    assert [each["case_id"] for each in first["cases"]] == by_due[:2]
    rest = ask("axel", "GET", f"/cases?limit=2&cursor={first['next_cursor']}").json()
    assert ([each["case_id"] for each in rest["cases"]], rest["next_cursor"]) == (by_due[2:], None)
    clock.advance(timedelta(minutes=90))
    assert [each["case_id"] for each in ask("axel", "GET", "/cases?is_breached=true").json()["cases"]] == by_due[:1]
    assert ask("axel", "GET", "/cases?state=closed&state=escalated").json()["cases"] == []
    bad = ("limit=0", "state=gone", "kind=x", "cursor=%00", "cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwgIngiXQ")
    for query in (*bad, "cursor=e30", "account_id=a'b", "assignee=A%20B"):
        assert ask("axel", "GET", f"/cases?{query}").status_code == 422, query


def test_sar_draft__shows_personal_data_to_those_who_may_and_notes_it(
    ask: Ask, engine: Engine, clock: FixedClock
) -> None:
    ask("anna", "POST", "/kyc", START, KEY)
    case_id = opened(engine, clock, "evt-1")
    below, above = (ask(person, "GET", f"/cases/{case_id}/sar-draft") for person in ("anna", "otto"))
    assert below.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "Musterfrau" not in below.text
    assert "Erika Musterfrau" in above.text
    with engine.connect() as connection:
        actor = Actor("otto", Role.OFFICER)
        events = cases.case_history(connection, case_id)
    assert [(each.kind, each.actor) for each in events][1:] == [("sar_draft_exported", actor.name)]


def test_policies__are_listed_with_the_one_that_counts(ask: Ask) -> None:
    listed = ask("axel", "GET", "/policies").json()["policies"]
    current = [each["version"] for each in listed if each["is_current"]]
    assert len(current) == 1
    shown = ask("axel", "GET", f"/policies/{current[0]}").json()
    assert shown["document"]["countries"]["block"]
    assert shown["content"].startswith("#")
    assert code(ask("axel", "GET", "/policies/none")) == (404, "policy_not_found")


def test_webhook__without_proof_changes_nothing(ask: Ask) -> None:
    for provider in ("persona", "sumsub"):
        for headers in ({}, {"Persona-Signature": "t=1,v1=00", "X-Payload-Digest": "00"}):
            response = ask(None, "POST", f"/webhooks/{provider}", b'{"data": {}}', headers)
            assert code(response) == (503, "webhook_not_configured")
        assert code(ask(None, "POST", f"/webhooks/{provider}", b"x" * 1_000_001)) == (413, "body_too_large")
    assert ask(None, "POST", "/webhooks/other", b"{}").status_code == 404

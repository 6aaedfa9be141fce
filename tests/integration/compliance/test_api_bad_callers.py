"""What bad callers get: a clear refusal each, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
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
from compliance.policy.book import PolicyBook
from infra.runtime.clock import FixedClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.settings import Settings

PEOPLE = {"anna": "analyst", "otto": "officer", "olga": "officer", "escrow": "service"}
TOKENS = {name: f"token-of-{name}-0123456789" for name in PEOPLE}
USERS = ",".join(f"{name}:{role}:{TOKENS[name]}" for name, role in PEOPLE.items())
INJECTION = "'; drop table compliance.cases; --"
START: dict[str, Any] = {"customer": {"reference": "crm-1", "personal": {"first_name": "Erika", "last_name": "Muster"}}}
SETTLEMENT: dict[str, Any] = {
    "event_id": "evt-1",
    "account_id": "acct-0001",
    "asset": "BTC",
    "side": "collateral",
    "kind": "deposit",
    "quantity": "0.5",
    "occurred_at": "2026-01-31T11:59:00Z",
    "chain": "bitcoin",
    "tx_hash": "aa",
    "counterparty_address": "12VrYZgS1nmf9KHHped24xBb1aLLRpV2cT",
}
POSTS = ("/kyc", "/settlements", "/aml-check", "/screening/search", "/cases/cas_1/comment", "/cases/cas_1/approve")
Call = tuple[str, str, Any, dict[str, str]]
AskAll = Callable[..., list[httpx.Response]]


class NoPrices:
    """Nothing here is valued."""

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def ask(engine: Engine, clock: FixedClock, tmp_path: Path) -> Iterator[AskAll]:
    """Ask the application, without a list: all calls of one list at once."""
    LocalKeyRing.create(tmp_path / "keys.json")
    settings = Settings(compliance_users=SecretStr(USERS), pii_key_file=tmp_path / "keys.json")
    app = create_app(settings, warehouse=NoPrices(), engine=engine, clock=clock, request_timeout_s=120)

    async def one(client: httpx.AsyncClient, call: Call) -> httpx.Response:
        person, path, body, headers = call
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {TOKENS[person]}", "Content-Type": "application/json"} | headers
        return await client.post(f"/v1/compliance{path}", content=content, headers=own)

    async def run(calls: list[Call]) -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await asyncio.gather(*(one(client, call) for call in calls))

    with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        yield lambda *calls: portal.call(run, list(calls))


def call(person: str, path: str, body: Any, **headers: str) -> Call:
    own = {"Idempotency-Key": "start-0001"} if path == "/kyc" else {}
    return person, path, body, own | {name.replace("_", "-"): value for name, value in headers.items()}


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def kept(engine: Engine) -> dict[str, int]:
    """Rows by table; policies are recorded by whoever comes first."""
    with engine.connect() as connection:
        names = connection.execute(
            text("select table_name from information_schema.tables where table_schema = 'compliance'")
        ).scalars()
        counts = {
            name: connection.execute(text(f"select count(*) from compliance.{name}")).scalar_one()
            for name in sorted(names)
        }
    return {
        name: count
        for name, count in counts.items()
        if count and name not in ("alembic_version", "policies", "chain_heads")
    }


def opened(engine: Engine, clock: FixedClock) -> str:
    with engine.begin() as connection:
        return cases.open_case(
            connection,
            kind="screening",
            subject_id="usr-1",
            title="A case",
            priority="high",
            sla=timedelta(hours=1),
            at=clock.now(),
        )


BODIES: dict[str, tuple[Any, dict[str, str]]] = {
    "nothing": (b"", {}),
    "broken": (b'{"a": ', {}),
    "no UTF-8": (b'{"a": "\xff\xfe"}', {}),
    "text": (b"event_id=1", {"Content_Type": "text/plain"}),
    "form": (b"event_id=1&account_id=2", {"Content_Type": "application/x-www-form-urlencoded"}),
    "XML": (b"<a>&b;</a>", {"Content_Type": "application/xml"}),
    "a list": (b"[]", {}),
    "a number": (b"7", {}),
    "NaN": (b'{"version": NaN, "quantity": Infinity}', {}),
    "a long number": (b'{"version": 1' + b"0" * 5_000 + b"}", {}),
    "deep": (b"[" * 50_000 + b"]" * 50_000, {}),
    "mass assignment": ({"is_admin": True, "state": "approved", "decision": "accepted", "role": "officer"}, {}),
    "a prototype": ({"__proto__": {"role": "officer"}, "__class__": "x"}, {}),
}


def test_body__that_is_none_is_refused_and_not_kept(ask: AskAll, engine: Engine) -> None:
    for name, (body, headers) in BODIES.items():
        for response in ask(*(call("otto", path, body, **headers) for path in POSTS)):
            assert response.status_code in (400, 415, 422), (name, response.request.url, response.text)
            assert len(response.text) < 20_000, name
    huge = json.dumps({"reason": "x" * 1_100_000}).encode()
    for response in ask(*(call("otto", path, huge) for path in POSTS)):
        assert code(response) == (413, "body_too_large")
    assert kept(engine) == {}


TRICKS = {
    "NUL": "a\x00b",
    "half a pair": "a\ud800b",
    "escape": "a\x1b[31mb",
    "turned around": "acct\u202e1000\u202c",
    "isolated": "acct\u2066x\u2069",
    "line of Unicode": "a\u2028b",
    "control of Latin-1": "a\x85b",
    "only blanks": "\u2003\u00a0 ",
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_text__that_shows_other_than_it_is_is_refused(
    ask: AskAll, engine: Engine, clock: FixedClock, trick: str
) -> None:
    case_id = opened(engine, clock)
    before = kept(engine)
    customer = START["customer"]
    person = {"customer": customer | {"personal": customer["personal"] | {"last_name": trick}}}
    calls = [
        call("anna", "/kyc", person),
        call("anna", "/kyc", {"customer": customer | {"reference": trick}}),
        call("anna", "/screening/search", {"name": trick}),
        call("anna", f"/cases/{case_id}/comment", {"version": 1, "comment": trick}),
        call("anna", f"/cases/{case_id}/propose", {"version": 1, "outcome": "cleared", "reason": trick}),
        call("escrow", "/settlements", SETTLEMENT | {"event_id": trick}),
        call("escrow", "/settlements", SETTLEMENT | {"account_id": trick}),
        call("escrow", "/settlements", SETTLEMENT | {"counterparty_address": trick}),
    ]
    for response in ask(*calls):
        assert code(response) == (422, "request_invalid"), response.text
    assert kept(engine) == before


def test_text__of_any_script_is_kept_as_it_is(ask: AskAll, engine: Engine, clock: FixedClock) -> None:
    words = ["עדיין נבדק", "قيد المراجعة", "می‌خواهم", INJECTION, "👩‍⚖️ noted", "Straße ﬁ"]
    case_id = opened(engine, clock)
    for version, comment in enumerate(words, start=1):
        [response] = ask(call("anna", f"/cases/{case_id}/comment", {"version": version, "comment": comment}))
        assert response.status_code == 200, response.text
    with engine.connect() as connection:
        events = cases.case_history(connection, case_id)
        chain.verify(connection)
    assert [event.body["text"] for event in events if event.kind == "commented"] == words


def test_injection__is_a_name_like_any_other_or_no_id(ask: AskAll, engine: Engine) -> None:
    customer = START["customer"]
    person = {"customer": customer | {"personal": {"names": [INJECTION]}}}
    [begun] = ask(call("anna", "/kyc", person))
    assert begun.status_code == 201, begun.text
    for response in ask(
        call("anna", "/kyc", {"user_id": INJECTION}),
        call("escrow", "/settlements", SETTLEMENT | {"chain": INJECTION}),
        call("escrow", "/settlements", SETTLEMENT | {"asset": INJECTION}),
        call("otto", f"/cases/{INJECTION.replace(' ', '%20')}/close", {"version": 1, "outcome": "x", "reason": "y"}),
        call("otto", "/cases/c/close", {"version": 1, "outcome": INJECTION, "reason": "y"}),
    ):
        assert code(response) == (422, "request_invalid"), response.text
    assert kept(engine)["users"] == 1


def test_version__of_two_officers_at_once_is_taken_once(ask: AskAll, engine: Engine, clock: FixedClock) -> None:
    case_id = opened(engine, clock)
    closing = {"version": 1, "outcome": "confirmed", "reason": "the same person"}
    paths = [("otto", "close"), ("olga", "close"), ("otto", "close"), ("olga", "close")]
    answers = ask(*(call(person, f"/cases/{case_id}/{path}", closing) for person, path in paths))
    assert sorted(response.status_code for response in answers) == [200, 409, 409, 409]
    assert {code(response) for response in answers if response.status_code == 409} == {(409, "case_conflict")}
    with engine.connect() as connection:
        assert [event.kind for event in cases.case_history(connection, case_id)] == ["opened", "closed"]


def test_list__that_is_missing_lets_nothing_pass(ask: AskAll, engine: Engine) -> None:
    checked = {name: value for name, value in SETTLEMENT.items() if name != "event_id"} | {"transaction_id": "t-1"}
    answers = ask(
        call("anna", "/screening/search", {"name": "Erika Muster"}),
        call("escrow", "/settlements", SETTLEMENT),
        call("escrow", "/aml-check", checked),
    )
    assert [code(each) for each in answers] == [(503, "compliance_not_ready")] * 3
    assert not set(kept(engine)) & {"decisions", "screenings", "cases", "outbox"}
    # A verification may begin: nobody is approved before a screening.
    [begun] = ask(call("anna", "/kyc", START))
    decision = {"verdict": "approved", "reason": "seen in person"}
    [decided] = ask(call("otto", f"/kyc/{begun.json()['kyc_case_id']}/decision", decision))
    assert (decided.status_code, decided.json()["state"]) == (200, "in_review")
    assert decided.json()["state_reason"] == "screening_failed"


def test_policies__that_are_missing_let_nothing_pass(
    ask: AskAll, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PolicyBook.load
    monkeypatch.setattr(PolicyBook, "load", lambda: plain(tmp_path / "no policies"))
    answers = ask(
        call("anna", "/kyc", START),
        call("anna", "/screening/search", {"name": "Erika Muster"}),
        call("escrow", "/settlements", SETTLEMENT),
    )
    assert [code(each) for each in answers] == [(503, "compliance_not_ready")] * 3
    # What could not be judged is kept undecided, and judged once there is a policy.
    assert kept(engine) == {"transaction_logs": 1}
    with engine.connect() as connection:
        assert connection.execute(text("select decision from compliance.transaction_logs")).scalar_one() is None

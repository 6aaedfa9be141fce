"""The gate over HTTP: accepted, held or blocked; four eyes; nothing half-done when a process ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
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
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES, SANCTIONED_WALLET
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings
from ingest.messages import SettlementEvent, parse_message

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

PEOPLE = {"vera": "viewer", "anna": "analyst", "otto": "officer", "olga": "officer"}
TOKENS = {name: f"token-of-{name}-0123456789" for name in PEOPLE}
USERS = ",".join(f"{name}:{role}:{TOKENS[name]}" for name, role in PEOPLE.items())
SETTLEMENT: dict[str, Any] = {
    "event_id": "evt-1",
    "account_id": "acct-0001",
    "asset": "BTC",
    "side": "collateral",
    "kind": "deposit",
    "quantity": "0.001",
    "occurred_at": "2026-01-31T11:59:00Z",
    "chain": "ethereum",
    "tx_hash": "0xaa",
    "counterparty_address": "0x00000000000000000000000000000000000000aa",
    "counterparty_country": "DE",
    "has_travel_rule_data": True,
    "is_self_hosted": False,
}
SANCTIONED = SETTLEMENT | {"event_id": "evt-2", "counterparty_address": SANCTIONED_WALLET}
Ask = Callable[..., httpx.Response]
_CUSTOMER = text(
    "insert into compliance.users (user_id, reference, account_id, kind, pii_sealed, pii_key_id, pii_wrapped_key,"
    " name_hash, declared_profile_usd, created_at, updated_at)"
    " values ('usr_1', 'r-1', 'acct-0001', 'person', '', 'k', '', 'h', 100000, :at, :at)"
)


class Prices:
    """One price of BTC, as the warehouse has it, or none."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock, self.price, self.asked = clock, Decimal(60_000), 0

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self.asked += 1
        row = {
            "price_id": "px-1",
            "asset": "BTC",
            "price_usd": self.price,
            "confidence_usd": None,
            "sources": "[]",
            "observed_at": self.clock.now(),
            "published_at": self.clock.now(),
            "quality": "ok",
            "degraded_reason": None,
            "is_simulated": True,
        }
        return [row] if self.price else []


class Taken:
    """A topic that keeps what is published."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        self.messages += messages
        return [str(number) for number in range(len(messages))]


@pytest.fixture
def prices(clock: FixedClock) -> Prices:
    return Prices(clock)


@pytest.fixture
def services(engine: Engine, clock: FixedClock) -> Services:
    return Services(Settings(), engine, clock)


@pytest.fixture
def unlisted(engine: Engine, clock: FixedClock, prices: Prices) -> Iterator[Ask]:
    """Ask the application as a person, where no list is loaded."""
    settings = Settings(compliance_users=SecretStr(USERS))
    with engine.begin() as connection:
        connection.execute(_CUSTOMER, {"at": clock.now() - timedelta(days=9)})
    app = create_app(settings, warehouse=prices, engine=engine, clock=clock, request_timeout_s=120)

    async def run(person: str, method: str, path: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKENS[person]}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            # Not by the client's JSON, which refuses what strangers may send.
            content = json.dumps(body) if body is not None else None
            return await client.request(method, f"/v1/compliance{path}", content=content, headers=headers)

    with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        yield lambda person, method, path, body=None: portal.call(run, person, method, path, body)


@pytest.fixture
def ask(unlisted: Ask, engine: Engine, clock: FixedClock) -> Ask:
    """The same, with the fictional list."""
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    return unlisted


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def propose(ask: Ask, case_id: str, outcome: str, person: str = "anna") -> int:
    body = {"version": 1, "outcome": outcome, "reason": "the wallet is the customer's own"}
    response = ask(person, "POST", f"/cases/{case_id}/propose", body)
    assert response.status_code == 200, response.text
    return int(response.json()["version"])


def test_settlement__that_is_clean_is_accepted_and_published_once(ask: Ask, services: Services) -> None:
    first = ask("anna", "POST", "/settlements", SETTLEMENT)
    assert (first.status_code, first.json()["decision"]) == (200, "accepted"), first.text
    again = ask("anna", "POST", "/settlements", SETTLEMENT)
    assert (again.status_code, again.json()) == (200, first.json())
    topic = Taken()
    assert services.gate.publish_accepted(topic) == 1
    assert services.gate.publish_accepted(topic) == 0
    event = parse_message(SettlementEvent, topic.messages[0], services.clock.now())
    assert (event.event_id, event.quantity, event.unknown_fields()) == ("evt-1", Decimal("0.001"), None)


def test_settlement__from_a_sanctioned_wallet_is_blocked_and_names_its_case(ask: Ask, services: Services) -> None:
    response = ask("anna", "POST", "/settlements", SANCTIONED)
    assert code(response) == (409, "settlement_blocked")
    case_id = response.json()["error"]["case_id"]
    assert ask("anna", "GET", f"/cases/{case_id}").json()["subject_id"] == "evt-2"
    assert SANCTIONED_WALLET not in response.text
    assert services.gate.publish_accepted(Taken()) == 0


def test_settlement__is_released_by_two_people_and_then_published(ask: Ask, services: Services) -> None:
    case_id = ask("anna", "POST", "/settlements", SANCTIONED).json()["error"]["case_id"]
    body = {"version": 1, "reason": "the list names another wallet"}
    assert code(ask("otto", "POST", "/settlements/evt-2/release", body)) == (409, "case_conflict")
    body["version"] = propose(ask, case_id, "released", "olga")
    assert code(ask("anna", "POST", "/settlements/evt-2/release", body)) == (403, "forbidden")
    assert code(ask("olga", "POST", "/settlements/evt-2/release", body)) == (403, "forbidden")
    assert code(ask("otto", "POST", "/settlements/evt-2/reject", body)) == (409, "case_conflict")
    assert code(ask("otto", "POST", "/settlements/evt-2/release", body | {"version": 1})) == (409, "case_conflict")
    for _ in range(2):
        released = ask("otto", "POST", "/settlements/evt-2/release", body)
        assert (released.status_code, released.json()["decision"]) == (200, "released"), released.text
    assert ask("anna", "POST", "/settlements", SANCTIONED).status_code == 200
    topic = Taken()
    assert services.gate.publish_accepted(topic) == 1
    assert json.loads(topic.messages[0])["event_id"] == "evt-2"
    with services.engine.connect() as connection:
        assert chain.verify(connection).chains["decisions"].rows == 2


def test_settlement__without_a_price_is_held_until_it_is_rejected(ask: Ask, prices: Prices) -> None:
    prices.price = Decimal(0)
    held = ask("anna", "POST", "/settlements", SETTLEMENT)
    assert (held.status_code, held.json()["decision"]) == (202, "review")
    version = propose(ask, held.json()["case_id"], "rejected")
    approved = ask(
        "otto", "POST", f"/cases/{held.json()['case_id']}/approve", {"version": version, "reason": "no price"}
    )
    assert (approved.status_code, approved.json()["outcome"]) == (200, "rejected"), approved.text
    assert code(ask("anna", "POST", "/settlements", SETTLEMENT)) == (409, "settlement_blocked")


def test_settlement__approved_by_a_process_that_died_is_released_by_the_next(
    ask: Ask, services: Services, clock: FixedClock
) -> None:
    case_id = ask("anna", "POST", "/settlements", SANCTIONED).json()["error"]["case_id"]
    version = propose(ask, case_id, "released")
    with services.engine.begin() as connection:
        otto = Actor("otto", Role.OFFICER)
        cases.approve(connection, case_id, version=version, reason="checked", actor=otto, at=clock.now())
    assert resume_approved(services) == 0, "a request may still be at it"
    clock.advance(timedelta(minutes=1))
    assert resume_approved(services) == 1
    assert resume_approved(services) == 0
    assert ask("anna", "POST", "/settlements", SANCTIONED).status_code == 200
    with services.engine.connect() as connection:
        last = connection.execute(text("select actor, reason from compliance.decisions order by sequence desc limit 1"))
        assert tuple(last.one()) == ("otto", "checked")


def test_transaction__is_judged_and_never_published(ask: Ask, services: Services) -> None:
    body = {key: value for key, value in SETTLEMENT.items() if key != "event_id"} | {"transaction_id": "tx-1"}
    answer = ask("anna", "POST", "/aml-check", body | {"amount_usd": "60.5"}).json()
    assert answer["decision"] == "accepted"
    assert answer["list_versions"]
    assert {each["outcome"] for each in answer["results"]} <= {"no_hit", "insufficient_history", "hit", "error"}
    assert services.gate.publish_accepted(Taken()) == 0


def test_settlement__with_a_used_id_and_other_figures_is_a_conflict(ask: Ask) -> None:
    assert ask("anna", "POST", "/settlements", SETTLEMENT).status_code == 200
    for change in ({"quantity": "1"}, {"account_id": "acct-2"}, {"counterparty_address": SANCTIONED_WALLET}):
        assert code(ask("anna", "POST", "/settlements", SETTLEMENT | change)) == (409, "transaction_conflict")


def test_settlement__that_nobody_saw_or_that_was_accepted_is_not_decided(ask: Ask) -> None:
    for word in ("release", "reject"):
        response = ask("otto", "POST", f"/settlements/none/{word}", {"version": 1, "reason": "x"})
        assert code(response) == (404, "transaction_not_found")
    ask("anna", "POST", "/settlements", SETTLEMENT)
    body = {"version": 1, "reason": "second thoughts"}
    assert code(ask("otto", "POST", "/settlements/evt-1/reject", body)) == (409, "case_conflict")


BAD: dict[str, dict[str, Any]] = {
    "no counterparty": {"counterparty_address": None},
    "blank counterparty": {"counterparty_address": ""},
    "extra field": {"decision": "accepted"},
    "amount of the caller": {"amount_usd": "1"},
    "unknown country": {"counterparty_country": "XX"},
    "country in small letters": {"counterparty_country": "de"},
    "injection in account": {"account_id": "a'; drop table compliance.cases; --"},
    "injection in id": {"event_id": "evt' or '1'='1"},
    "no account": {"account_id": ""},
    "zero": {"quantity": "0"},
    "negative": {"quantity": "-1"},
    "binary fraction": {"quantity": 0.1},
    "no number": {"quantity": "NaN"},
    "huge": {"quantity": "1e400"},
    "too fine": {"quantity": "0.0000000000000000001"},
    "future": {"occurred_at": "2026-02-01T12:00:00Z"},
    "no time zone": {"occurred_at": "2026-01-31T11:59:00"},
    "kind of the other side": {"kind": "draw"},
    "unknown kind": {"kind": "gift"},
    "NUL": {"tx_hash": "a\x00b"},
    "half a surrogate pair": {"chain": "\ud800"},
    "list for a text": {"chain": ["ethereum"]},
}


def test_settlement__that_is_none_is_refused_clearly_and_not_kept(ask: Ask, engine: Engine) -> None:
    for case, change in BAD.items():
        response = ask("anna", "POST", "/settlements", SETTLEMENT | change)
        assert response.status_code == 422, f"{case}: {response.text}"
        error = response.json()["error"]
        assert error["code"] in ("request_invalid", "compliance_input_invalid"), case
        assert next(iter(change)) in error["message"], f"{case}: {error}"
        for value in change.values():
            assert not isinstance(value, str) or len(value) < 6 or value not in error["message"], case
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from compliance.transaction_logs")).scalar_one() == 0


def test_settlement__without_a_list_is_not_ready_and_judged_once_there_is_one(
    unlisted: Ask, engine: Engine, clock: FixedClock
) -> None:
    for path, body in (("/settlements", SETTLEMENT), ("/screening/search", {"name": "Erika Muster"})):
        assert code(unlisted("anna", "POST", path, body)) == (503, "compliance_not_ready")
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    assert unlisted("anna", "POST", "/settlements", SETTLEMENT).status_code == 200


def test_settlement__without_a_policy_is_not_ready(ask: Ask, clock: FixedClock) -> None:
    clock.advance(timedelta(days=-3650))
    past = SETTLEMENT | {"occurred_at": "2016-01-01T00:00:00Z"}
    assert code(ask("anna", "POST", "/settlements", past)) == (503, "compliance_not_ready")


def test_price__is_read_once_for_many_settlements(ask: Ask, prices: Prices) -> None:
    for number in range(4):
        ask("anna", "POST", "/settlements", SETTLEMENT | {"event_id": f"evt-{number}"})
    assert prices.asked == 1

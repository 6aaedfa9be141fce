"""What a case is about over HTTP: to each role what it may see, and every look at personal data in the record."""

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
from sqlalchemy import Engine

from api.app import create_app
from compliance import cases
from compliance.screening.lists import load_list
from infra.embedded.compliance_ground import LIST_NAME, SAMPLE, SAMPLE_FILES, SANCTIONED_WALLET
from infra.runtime.clock import FixedClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.settings import Settings

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

PEOPLE = {"anna": "analyst", "otto": "officer", "olga": "officer", "axel": "auditor", "vera": "viewer"}
TOKENS = {name: f"token-of-{name}-0123456789" for name in PEOPLE}
USERS = ",".join(f"{name}:{role}:{TOKENS[name]}" for name, role in PEOPLE.items())
NAME = "Ottokar Marlowe-Quist"
START = {
    "customer": {
        "reference": "crm-2",
        "account_id": "acct-0002",
        "country": "AT",
        "personal": {"first_name": "Ottokar", "last_name": "Marlowe-Quist", "birth_date": "1999-12-31"},
    }
}
APPROVAL = {"verdict": "approved", "reason": "documents seen in person"}
Ask = Callable[..., httpx.Response]


class NoPrices:
    """Nothing here is valued."""

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def ask(engine: Engine, clock: FixedClock, tmp_path: Path) -> Iterator[Ask]:
    """Ask the application as a person, with the fictional list loaded."""
    LocalKeyRing.create(tmp_path / "keys.json")
    settings = Settings(compliance_users=SecretStr(USERS), pii_key_file=tmp_path / "keys.json")
    load_list(engine, clock, LIST_NAME, [SAMPLE / name for name in SAMPLE_FILES])
    app = create_app(settings, warehouse=NoPrices(), engine=engine, clock=clock, request_timeout_s=120)

    async def run(person: str, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        own = {"Authorization": f"Bearer {TOKENS[person]}"} | headers
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.request(method, f"/v1/compliance{path}", json=body, headers=own)

    with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        yield lambda person, method, path, body=None, headers=None: portal.call(
            run, person, method, path, body, headers or {}
        )


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def found(ask: Ask, kind: str) -> dict[str, Any]:
    """The one case of a kind."""
    (case,) = ask("axel", "GET", f"/cases?kind={kind}").json()["cases"]
    return dict(case)


def test_evidence__of_hits_withholds_names_below_officers_and_the_look_at_a_customer_is_recorded(
    ask: Ask, clock: FixedClock
) -> None:
    kyc = ask("anna", "POST", "/kyc", START, {"Idempotency-Key": "start-0001"}).json()["kyc_case_id"]
    assert ask("otto", "POST", f"/kyc/{kyc}/decision", APPROVAL).json()["state"] == "in_review"
    case = found(ask, "screening")
    path = f"/cases/{case['case_id']}"
    above, below = (ask(person, "GET", f"{path}/evidence") for person in ("otto", "anna"))
    (hit,) = above.json()["hits"]
    assert (hit["rank"], hit["needs_four_eyes"], hit["state"]) == (1, True, "open")
    assert hit["listed_names"][0].casefold() == NAME.casefold()
    assert NAME.upper().split()[1] in " ".join(hit["reasons"]).upper()
    assert below.json()["is_withheld"] is True
    assert below.json()["hits"][0]["entry_id"] == hit["entry_id"]
    assert len(below.json()["hits"][0]["reasons"]) == len(hit["reasons"])
    for secret in ("marlowe", "1971", "1999"):
        assert secret not in below.text.casefold().replace(hit["list_version_id"], "")
    for person in ("anna", "vera"):
        assert code(ask(person, "GET", f"{path}/customer")) == (403, "forbidden")
    assert code(ask("vera", "GET", f"{path}/evidence")) == (403, "forbidden")
    seen = []
    for person in ("otto", "axel"):
        clock.advance(timedelta(seconds=1))
        seen.append(ask(person, "GET", f"{path}/customer").json())
    assert (seen[0]["names"], seen[0]["birth_date"], seen[0]["country"]) == ([NAME], "1999-12-31", "AT")
    after = ask("axel", "GET", path).json()
    assert [(each["kind"], each["actor"]) for each in after["history"]][1:] == [
        ("personal_data_viewed", "otto"),
        ("personal_data_viewed", "axel"),
    ]
    assert after["version"] == case["version"]
    assert "Marlowe" not in str(after["history"])
    proposal = {"version": 1, "outcome": "cleared", "reason": "another date of birth"}
    ask("anna", "POST", f"{path}/propose", proposal)
    assert ask("otto", "POST", f"{path}/approve", {"version": 2, "reason": "agreed"}).status_code == 200
    (hit,) = ask("axel", "GET", f"{path}/evidence").json()["hits"]
    assert (hit["state"], hit["decided_by"], hit["decision_reason"]) == ("cleared", "otto", "agreed")


def test_evidence__of_a_transaction_has_every_rule_and_its_address_for_who_may_see_it(
    ask: Ask, clock: FixedClock
) -> None:
    settlement = {
        "event_id": "evt-1",
        "account_id": "acct-0002",
        "asset": "BTC",
        "side": "collateral",
        "kind": "deposit",
        "quantity": "0.5",
        "occurred_at": clock.now().isoformat(),
        "chain": "ethereum",
        "tx_hash": "0x99",
        "counterparty_address": SANCTIONED_WALLET,
        "counterparty_country": "DE",
    }
    assert code(ask("anna", "POST", "/settlements", settlement)) == (409, "settlement_blocked")
    path = f"/cases/{found(ask, 'aml')['case_id']}/evidence"
    above, below = (ask(person, "GET", path) for person in ("axel", "anna"))
    shown = above.json()["transaction"]
    assert (shown["decision"], shown["is_settled_unasked"], shown["amount_usd"]) == ("blocked", False, None)
    assert shown["counterparty_address"] == SANCTIONED_WALLET
    outcomes = {rule["rule_id"]: rule["outcome"] for rule in shown["rules"]}
    assert outcomes["sanctioned_wallet"] == "hit"
    assert "no_hit" in outcomes.values()
    assert SANCTIONED_WALLET not in below.text
    assert below.json()["transaction"]["quantity"] == shown["quantity"]
    # The record names no customer of the account.
    assert code(ask("otto", "GET", path.replace("evidence", "customer"))) == (422, "compliance_input_invalid")


def test_decision__of_a_verification_with_an_answer_that_nobody_saw_is_a_conflict(ask: Ask) -> None:
    kyc = ask("anna", "POST", "/kyc", START, {"Idempotency-Key": "start-0001"}).json()["kyc_case_id"]
    evidence = ask("anna", "GET", f"/cases/{found(ask, 'kyc')['case_id']}/evidence").json()
    checks = [each["check_id"] for each in evidence["verification"]["checks"]]
    assert evidence["verification"]["kyc_case_id"] == kyc
    declined = {"verdict": "declined", "reason": "not the person of the document"}
    path = f"/kyc/{kyc}/decision"
    assert code(ask("otto", "POST", path, declined | {"seen_checks": ["kyk_other"]})) == (409, "case_conflict")
    assert ask("otto", "POST", path, declined | {"seen_checks": checks}).json()["state"] == "declined"
    assert code(ask("anna", "GET", "/cases/none/evidence")) == (404, "case_not_found")


def test_queue__finds_words_of_title_and_ids_and_takes_them_literally(
    ask: Ask, engine: Engine, clock: FixedClock
) -> None:
    with engine.begin() as connection:
        for subject, title in (("evt-1", "Transaction held: 100% velocity"), ("evt-2", "Transaction held")):
            cases.open_case(
                connection,
                kind="aml",
                subject_id=subject,
                title=title,
                priority="high",
                sla=timedelta(hours=1),
                at=clock.now(),
            )
    for words, wanted in (("VELOCITY", ["evt-1"]), ("evt-2", ["evt-2"]), ("%", ["evt-1"]), ("'", [])):
        listed = ask("vera", "GET", f"/cases?{httpx.QueryParams(words=words)}").json()["cases"]
        assert [each["subject_id"] for each in listed] == wanted, words

"""Policies compared and replayed, and lists with their loads, over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import anyio.from_thread
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api.app import create_app
from compliance.api.replays import Replays
from compliance.policy.book import PolicyBook
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings

PEOPLE = {"vera": "viewer", "anna": "analyst", "adam": "admin"}
TOKENS = {name: f"token-of-{name}-0123456789" for name in PEOPLE}
USERS = ",".join(f"{name}:{role}:{TOKENS[name]}" for name, role in PEOPLE.items())
WAIT_S = 60.0
_LOG = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address,
        counterparty_country, chain, occurred_at, received_at, decision)
    values
        (:id, 'acct-1', 'in', 'deposit', 'collateral', 'BTC', 1, 500, 'bc1q', 'KP', 'bitcoin', :at, :at, :decision)
    """
)
_VERSION = text(
    """
    insert into compliance.list_versions
        (list_version_id, list_name, content_hash, state, reason, entries, names, wallets, added, removed, loaded_at)
    values (:id, :name, :id, :state, :reason, 7, 9, 2, 3, 1, :at)
    """
)


class NoPrices:
    """Nothing here is valued."""

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        raise AssertionError("the warehouse was asked")


class Asked:
    """The application, and how one asks it."""

    def __init__(self, app: FastAPI, portal: anyio.from_thread.BlockingPortal) -> None:
        self.app = app
        self._portal = portal

    def __call__(self, person: str, method: str, path: str, body: Any = None) -> httpx.Response:
        async def run() -> httpx.Response:
            headers = {"Authorization": f"Bearer {TOKENS[person]}"}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api") as client:
                return await client.request(method, f"/v1/compliance{path}", json=body, headers=headers)

        return self._portal.call(run)

    def ended(self, replay_id: str) -> dict[str, Any]:
        """The replay once it has ended."""
        replays: Replays = self.app.state.compliance.replays
        replays.wait(WAIT_S)
        found: dict[str, Any] = self("anna", "GET", f"/policies/replays/{replay_id}").json()
        return found


@pytest.fixture
def ask(engine: Engine, clock: FixedClock) -> Iterator[Asked]:
    settings = Settings(compliance_users=SecretStr(USERS))
    app = create_app(settings, warehouse=NoPrices(), engine=engine, clock=clock, request_timeout_s=120)
    with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        yield Asked(app, portal)


def test_replay__of_a_version_and_of_a_text_give_the_report_of_the_command(
    engine: Engine, clock: FixedClock, ask: Asked
) -> None:
    with engine.begin() as connection:
        for number, decision in enumerate(("rejected", "accepted", None)):
            connection.execute(_LOG, {"id": f"t{number}", "at": clock.now() - timedelta(days=1), "decision": decision})
    begun = ask("anna", "POST", "/policies/replays", {"version": "2026-07-01", "days": 30})
    assert begun.status_code == 202, begun.text
    assert (begun.json()["started_by"], begun.json()["report"]) == ("anna", None)
    found = ask.ended(begun.json()["replay_id"])
    assert (found["state"], found["done"], found["total"], found["problem"]) == ("done", 3, 3, None)
    rules = {rule["rule_id"]: rule for rule in found["report"]["rules"]}
    block = rules["geo_block"]
    assert (block["candidate"], block["then"], block["only_candidate"], block["precision_pct"]) == (3, 0, 3, "100.0")
    assert {"then": "undecided", "candidate": "blocked", "transactions": 1} in found["report"]["decisions"]

    candidate = PolicyBook.load().content("2026-07-01").replace("block: [IR, KP]", "block: [IR, CU]")
    begun = ask("adam", "POST", "/policies/replays", {"text": candidate, "days": 30})
    report = ask.ended(begun.json()["replay_id"])["report"]
    assert {rule["rule_id"]: rule["candidate"] for rule in report["rules"]}["geo_block"] == 0


@pytest.mark.parametrize(
    ("person", "body", "status", "code", "words"),
    [
        ("anna", {"text": "version: 1\nname: [", "days": 3}, 422, "policy_invalid", "candidate.yaml:2"),
        ("anna", {"text": "version: 1", "days": 3}, 422, "policy_invalid", "candidate.yaml:1 (version)"),
        ("anna", {"version": "1999-01-01"}, 422, "policy_invalid", "1999-01-01"),
        ("anna", {"days": 3}, 422, "request_invalid", "one of both"),
        ("anna", {"version": "2026-07-01", "days": 0}, 422, "request_invalid", "days"),
        ("vera", {"version": "2026-07-01"}, 403, "forbidden", "viewer"),
    ],
)
def test_replay__that_cannot_begin_says_why_and_where(
    ask: Asked, person: str, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    response = ask(person, "POST", "/policies/replays", body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert words in response.json()["error"]["message"]


def test_replay__names_the_condition_that_reads_what_is_not_there(ask: Asked) -> None:
    candidate = PolicyBook.load().content("2026-07-01").replace("  fan_in:\n", "  fan_in:\n    when: moon > 3\n")
    response = ask("anna", "POST", "/policies/replays", {"text": candidate})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "policy_invalid")
    assert "aml.fan_in.when reads moon" in response.json()["error"]["message"]


def test_replay__is_cancelled_over_http_and_unknown_ones_are_not_found(ask: Asked) -> None:
    begun = ask("anna", "POST", "/policies/replays", {"version": "2026-07-01"}).json()
    assert ask("adam", "DELETE", f"/policies/replays/{begun['replay_id']}").status_code == 202
    assert ask.ended(begun["replay_id"])["state"] in ("cancelled", "done")
    for method in ("GET", "DELETE"):
        response = ask("anna", method, "/policies/replays/rpl_0")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "replay_not_found")


def test_policies__are_compared_in_words(ask: Asked) -> None:
    found = ask("vera", "GET", "/policies/2026-03-01/diff/2026-07-01").json()
    assert "Countries that are reviewed: BA, IQ added; DZ, NA removed." in [
        each["words"] for each in found["differences"]
    ]
    assert ask("vera", "GET", "/policies/2026-03-01/diff/2026-03-01").json()["differences"] == []
    assert ask("vera", "GET", "/policies/2026-03-01/diff/nothing").status_code == 404


def test_policy__says_what_each_rule_means_and_how_old_its_countries_are(ask: Asked, clock: FixedClock) -> None:
    found = ask("vera", "GET", "/policies/2025-11-01").json()
    assert (found["is_current"], found["countries_age_days"], found["countries_overdue"]) == (True, 99, None)
    assert found["country_names"]["KP"] == "North Korea"
    rules = {rule["rule_id"]: rule for rule in found["rules"]}
    limits = rules["structuring"]["parameters"][0]
    assert (limits["value"], limits["is_default"]) == ("1000, 3000, 10000", True)
    assert "FATF" in rules["structuring"]["source"]
    clock.advance(timedelta(days=52))
    assert "151 days old" in ask("vera", "GET", "/policies/2025-11-01").json()["countries_overdue"]


@pytest.fixture
def version(engine: Engine, clock: FixedClock) -> Callable[..., None]:
    """Records a load of a list."""

    def record(name: str, list_version_id: str, state: str, at: datetime, reason: str | None = None) -> None:
        values = {"id": list_version_id, "name": name, "state": state, "reason": reason, "at": at}
        with engine.begin() as connection:
            connection.execute(_VERSION, values)

    return record


def test_lists__have_the_active_version_those_before_and_refusals(
    ask: Asked, clock: FixedClock, version: Callable[..., None]
) -> None:
    now = clock.now()
    for number in range(30):
        version("ofac_sdn", f"v{number}", "superseded", now - timedelta(days=40 - number))
    version("ofac_sdn", "active", "active", now - timedelta(days=9))
    version("ofac_sdn", "bad-before", "refused", now - timedelta(days=10), "empty")
    version("ofac_sdn", "bad-after", "refused", now - timedelta(hours=1), "shrank by 30 %")
    version("un", "never", "refused", now - timedelta(days=1), "damaged")
    found = ask("adam", "GET", "/lists").json()
    ofac, un = found["lists"]
    assert (ofac["active"]["list_version_id"], ofac["active"]["age_s"]) == ("active", 9 * 86_400)
    assert (ofac["active"]["entries"], ofac["active"]["added"], ofac["active"]["removed"]) == (7, 3, 1)
    assert (ofac["refused_since"], len(ofac["versions"])) == (1, 20)
    refused = ofac["versions"][0]
    assert (refused["reason"], refused["entries"], refused["removed"]) == ("shrank by 30 %", None, None)
    assert (un["active"], un["refused_since"]) == (None, 1)


def test_lists__are_none_where_nothing_was_ever_loaded(ask: Asked) -> None:
    assert ask("vera", "GET", "/lists").json()["lists"] == []

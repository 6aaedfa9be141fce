"""Alerts, their outcomes and transaction files over HTTP, as PostgreSQL has them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api.app import create_app
from compliance.aml.gate import Gate
from compliance.policy.book import PolicyBook
from infra.runtime.clock import FixedClock
from infra.runtime.key_ring import LocalKeyRing
from infra.runtime.settings import Settings
from tests.integration.compliance.gate_world import DEPOSIT, NOW, add_customer, close
from tests.integration.compliance.gate_world import Lists as Screening

PEOPLE = {"anna": "analyst", "otto": "officer", "eve": "auditor"}
TOKENS = {name: f"token-of-{name}-0123456789" for name in PEOPLE}
USERS = ",".join(f"{name}:{role}:{TOKENS[name]}" for name, role in PEOPLE.items())
WALLET = "0x67d40ee1a85bf4a4bb7ffae16de985e8427b6b45"
MIXER = "0x00000000000000000000000000000000000000cc"
_LOG = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address, chain,
        occurred_at, received_at, decision)
    values
        (:id, :account, :direction, 'deposit', 'collateral', 'USDC', 1, :amount, :address, 'ethereum', :at, :at,
        :decision)
    """
)
_ALERT = text(
    """
    insert into compliance.aml_alerts
        (alert_id, transaction_id, account_id, rule_id, outcome, severity, evidence, policy_version, is_shadow,
        raised_at)
    values (:id, :transaction, 'acct-1', :rule, :outcome, 'high', '{"reason": "why"}', 'p', :shadow, :at)
    """
)
_MIXER_LIST = (
    "insert into compliance.list_versions (list_version_id, list_name, content_hash, state, entries, loaded_at)"
    " values ('v1', 'mixers', 'h', 'active', 1, now())",
    "insert into compliance.list_entries (list_version_id, entry_id, entry_hash, kind, topics, names, details)"
    " values ('v1', 'e1', 'h', 'wallet', '{crime.mixer}', '[]', '{}')",
    "insert into compliance.list_wallets (list_version_id, address, entry_id, asset_label)"
    f" values ('v1', '{MIXER}', 'e1', 'ETH')",
)
Get = Callable[..., httpx.Response]


class NoPrices:
    """Nothing here is valued."""

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        raise AssertionError("the warehouse was asked")


@pytest.fixture
def get(engine: Engine, clock: FixedClock, tmp_path: Path) -> Iterator[Get]:
    """Ask the application as a person."""
    LocalKeyRing.create(tmp_path / "keys.json")
    settings = Settings(compliance_users=SecretStr(USERS), pii_key_file=tmp_path / "keys.json")
    app = create_app(settings, warehouse=NoPrices(), engine=engine, clock=clock, request_timeout_s=120)

    async def run(person: str, path: str, parameters: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKENS[person]}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.get(f"/v1/compliance{path}", params=parameters, headers=headers)

    with anyio.from_thread.start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        yield lambda person, path, **parameters: portal.call(run, person, path, parameters)


def log(engine: Engine, name: str, decision: str | None, **changes: Any) -> None:
    """Record a transaction."""
    values = {
        "id": name,
        "account": "acct-1",
        "direction": "in",
        "amount": 100,
        "address": WALLET,
        "at": NOW - timedelta(hours=1),
        "decision": decision,
    }
    with engine.begin() as connection:
        connection.execute(_LOG, values | changes)


def alert(engine: Engine, name: str, transaction: str, minutes_ago: float = 1, **changes: Any) -> None:
    """Record an alert."""
    values = {
        "id": name,
        "transaction": transaction,
        "rule": "structuring",
        "outcome": "hit",
        "shadow": False,
        "at": NOW - timedelta(minutes=minutes_ago),
    }
    with engine.begin() as connection:
        connection.execute(_ALERT, values | changes)


@pytest.fixture
def alerts(engine: Engine) -> Engine:
    """An alert for each thing that can become of it."""
    for number, decision in enumerate(("accepted", "review", "blocked", "released", "rejected", None)):
        log(engine, f"t{number}", decision)
        alert(engine, f"a{number}", f"t{number}", minutes_ago=number + 1)
    alert(engine, "a6", "nobody-knows", minutes_ago=7)
    alert(engine, "a7", "t4", minutes_ago=8, outcome="error", rule="fan_in")
    alert(engine, "a8", "t4", minutes_ago=9, outcome="insufficient_history", rule="fan_in")
    alert(engine, "a9", "t3", minutes_ago=9, shadow=True, rule="round_amounts")
    alert(engine, "old", "t0", minutes_ago=60 * 24 * 120, rule="fan_in")
    return engine


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [each["alert_id"] for each in response.json()["alerts"]]


def test_alerts__come_newest_first_with_what_became_of_them(alerts: Engine, get: Get) -> None:
    response = get("anna", "/aml-alerts")
    assert ids(response) == ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a9", "a8", "old"]
    became = [each["became"] for each in response.json()["alerts"]]
    assert became[:7] == ["accepted", "open", "blocked", "released", "rejected", "open", "unknown"]
    assert became[7:] == [None, "released", None, "accepted"]
    first, unknown = response.json()["alerts"][0], response.json()["alerts"][6]
    assert (first["amount_usd"], first["evidence"], first["decision"]) == (
        "100.000000000",
        {"reason": "why"},
        "accepted",
    )
    assert (unknown["amount_usd"], unknown["decision"], unknown["occurred_at"]) == (None, None, None)


FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({"rule_id": "fan_in"}, ["a7", "a8", "old"]),
    ({"outcome": "error"}, ["a7"]),
    ({"decision": "rejected"}, ["a4", "a7", "a8"]),
    ({"is_shadow": "true"}, ["a9"]),
    ({"account_id": "acct-2"}, []),
    ({"severity": "low"}, []),
    ({"since": (NOW - timedelta(minutes=2)).isoformat()}, ["a0", "a1"]),
    ({"until": (NOW - timedelta(minutes=9)).isoformat()}, ["old"]),
    ({"rule_id": "fan_in", "outcome": "insufficient_history"}, ["a8"]),
]


def test_alerts__are_filtered(alerts: Engine, get: Get) -> None:
    # One application for all: each reads the policies anew.
    found = [ids(get("eve", "/aml-alerts", **filters)) for filters, _ in FILTERS]
    assert found == [expected for _, expected in FILTERS]


def test_alerts__are_paged_without_gaps_where_times_are_equal(alerts: Engine, get: Get) -> None:
    found, cursor = [], None
    for _ in range(20):
        page = get("otto", "/aml-alerts", limit=2, **({"cursor": cursor} if cursor else {}))
        found += ids(page)
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert found == ids(get("otto", "/aml-alerts"))


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"cursor": "bm90LWl0"}, "cursor_invalid"),
        ({"outcome": "no_hit_at_all"}, "request_invalid"),
        ({"limit": 0}, "request_invalid"),
    ],
)
def test_alerts__refuse_what_is_no_filter(get: Get, parameters: dict[str, Any], code: str) -> None:
    response = get("anna", "/aml-alerts", **parameters)
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)


def test_summary__counts_by_rule_as_the_mart_does(alerts: Engine, get: Get) -> None:
    found = get("anna", "/aml-alerts/summary").json()
    assert found["policy_version"] == "2025-11-01"
    rules = {(each["rule_id"], each["is_shadow"]): each for each in found["rules"]}
    structuring = rules["structuring", False]
    counts = {name.removeprefix("hits_"): structuring[name] for name in structuring if name.startswith("hits_")}
    assert counts == {"open": 2, "accepted": 1, "blocked": 1, "released": 1, "rejected": 1, "unknown": 1}
    assert (structuring["hits"], structuring["precision_pct"], structuring["is_in_force"]) == (7, "50.0000", True)
    fan_in = rules["fan_in", False]
    assert (fan_in["alerts"], fan_in["hits"], fan_in["errors"], fan_in["insufficient_history"]) == (2, 0, 1, 1)
    assert fan_in["precision_pct"] is None
    watched = rules["round_amounts", True]
    assert (watched["is_in_force"], watched["precision_pct"]) == (False, "0.0000")
    silent = rules["round_amounts", False]
    assert (silent["hits"], silent["alerts"], silent["is_in_force"], silent["precision_pct"]) == (0, 0, True, None)


def test_summary__takes_a_window(alerts: Engine, get: Get) -> None:
    window = {"since": (NOW - timedelta(days=365)).isoformat(), "until": (NOW - timedelta(days=90)).isoformat()}
    rules = get("anna", "/aml-alerts/summary", **window).json()["rules"]
    assert sum(each["alerts"] for each in rules) == 1
    turned = get("anna", "/aml-alerts/summary", since=window["until"], until=window["since"])
    assert turned.status_code == 422


def judged(engine: Engine, clock: FixedClock) -> None:
    """A deposit of WALLET that the gate stopped, because it is listed."""
    add_customer(engine, "acct-1")
    gate = Gate(engine, clock, PolicyBook.load(), Screening(listed=frozenset({WALLET})))
    gate.check(replace(DEPOSIT, counterparty_address=WALLET))


def test_transaction__is_shown_with_rules_and_case_and_no_address(engine: Engine, clock: FixedClock, get: Get) -> None:
    judged(engine, clock)
    response = get("anna", "/transactions/t1")
    found = response.json()
    assert response.status_code == 200, response.text
    assert (found["decision"], found["amount_usd"], found["has_travel_rule_data"]) == ("blocked", "700.000000000", True)
    outcomes = {each["rule_id"]: each["outcome"] for each in found["results"]}
    assert (outcomes["sanctioned_wallet"], outcomes["geo_block"]) == ("hit", "no_hit")
    assert (found["case"]["state"], found["case"]["priority"]) == ("open", "urgent")
    assert found["counterparty"]["masked"] == "0x67d4\u20266b45"
    assert len(found["counterparty"]["keyed_hash"]) == 64
    assert WALLET not in response.text
    close(engine, found["case"]["case_id"], "rejected")
    assert get("anna", "/transactions/t1").json()["case"]["outcome"] == "rejected"


@pytest.mark.parametrize(("person", "status"), [("otto", 200), ("eve", 200), ("anna", 403)])
def test_transaction__shows_addresses_whole_to_who_may_see_personal_data(
    engine: Engine, clock: FixedClock, get: Get, person: str, status: int
) -> None:
    judged(engine, clock)
    response = get(person, "/transactions/t1", with_addresses="true")
    assert response.status_code == status
    assert (WALLET in response.text) is (status == 200)
    assert WALLET not in get(person, "/transactions/t1").text


def test_transaction__that_nobody_judged_yet_says_so(engine: Engine, get: Get) -> None:
    log(engine, "waits", None, address=None, amount=None)
    found = get("anna", "/transactions/waits").json()
    assert (found["decision"], found["results"], found["case"], found["amount_usd"]) == (None, [], None, None)
    node = found["graph"]["nodes"][1]
    assert (node["kind"], node["is_of_transaction"], node["is_listed"]) == ("unknown_counterparty", True, None)
    assert found["graph"]["edges"][0]["unpriced"] == 1
    assert found["graph"]["edges"][0]["amount_usd"] is None


def test_transaction__that_is_not_there_is_not_found(get: Get) -> None:
    response = get("anna", "/transactions/nothing")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "transaction_not_found")


def test_graph__has_the_largest_counterparties_of_the_week_and_says_what_it_leaves_out(
    engine: Engine, get: Get
) -> None:
    for number in range(45):
        log(engine, f"in{number}", "accepted", address=f"0x{number:040x}", amount=1000 + number)
    log(engine, "back", "rejected", direction="out", address=f"0x{44:040x}", amount=7)
    log(engine, "unpriced", "accepted", address=f"0x{44:040x}", amount=None)
    log(engine, "before", "accepted", address="0x" + "e" * 40, amount=9_999, at=NOW - timedelta(days=8))
    log(engine, "others", "accepted", account="acct-2", amount=9_999)
    # The smallest is the one that is looked at, and is there all the same.
    log(engine, "own", "accepted", address=WALLET, amount=1)
    graph = get("anna", "/transactions/own").json()["graph"]
    assert len(graph["nodes"]) == 40
    assert [each["is_of_transaction"] for each in graph["nodes"]] == [False, True, *[False] * 38]
    largest = [each for each in graph["edges"] if "counterparty-2" in (each["source"], each["target"])]
    assert [(each["source"], each["transfers"], each["stopped"], each["unpriced"]) for each in largest] == [
        ("counterparty-2", 2, 0, 1),
        ("account", 1, 1, 0),
    ]
    assert Decimal(largest[0]["amount_usd"]) == 1044
    assert graph["more_counterparties"] == 7
    assert Decimal(graph["more_amount_usd"]) == sum(1000 + number for number in range(7))


def test_graph__marks_mixers_and_knows_nothing_without_a_list(engine: Engine, get: Get) -> None:
    log(engine, "mixed", "accepted", address=MIXER)
    log(engine, "plain", "accepted", address=WALLET)
    unknown = get("anna", "/transactions/mixed").json()["graph"]["nodes"][1:]
    assert {(each["is_mixer"], each["is_listed"]) for each in unknown} == {(None, None)}
    with engine.begin() as connection:
        for statement in _MIXER_LIST:
            connection.execute(text(statement))
    mixer, plain = get("anna", "/transactions/mixed").json()["graph"]["nodes"][1:]
    assert (mixer["is_mixer"], mixer["is_listed"], mixer["lists"]) == (True, False, ["mixers"])
    assert (plain["is_mixer"], plain["is_listed"], plain["lists"]) == (False, False, [])
    with engine.begin() as connection:
        connection.execute(text("update compliance.list_entries set topics = '{sanction}'"))
    listed, _ = get("anna", "/transactions/mixed").json()["graph"]["nodes"][1:]
    assert (listed["is_mixer"], listed["is_listed"]) == (None, True)

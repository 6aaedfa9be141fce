"""The page *AML* in each of its states and for each role, under Streamlit's AppTest over answers of the API."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from compliance.api.aml_schemas import AlertView, TransactionFile
from compliance.model import Role
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import aml_alerts, aml_file
from streamlit_app.pages import pages_for
from tests.unit.streamlit_app import monitoring_answers as given
from tests.unit.streamlit_app import policy_answers
from tests.unit.streamlit_app.fake_api import AWAY, FORBIDDEN, HOSTILE, FakeApi, Open, opener

ALERTS, SUMMARY = "GET /aml-alerts", "GET /aml-alerts/summary"


def script() -> None:
    """The page alone, as the navigation runs it."""
    from streamlit_app.views import aml

    aml.render()


def words_of(html: str) -> str:
    """What markup says, without tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.fixture
def fake() -> FakeApi:
    """An API with one alert, one transaction and two policies."""
    return FakeApi(
        {
            ALERTS: {"alerts": [given.alert(1)], "next_cursor": None},
            SUMMARY: {"since": given.NOW.isoformat(), "until": given.NOW.isoformat(), "policy_version": "2026-03-01"}
            | {"rules": [given.outcomes("fan_in")]},
            "GET /transactions/evt-1": given.transaction(),
            "GET /policies": {"policies": [policy_answers.summary_of_policies()]},
            "GET /policies/replays/rpl_1": policy_answers.replay(),
        }
    )


@pytest.fixture
def page(app, fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the page."""
    return opener(app, fake, script, monkeypatch)


@pytest.mark.parametrize("role", list(Role))
def test_page__is_there_for_who_reads_cases_or_replays_policies(role: Role) -> None:
    is_there = "aml" in {each.path for each in pages_for(role)}
    assert is_there is (role in {Role.ANALYST, Role.OFFICER, Role.AUDITOR, Role.ADMIN})


def test_alerts__show_what_was_found_and_what_became_of_it(page: Open) -> None:
    words = page().words()
    for part in ("evt-1 acct-00001", "Structuring", "Hit High", "just under 10000 USD", "9,500.00 USD", "Rejected"):
        assert part in words
    assert "deposit of 9,500 USDC" in words
    assert "1 min ago" in words


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"outcome": "error", "became": None, "decision": None}, "Could not run"),
        ({"amount_usd": None, "quantity": None, "kind": None, "asset": None}, "the transaction is not known"),
        ({"became": "open", "decision": "review"}, "Open"),
        ({"became": "unknown", "decision": None}, "Unknown"),
        ({"is_shadow": True}, "shadow"),
        ({"evidence": {}}, "no reason is recorded"),
    ],
)
def test_alerts__say_what_is_not_known(changes: dict[str, Any], expected: str) -> None:
    found = AlertView.model_validate(given.alert(1, **changes))
    assert expected in words_of(aml_alerts.alerts_html([found], given.NOW, is_filtered=False))


def test_alerts__without_any_say_so(page: Open, fake: FakeApi) -> None:
    fake.answers[ALERTS] = {"alerts": [], "next_cursor": None}
    found = page()
    assert "No alert fits these filters." in found.words()
    assert fake.given("GET /v1/compliance/aml-alerts")[0]["outcome"] == "hit", "hits are what the page opens with"
    found.at.selectbox(key="aml_filter_outcome").select("").run()
    found.at.selectbox(key="aml_filter_days").select(0).run()
    assert "No rule has raised an alert yet." in found.words()
    assert "since" in fake.given("GET /v1/compliance/aml-alerts")[0]


def test_alerts__are_filtered_by_the_api(page: Open, fake: FakeApi) -> None:
    found = page()
    found.at.selectbox(key="aml_filter_rule").select("fan_in").run()
    found.at.text_input(key="aml_filter_account").input("acct-00007").run()
    asked = fake.given("GET /v1/compliance/aml-alerts")[-1]
    assert (asked["rule_id"], asked["account_id"], asked["limit"], asked["cursor"]) == (
        "fan_in",
        "acct-00007",
        25,
        None,
    )
    found.at.text_input(key="aml_filter_account").input("<script>").run()
    assert fake.given("GET /v1/compliance/aml-alerts")[-1]["account_id"] is None
    assert "no id of an account" in found.at.warning[0].value


def test_alerts__are_paged_by_the_api_and_filters_begin_anew(page: Open, fake: FakeApi) -> None:
    fake.answers[ALERTS] = lambda asked: {
        "alerts": [given.alert(2 if asked["cursor"] else 1)],
        "next_cursor": None if asked["cursor"] else "behind-1",
    }
    found = page()
    found.at.button(key="aml_next").click().run()
    assert "evt-2" in found.words()
    assert "Page 2" in found.words()
    assert found.at.button(key="aml_next").disabled
    found.at.button(key="aml_previous").click().run()
    assert "evt-1" in found.words()
    found.at.button(key="aml_next").click().run()
    found.at.selectbox(key="aml_filter_severity").select("high").run()
    assert "Page 1" in found.words()


def test_alerts__stay_marked_as_old_while_the_api_is_away_and_come_back(page: Open, fake: FakeApi) -> None:
    found, before = page(), dict(fake.answers)
    fake.fail(AWAY)
    found.run(seconds_later=61)
    parts = found.parts()
    assert "evt-1" in parts["alerts"]["html"]
    assert parts["alerts"]["is_old"]
    assert parts["alerts"]["ages"]["read"] == 61
    assert "does not answer" in parts["banner"]["html"]
    fake.answers = before
    assert not found.run(seconds_later=5).parts()["alerts"]["is_old"]


def test_alerts__never_read_are_unknown_and_none_are_shown(page: Open, fake: FakeApi) -> None:
    fake.fail(AWAY)
    found = page()
    assert "Nothing was read before" in found.words()
    assert "alerts" not in found.parts()
    assert not found.at.exception


def test_alerts__that_the_api_refuses_are_taken_away(page: Open, fake: FakeApi) -> None:
    found = page()
    fake.answers[ALERTS] = FORBIDDEN
    found.run(seconds_later=5)
    assert "evt-1" not in found.html()
    assert "You may not see this." in found.words()


def test_outcomes__have_bars_and_the_same_figures_in_a_table(page: Open, fake: FakeApi) -> None:
    fake.answers[SUMMARY]["rules"] = [
        given.outcomes("fan_in"),
        given.outcomes(
            "structuring", hits=7, hits_rejected=3, hits_released=1, hits_open=3, errors=2, precision_pct="75.0000"
        ),
        given.outcomes("round_amounts", hits=1, hits_unknown=1, is_shadow=True, is_in_force=False),
    ]
    found = page(section="rules")
    bars, table = found.parts()["bars"]["html"], found.parts()["table"]["html"]
    assert "8 hits of 3 rules: 3 rejected by officers, 1 released by them, 4 decided otherwise or not yet." in bars
    assert "Structuring: 3 rejected, 1 released, 3 open" in bars
    assert "width:42.86%" in bars
    assert table.index("Structuring") < table.index("Round amounts") < table.index("Fan in")
    assert "75.0%" in table
    assert "3 of 4" in table
    assert "no hit decided on" in table
    assert "not in force so" in table


def test_outcomes__without_a_hit_or_a_policy_say_so(page: Open, fake: FakeApi) -> None:
    fake.answers[SUMMARY] |= {"policy_version": None, "rules": [given.outcomes("fan_in", is_in_force=None)]}
    words = page(section="rules").words()
    assert "No rule had a hit in this time." in words
    assert "No policy is in force." in words


def test_file__says_what_happened_and_every_rules_figures(page: Open) -> None:
    found = page(transaction="evt-1", role=Role.ANALYST)
    words = found.words()
    assert "A deposit of 9,500 USDC (collateral, in, to the desk), worth 9,500.00 USD, on ethereum" in words
    assert "Because: sanctioned_wallet (block)" in words
    assert "Sum 24 h 28,500.00 USD" in words
    assert "Limit of sum 24 h 10,000.00 USD" in words
    assert "Band from 90%" in words
    rules = found.parts()["rules"]["html"]
    assert rules.index("why structuring") < rules.index("why velocity_amount") < rules.index("1 rule ran and found")
    assert 'href="/app/cases?case=cas_1"' in found.html()
    assert not found.at.toggle


def test_file__draws_the_transfers_and_has_them_in_a_table(page: Open) -> None:
    html = page(transaction="evt-1").parts()["graph"]["html"]
    assert "2 counterparties within 7 days: 9,500.00 USD came in, 0.00 USD went out; 1 on a list, 0 as a mixer." in html
    assert "1 transfer without a price are not in these sums" in html
    assert html.count('class="edge-in"') == html.count('class="edge-out"') == 1
    assert 'class="node listed"' in html
    assert 'class="node not-known"' in html
    assert "amount unknown" in html
    assert "1 transfer, 1 of them stopped, 1 without a price" in html
    assert "lists not known" in html


def test_file__shows_addresses_whole_only_when_an_officer_asks(page: Open, fake: FakeApi) -> None:
    whole = given.address("0x0001\u2026beef", address="0xwhole")
    fake.answers["GET /transactions/evt-1"] = lambda asked: given.transaction(
        counterparty=whole if asked.get("with_addresses") else given.address("0x0001\u2026beef")
    )
    found = page(transaction="evt-1")
    assert "0xwhole" not in found.html()
    found.at.toggle[0].set_value(True).run()
    assert "0xwhole" in found.html()
    asked = len(fake.given("GET /v1/compliance/transactions/evt-1"))
    found.run(seconds_later=5)
    assert len(fake.given("GET /v1/compliance/transactions/evt-1")) == asked


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"decision": None, "results": [], "case": None}, "Not decided yet"),
        ({"amount_usd": None}, "of unknown value: no usable price"),
        ({"is_settled_unasked": True}, "Settled unasked."),
        ({"counterparty": None}, "Counterparty not known"),
        ({"case": None}, "It has no case"),
        ({"graph": given.graph(edges=[])}, "No transfer of a customer in this time."),
        ({"results": [given.rule("fan_in", "no_hit")]}, "No rule has a hit, and all could run."),
        (
            {
                "graph": given.graph(
                    given.node(1),
                    edges=[given.edge("account", "counterparty-1", "5")],
                    more_counterparties=3,
                    more_amount_usd="12",
                )
            },
            "3 smaller counterparties are not shown, worth 12.00",
        ),
    ],
)
def test_file__says_what_there_is_not(changes: dict[str, Any], expected: str) -> None:
    found = TransactionFile.model_validate(given.transaction(**changes))
    assert expected in words_of("".join(aml_file.file_sections(found).values()))


def test_file__of_no_transaction_is_a_clear_message(page: Open, fake: FakeApi) -> None:
    fake.answers["GET /transactions/a%2Fb"] = ApiProblem(404, "transaction_not_found", "There is none.")
    found = page(transaction="a/b")
    assert "There is no such transaction." in found.words()
    found.at.button(key="aml_back").click().run()
    assert "evt-1" in found.words()


def test_page__escapes_what_comes_from_data(page: Open, fake: FakeApi) -> None:
    fake.answers[ALERTS]["alerts"] = [
        given.alert(1, transaction_id=HOSTILE, account_id=HOSTILE, rule_id=HOSTILE, evidence={"reason": HOSTILE})
    ]
    assert HOSTILE not in page().html()
    fake.answers["GET /transactions/evt-1"] = given.transaction(
        decision_reason=HOSTILE,
        chain=HOSTILE,
        results=[given.rule(HOSTILE, "hit", reason=HOSTILE, evidence={HOSTILE: HOSTILE})],
        graph=given.graph(
            given.node(1, address=given.address(HOSTILE, keyed_hash=HOSTILE), lists=[HOSTILE]),
            edges=[given.edge("counterparty-1", "account", "1")],
        ),
    )
    assert HOSTILE not in page(transaction="evt-1").html()


@pytest.mark.parametrize("role", [Role.ANALYST, Role.OFFICER, Role.AUDITOR])
def test_page__has_all_parts_for_who_reads_cases(page: Open, role: Role) -> None:
    found = page(role)
    assert not found.at.exception
    assert "evt-1" in found.words()


def test_page__of_an_administrator_is_the_replay_alone(page: Open, fake: FakeApi) -> None:
    found = page(Role.ADMIN, transaction="evt-1", replay="rpl_1")
    assert not found.at.exception
    assert "does not see transactions" in found.at.info[0].value
    assert {name for name, _ in fake.asked} == {
        "GET /v1/compliance/policies",
        "GET /v1/compliance/policies/replays/rpl_1",
    }
    assert "evt-7" in found.words()
    assert 'href="/app/aml?transaction=evt-7"' not in found.html()

"""The page *Policies and lists* in each of its states and for each role, over answers of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from compliance.model import Role
from streamlit_app.api_client import ApiProblem
from streamlit_app.pages import pages_for
from tests.unit.streamlit_app import policy_answers as given
from tests.unit.streamlit_app.fake_api import AWAY, FORBIDDEN, HOSTILE, FakeApi, Open, opener
from tests.unit.streamlit_app.policy_answers import NOW

POLICIES, POLICY, LISTS, SEARCH = "GET /policies", "GET /policies/2026-03-01", "GET /lists", "POST /screening/search"
DIFF = "GET /policies/2025-11-01/diff/2026-03-01"
NAME = "Erika Mustermann"


def script() -> None:
    """The page alone, as the navigation runs it."""
    from streamlit_app.views import policies

    policies.render()


@pytest.fixture
def fake() -> FakeApi:
    """An API with two policies and one list."""
    older = given.summary_of_policies("2025-11-01", is_current=False)
    active = given.list_version("v7", "active", 3600 * 26)
    return FakeApi(
        {
            POLICIES: {"policies": [given.summary_of_policies(), older]},
            POLICY: given.policy(),
            DIFF: {"before": "2025-11-01", "after": "2026-03-01", "differences": []},
            LISTS: {
                "measured_at": NOW.isoformat(),
                "lists": [{"list_name": "ofac_sdn", "active": active, "refused_since": 0, "versions": [active]}],
            },
            SEARCH: {
                "outcome": "clear",
                "reason": None,
                "hits": [],
                "list_versions": {"ofac_sdn": "v7"},
                "policy_version": "2026-03-01",
                "searched_on": "2026-03-02",
            },
        }
    )


@pytest.fixture
def page(app, fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the page."""
    return opener(app, fake, script, monkeypatch)


def search(found: Any, name: str = NAME) -> str:
    """Fill in the form, send it, and return what the page says."""
    found.at.text_input[0].input(name)
    found.at.text_input[1].input("de, ch")
    found.at.button[0].click().run()
    words: str = found.words()
    return words


@pytest.mark.parametrize("role", list(Role))
def test_page__is_there_for_people(role: Role) -> None:
    assert ("policies" in {each.path for each in pages_for(role)}) is (role is not Role.SERVICE)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.OFFICER, Role.ADMIN, Role.AUDITOR])
def test_page__offers_the_search_to_who_may_search(page: Open, role: Role) -> None:
    found = page(role)
    assert not found.at.exception
    assert ("Screening search" in found.at.segmented_control[0].options) is (role in {Role.ANALYST, Role.OFFICER})
    assert "in force" in found.words()
    closed = page(role, section="search")
    assert bool(closed.at.text_input) is (role in {Role.ANALYST, Role.OFFICER})


def test_policies__say_which_is_in_force_and_what_each_rule_means(page: Open) -> None:
    found = page()
    words = found.words()
    assert "2026-03-01 Lending in force" in words
    assert "2025-11-01 Lending replaced" in words
    assert "North Korea (KP)" in words
    assert "17 days old" in words
    assert "1,000.00 USD, 3,000.00 USD (not the default) avoided" in words
    assert "only where amount_micro_usd > 5" in words
    assert "1 shadow rule" in words
    assert "not in the policy" in words
    assert "AML, urgent 2 hours" in words
    assert "Clear 365 days" in words
    assert "SAR candidate 2,000.00 USD" in words
    assert 'version: "2026-03-01"' in found.at.code[0].value


def test_policies__warn_of_country_lists_that_are_too_old_where_they_count(page: Open, fake: FakeApi) -> None:
    fake.answers[POLICY] = given.policy(countries_age_days=160, countries_overdue="160 days old; write a new policy")
    words = page().words()
    assert "The country lists are too old: 160 days old; write a new policy." in words
    assert "160 days old, too old" in words
    fake.answers[POLICY] |= {"is_current": False}
    assert "The country lists are too old" not in page().words()


def test_policies__say_when_one_begins_and_when_none_counts(page: Open, fake: FakeApi) -> None:
    later = (NOW + timedelta(days=3)).isoformat()
    fake.answers[POLICIES]["policies"] = [given.summary_of_policies(is_current=False, effective_from=later)]
    words = page().words()
    assert "No policy is in force. Nothing can be judged" in words
    assert "in 3 d" in words
    fake.answers[POLICIES]["policies"] = []
    assert "There is no policy." in page().words()


def test_differences__are_in_words(page: Open, fake: FakeApi) -> None:
    assert "They say the same." in page(section="differences").words()
    fake.answers[DIFF]["differences"] = [
        {"place": "aml.x", "change": "changed", "before": "1", "after": "2", "words": f"Rule x: {HOSTILE}"}
    ]
    found = page(section="differences")
    assert "1 difference" in found.words()
    assert HOSTILE not in found.html()
    assert fake.asked[-1][0] == "GET /v1/compliance/policies/2025-11-01/diff/2026-03-01"


def test_lists__have_their_age_their_loads_and_what_was_refused(page: Open, fake: FakeApi) -> None:
    refused = given.list_version("v8", "refused", 60, reason="shrank by 30 %", content_hash="", entries=None)
    found = fake.answers[LISTS]["lists"][0]
    found |= {"refused_since": 1, "versions": [refused, *found["versions"]]}
    words = page(section="lists").words()
    assert "loaded 1 d 2 h ago" in words
    assert "1 newer load was refused: what is searched is 1 d 2 h old." in words
    assert "Refused" in words
    assert "shrank by 30 %" in words
    assert "1,234 2,345 345 12 3 1" in words
    assert "not read" in words
    assert "not counted" in words


def test_lists__without_an_active_version_or_without_any_are_never_clear(page: Open, fake: FakeApi) -> None:
    fake.answers[LISTS]["lists"][0] |= {"active": None, "versions": []}
    assert "nothing is screened by it" in page(section="lists").words()
    fake.answers[LISTS]["lists"] = []
    assert "No list was ever loaded." in page(section="lists").words()


@pytest.mark.parametrize("section", ["policies", "differences", "lists"])
def test_page__says_that_the_api_is_away_and_why_it_refuses(page: Open, fake: FakeApi, section: str) -> None:
    fake.fail(AWAY)
    found = page(section=section)
    assert "Nothing was read before" in found.words()
    fake.fail(FORBIDDEN)
    assert "You may not see this." in page(section=section).words()
    assert not found.at.exception


def test_lists__stay_marked_as_old_while_the_api_is_away(page: Open, fake: FakeApi) -> None:
    found = page(section="lists")
    fake.fail(AWAY)
    part = found.run(seconds_later=31).parts()["list_ofac_sdn"]
    assert part["is_old"]
    assert part["ages"]["read"] == 31
    assert "31" not in part["html"]


def test_search__sends_the_name_to_the_api_alone_and_keeps_it_nowhere(page: Open, fake: FakeApi) -> None:
    found = page(section="search")
    words = search(found)
    sent = {"name": NAME, "kind": "person", "birth_date": None, "countries": ["DE", "CH"]}
    assert fake.given("POST /v1/compliance/screening/search") == [sent]
    assert "No entry of the active lists matches." in words
    assert "ofac_sdn v7" in words
    assert NAME not in found.html()
    assert NAME not in str(found.at.query_params)
    found.run()
    assert len(fake.given("POST /v1/compliance/screening/search")) == 1
    assert NAME not in repr(found.at.session_state)


def test_search__shows_hits_with_their_reasons(page: Open, fake: FakeApi) -> None:
    fake.answers[SEARCH] |= {
        "outcome": "hit",
        "reason": "12 hits, of which the likeliest 1 are shown.",
        "hits": [
            {
                "list_name": "ofac_sdn",
                "list_version_id": "v7",
                "entry_id": "77",
                "listed_name": HOSTILE,
                "topics": ["sanction"],
                "score": 0.91,
                "rank": 1,
                "reasons": [f"the listed name {HOSTILE} matches", "born in another year"],
            }
        ],
    }
    found = page(section="search")
    words = search(found)
    assert "possible matches" in words
    assert "born in another year" in words
    assert "0.91 of 1, no probability" in words
    assert "12 hits" in words
    assert HOSTILE not in found.html()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (AWAY, "The name was not screened."),
        (ApiProblem(503, "compliance_not_ready", "No sanctions list is active."), "No sanctions list is active."),
        (ApiProblem(422, "request_invalid", "countries: is no country"), "is no country"),
        (None, "It could not be screened, which is not clear: the name has no letters"),
    ],
)
def test_search__that_fails_is_never_clear(page: Open, fake: FakeApi, answer: Exception | None, expected: str) -> None:
    error = fake.answers[SEARCH] | {"outcome": "error", "reason": "the name has no letters"}
    fake.answers[SEARCH] = error if answer is None else answer
    words = search(page(section="search"))
    assert expected in words
    assert "No entry" not in words


def test_search__without_a_name_asks_for_one(page: Open, fake: FakeApi) -> None:
    found = page(section="search")
    search(found, "  ")
    assert found.at.error[0].value == "Give a name."
    assert not fake.given("POST /v1/compliance/screening/search")

"""Replays of a policy on the page *AML*, under Streamlit's AppTest over answers of the API."""

from __future__ import annotations

from typing import Any

import pytest

from streamlit_app.api_client import ApiProblem
from tests.unit.streamlit_app import policy_answers as given
from tests.unit.streamlit_app.fake_api import AWAY, FakeApi, Open, opener

REPLAYS = "POST /policies/replays"


def script() -> None:
    """The page alone, as the navigation runs it."""
    from streamlit_app.views import aml

    aml.render()


@pytest.fixture
def fake() -> FakeApi:
    """An API with a policy and a replay."""
    return FakeApi(
        {
            "GET /policies": {"policies": [given.summary_of_policies()]},
            REPLAYS: given.replay("running"),
            "GET /policies/replays/rpl_1": given.replay(),
            "DELETE /policies/replays/rpl_1": given.replay("running"),
        }
    )


@pytest.fixture
def page(app, fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the page."""
    return opener(app, fake, script, monkeypatch)


def test_replay__begins_with_the_chosen_version_and_shows_its_progress(page: Open, fake: FakeApi) -> None:
    fake.answers["GET /policies/replays/rpl_1"] = given.replay("running")
    found = page(section="replay")
    found.at.number_input(key="aml_replay_days").set_value(30).run()
    found.at.button(key="aml_replay_start").click().run()
    assert fake.given("POST /v1/compliance/policies/replays") == [{"version": "2026-03-01", "days": 30}]
    assert found.at.query_params["replay"] == "rpl_1"
    assert "Running" in found.words()
    found.at.button(key="aml_replay_cancel").click().run()
    assert fake.given("DELETE /v1/compliance/policies/replays/rpl_1") == [{}]


def test_replay__takes_the_text_of_a_candidate_and_says_where_it_is_wrong(page: Open, fake: FakeApi) -> None:
    fake.answers[REPLAYS] = ApiProblem(422, "policy_invalid", "candidate.yaml:2: is not YAML")
    found = page(section="replay")
    found.at.radio(key="aml_replay_source").set_value("text").run()
    assert found.at.button(key="aml_replay_start").disabled
    found.at.text_area(key="aml_replay_text").input("version: [").run()
    found.at.button(key="aml_replay_start").click().run()
    assert fake.given("POST /v1/compliance/policies/replays") == [{"text": "version: [", "days": 90}]
    assert "candidate.yaml" in found.at.error[0].value
    assert found.at.text_area(key="aml_replay_text").value == "version: ["


def test_replay__that_is_done_compares_then_and_the_candidate(page: Open) -> None:
    found = page(section="replay", replay="rpl_1")
    words = found.words()
    assert "It would accept 6 transactions that an officer rejected: evt-9 and 5 more" in words
    assert "Structuring 3 2 1 2 1 4 5 33.3% 1 of 3 known unknown" in words
    assert "Rejected by officers 6 0 0 6" in words
    assert "Not decided yet 0 194 0 194" in words
    assert 'href="/app/aml?transaction=evt-7"' in found.parts()["examples"]["html"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (given.replay("failed", problem="PostgreSQL did not answer."), "The replay failed. PostgreSQL did not answer."),
        (given.replay("cancelled"), "The replay was cancelled."),
        (ApiProblem(404, "replay_not_found", "There is no replay rpl_1."), "There is no replay rpl_1."),
        (AWAY, "does not answer"),
    ],
)
def test_replay__says_how_it_ended(page: Open, fake: FakeApi, answer: Any, expected: str) -> None:
    fake.answers["GET /policies/replays/rpl_1"] = answer
    found = page(section="replay", replay="rpl_1")
    assert expected in found.words()
    assert not found.at.exception


@pytest.mark.parametrize("error", [AWAY, ApiProblem(409, "replay_busy", "A replay runs already.")])
def test_replay__that_cannot_begin_says_why(page: Open, fake: FakeApi, error: Exception) -> None:
    fake.answers[REPLAYS] = error
    found = page(section="replay")
    found.at.button(key="aml_replay_start").click().run()
    expected = "is not known" if error is AWAY else "A replay runs already"
    assert expected in found.at.error[0].value
    assert "replay" not in found.at.query_params

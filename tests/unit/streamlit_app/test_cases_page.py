"""The page *KYC and cases* under AppTest: what each role sees and sends, and what stands there without answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from compliance.model import Actor, Role
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings
from streamlit_app import data, visitor
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import cases_api
from streamlit_app.views import cases_state
from streamlit_app.visitor import Visitor
from tests.unit.streamlit_app import cases_world as world
from tests.unit.streamlit_app.cases_world import FakeApi, case_row

PEOPLE = (
    Actor("anna", Role.ANALYST),
    Actor("otto", Role.OFFICER),
    Actor("olga", Role.OFFICER),
    Actor("escrow", Role.SERVICE),
)
ROLES = [Role.VIEWER, Role.ANALYST, Role.OFFICER, Role.ADMIN, Role.AUDITOR]
CONFLICT = ApiProblem(409, "case_conflict", "Case cas_aml is at version 2, not 1: read it again.")


class Page:
    """The page as one person sees it."""

    def __init__(self, at: AppTest, api: FakeApi, clock: FixedClock) -> None:
        self.at, self.api, self.clock = at, api, clock

    def open(self, case_id: str = "", **parameters: str) -> Page:
        """Run the page at an address."""
        if case_id:
            self.at.query_params["case"] = case_id
        for name, value in parameters.items():
            self.at.query_params[name] = value
        self.at.run()
        assert [each.value for each in self.at.exception] == []
        return self

    def html(self) -> str:
        """The page's own markup."""
        found = []
        for element in self.at.main:
            if element.type == "bidi_component":
                message = json.loads(element.proto.mixed.json or element.proto.json)
                found += [html for _, html in message["sections"]]
        return "\n".join(found)

    def words(self) -> str:
        """What the page says, in its own markup and in Streamlit's elements."""
        own = unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", self.html(), flags=re.DOTALL))
        kinds = (self.at.warning, self.at.error, self.at.success, self.at.info, self.at.markdown, self.at.caption)
        said = [str(each.value) for kind in kinds for each in kind]
        said += [str(each.value) for each in self.at.code]
        return " ".join([*own.split(), *said])

    def offered(self) -> list[str]:
        """What may be done."""
        return list(self.at.radio[0].options) if self.at.radio else []

    def press(self, label: str) -> Page:
        """Press a button."""
        next(each for each in self.at.button if each.label == label).click().run()
        assert [each.value for each in self.at.exception] == []
        return self

    def labels(self) -> list[str]:
        """The buttons."""
        return [each.label for each in self.at.button]


Open = Callable[..., Page]


def kept_of(page: Page) -> str:
    """Everything that the session keeps."""
    return str({name: page.at.session_state[name] for name in page.at.session_state._state.filtered_state})


def _script() -> None:
    from streamlit_app.views import cases

    cases.render()


@pytest.fixture
def page_of(now_clock: FixedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Open]:
    """Makes the page of a person with a role, over an API of the test's."""

    def make(api: FakeApi, role: Role = Role.OFFICER, name: str = "otto") -> Page:
        monkeypatch.setattr(visitor, "current", lambda: Visitor(name, role))
        monkeypatch.setattr(cases_api, "open_cases", lambda: cases_api.Cases(api))
        return Page(AppTest.from_function(_script, default_timeout=30), api, now_clock)

    configured = Settings(state_dir=tmp_path, app_session_key=SecretStr("k" * 40))
    monkeypatch.setattr(data, "system_clock", lambda: now_clock)
    monkeypatch.setattr(data, "load_settings", lambda: configured)
    monkeypatch.setattr(cases_state, "people", lambda: PEOPLE)
    st.cache_resource.clear()
    yield make
    st.cache_resource.clear()


@pytest.mark.parametrize("role", ROLES)
def test_queue__is_seen_by_every_role_with_due_times_and_numbers(page_of: Open, role: Role) -> None:
    late = case_row("kyc", sla_due_at=(world.NOW - timedelta(minutes=90)).isoformat())
    page = page_of(FakeApi([late, case_row()]), role, "anna").open()
    words = page.words()
    for said in ("overdue by 1 h 30 min", "2 h left", "7 open", "3 overdue", "30 of 33 decided within 30 s"):
        assert said in words
    assert "Held <b>now</b>" in words
    assert "<b>now</b>" not in page.html()
    may_read = role in (Role.ANALYST, Role.OFFICER, Role.AUDITOR)
    assert ("data-account" in page.html()) is may_read
    assert ("Begin a verification" in page.labels()) is (role in (Role.ANALYST, Role.OFFICER))


def test_queue__without_cases_says_so(page_of: Open) -> None:
    assert "No case is open." in page_of(FakeApi()).open().words()


def test_queue__sends_its_filters_and_pages_by_cursor(page_of: Open) -> None:
    page = page_of(FakeApi([case_row()], next_cursor="abc"), name="anna", role=Role.ANALYST).open()
    page.at.selectbox(key="cases_filter_kind").set_value("aml")
    page.at.selectbox(key="cases_filter_assignee").set_value("mine")
    page.at.toggle(key="cases_filter_overdue").set_value(True)
    page.at.text_input(key="cases_filter_words").set_value("evt-1").run()
    wanted = {"kind": "aml", "assignee": "anna", "is_breached": True, "words": "evt-1", "limit": 25}
    assert page.api.asked[-2] == ("/v1/compliance/cases", wanted)
    page.press("Next page")
    assert ("/v1/compliance/cases", wanted | {"cursor": "abc"}) in page.api.asked
    assert "page 2" in page.words()


def test_queue__that_cannot_be_read_anew_is_old_and_one_that_is_refused_is_gone(page_of: Open) -> None:
    page = page_of(FakeApi([case_row()])).open()
    page.api.is_away = True
    page.clock.advance(timedelta(seconds=30))
    page.at.run()
    assert "The API does not answer" in page.words()
    assert "Held <b>now</b>" in page.words()
    page.api.is_away = False
    page.api.refusals["/cases"] = ApiProblem(403, "forbidden", "Who has the role none may not read_queue.")
    page.at.run()
    assert "You may not see this." in page.words()
    assert "Held" not in page.words()


def test_queue__says_that_nothing_can_be_judged(page_of: Open) -> None:
    api = FakeApi([case_row()], metrics=world.METRICS | {"is_ready": False, "not_ready_reason": "no list is loaded"})
    assert "Nothing can be judged now" in page_of(api).open().words()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
def test_file__is_not_asked_for_by_who_may_not_open_cases(page_of: Open, role: Role) -> None:
    page = page_of(FakeApi([case_row()]), role).open("cas_aml")
    assert "Your role sees the queue" in page.words()
    assert {path for path, _ in page.api.asked} == {"/v1/compliance/cases", "/v1/compliance/compliance-metrics"}


def test_file__of_a_transaction_shows_hits_first_and_clean_rules_folded(page_of: Open) -> None:
    case = case_row()
    api = FakeApi([case], evidence=world.evidence_row(case, transaction=world.transaction_row(is_settled_unasked=True)))
    page = page_of(api, Role.AUDITOR, "axel").open("cas_aml")
    words = page.words()
    assert words.index("sanctioned wallet") < words.index("structuring says so.")
    for said in ("35,000.50 USD", "0.5 BTC", "Blocked", "Settled unasked.", "1 clean rule", "count 24h 4", f"{1:064x}"):
        assert said in words
    assert page.offered() == []
    assert "Draft a report" in page.labels()


def test_file__of_a_case_that_is_not_there_says_so(page_of: Open) -> None:
    assert "There is no such case." in page_of(FakeApi()).open("cas_none").words()


def test_file__that_could_never_be_read_shows_no_figure(page_of: Open) -> None:
    words = page_of(FakeApi([case_row()], is_away=True)).open("cas_aml").words()
    assert "Nothing was read before." in words
    assert "Version" not in words


def test_proposal__is_sent_with_the_version_seen_and_the_page_shows_it_at_once(page_of: Open) -> None:
    api = FakeApi([case_row()], answers={"/propose": world.proposed_by("anna")})
    page = page_of(api, Role.ANALYST, "anna").open("cas_aml")
    assert page.offered()[0] == "Propose an outcome"
    page.at.selectbox(key="cases_outcome").set_value("released")
    page.at.text_area[0].set_value("the customer explained")
    page.press("Propose an outcome")
    body = {"version": 1, "outcome": "released", "reason": "the customer explained"}
    assert api.sent == [("/cases/cas_aml/propose", body)]
    words = page.words()
    assert "Proposed. Another person must approve it." in words
    assert "anna proposes to release the settlement." in words
    assert "an officer other than anna does that: otto, olga" in words


def test_form__without_a_reason_sends_nothing(page_of: Open) -> None:
    page = page_of(FakeApi([case_row()])).open("cas_aml").press("Propose an outcome")
    assert page.api.sent == []
    assert "Give a reason" in page.words()


def test_approval__is_not_offered_to_the_officer_who_proposed(page_of: Open) -> None:
    api = FakeApi([case_row(**world.proposed_by("otto"))])
    page = page_of(api).open("cas_aml")
    assert "Approve the proposal" not in page.offered()
    assert "you proposed it, so another person must: olga" in page.words()


def test_approval__by_another_officer_closes_the_case(page_of: Open) -> None:
    closed = {"state": "closed", "outcome": "released", "version": 3, "closed_at": world.NOW.isoformat()}
    api = FakeApi([case_row(**world.proposed_by("anna"))], answers={"/approve": closed})
    page = page_of(api).open("cas_aml")
    page.at.text_area[0].set_value("agreed")
    page.press("Approve: release the settlement")
    assert api.sent == [("/cases/cas_aml/approve", {"version": 2, "reason": "agreed"})]
    assert "Closed" in page.words()
    assert page.offered() == []


def test_conflict__says_what_changed_and_keeps_what_was_typed(page_of: Open) -> None:
    api = FakeApi([case_row()])
    page = page_of(api).open("cas_aml")
    api.refusals["/propose"] = CONFLICT
    changes = {"state": {"old": "open", "new": "escalated"}}
    history = [*api.cases[0]["history"], world.event_row(2, "escalated", changes=changes)]
    api.cases[0] |= {"version": 2, "state": "escalated", "history": history}
    page.at.text_area[0].set_value("my long reason")
    page.press("Propose an outcome")
    assert "Somebody was faster. anna: escalated (escalated now)." in page.words()
    assert page.at.text_area[0].value == "my long reason"
    api.refusals.clear()
    page.press("Reload, keep what I typed")
    assert page.at.text_area[0].value == "my long reason"
    page.press("Propose an outcome")
    assert api.sent[-1][1]["version"] == 2


def test_refusal__is_shown_in_the_words_of_the_api(page_of: Open) -> None:
    refused = ApiProblem(403, "forbidden", "Four eyes: released needs a proposal.")
    page = page_of(FakeApi([case_row()], refusals={"/propose": refused})).open("cas_aml")
    page.at.text_area[0].set_value("because")
    page.press("Propose an outcome")
    assert "Four eyes: released needs a proposal." in page.words()


def test_step__that_got_no_answer_may_have_been_done(page_of: Open) -> None:
    page = page_of(FakeApi([case_row()])).open("cas_aml")
    page.at.text_area[0].set_value("because")
    original = page.api.post

    def lost(path: str, body: Any = None, headers: Any = None) -> Any:
        page.api.is_away = True
        try:
            return original(path, body, headers)
        finally:
            page.api.is_away = False

    page.api.post = lost  # type: ignore[method-assign]
    page.press("Propose an outcome")
    assert "It may have been done all the same" in page.words()


def test_verification__is_decided_with_the_answers_that_were_seen(page_of: Open) -> None:
    case = case_row("kyc")
    seen = world.verification_row(checks=("kyk_1",))
    api = FakeApi([case], evidence=world.evidence_row(case, verification=seen))
    page = page_of(api).open("cas_kyc")
    words = page.words()
    assert "DOCUMENT_PAGE_MISSING" in words
    assert "Now: In review." in page.html()
    assert page.offered()[0] == "Decide the verification"
    assert "Propose an outcome" not in page.offered()
    newer = world.verification_row(checks=("kyk_1", "kyk_2"))
    api.evidence = world.evidence_row(case, verification=newer)
    page.at.run()
    page.at.text_area[0].set_value("seen in person")
    assert "A new answer on this verification came" in page.words()
    page.press("Decide the verification")
    body = {"verdict": "approved", "reason": "seen in person", "seen_checks": ["kyk_1"]}
    assert api.sent == [("/kyc/kyc_1/decision", body)]


@pytest.mark.parametrize(
    ("needs_four_eyes", "offered"), [(True, False), (False, True), (None, False)], ids=["sanction", "other", "unknown"]
)
def test_hit__is_cleared_alone_only_where_the_api_says_so(
    page_of: Open, needs_four_eyes: bool | None, offered: bool
) -> None:
    case = case_row("screening")
    hits = [world.hit_row(needs_four_eyes=needs_four_eyes)]
    page = page_of(FakeApi([case], evidence=world.evidence_row(case, hits=hits))).open("cas_screening")
    assert ("Clear a hit" in page.offered()) is offered
    assert ("a sanction needs two people" in page.words()) is not offered
    assert "Ottokar <i>Quist</i>" in page.words()
    assert "<i>Quist" not in page.html()
    page.at.radio[0].set_value("confirm").run()
    page.at.text_area[0].set_value("the same person")
    page.press("Confirm a hit")
    assert page.api.sent == [("/screening/hits/hit_1/confirm", {"version": 1, "reason": "the same person"})]


CUSTOMER = {
    "case_id": "cas_screening",
    "user_id": "usr_1",
    "kind": "person",
    "names": ["Erika Musterfrau"],
    "birth_date": "1999-12-31",
    "nationality": "DE",
    "country": "AT",
    "address": None,
    "document_number": "L01X00T471",
    "email": None,
    "phone": None,
    "kyc_state": "in_review",
}


def test_customer__stands_beside_the_hits_on_demand_and_is_not_kept(page_of: Open) -> None:
    case = case_row("screening")
    evidence = world.evidence_row(case, hits=[world.hit_row()])
    page = page_of(FakeApi([case], evidence=evidence, customer=CUSTOMER)).open("cas_screening")
    assert "is recorded in the history" in page.words()
    assert "Musterfrau" not in page.words()
    page.press("Show the customer's personal data")
    for said in ("Erika Musterfrau", "1999-12-31", "1971-03-04", "L01X00T471"):
        assert said in page.words()
    page.at.run()
    assert "Musterfrau" not in page.words()
    assert "Musterfrau" not in kept_of(page)


def test_customer__is_not_offered_to_an_analyst(page_of: Open) -> None:
    page = page_of(FakeApi([case_row("screening")]), Role.ANALYST, "anna").open("cas_screening")
    assert "Show the customer's personal data" not in page.labels()
    page.press("Draft a report")
    assert "# Draft of a suspicious activity report" in page.words()


STARTED = world.verification_row("pending", handoff={"kind": "link", "value": "https://verify.example/once"})


def test_begin__sends_personal_data_once_and_keeps_nothing_of_it(page_of: Open) -> None:
    api = FakeApi([case_row()], answers={"/kyc": {name: each for name, each in STARTED.items() if name != "checks"}})
    page = page_of(api, Role.ANALYST, "anna").open(begin="1")
    typed = {"reference": "crm-9", "first_name": "Erika", "last_name": "Musterfrau", "country": "de"}
    for name, value in typed.items():
        page.at.text_input(key=f"cases_new_{name}_0").set_value(value)
    page.press("Begin")
    ((path, body),) = api.sent
    assert path == "/kyc"
    personal = {"first_name": "Erika", "last_name": "Musterfrau"}
    assert body == {"customer": {"reference": "crm-9", "kind": "person", "country": "DE", "personal": personal}}
    assert "https://verify.example/once" in page.words()
    page.at.run()
    kept = kept_of(page) + page.words()
    assert "Musterfrau" not in kept
    assert "verify.example" not in kept


def test_begin__that_is_refused_keeps_the_form(page_of: Open) -> None:
    refused = ApiProblem(422, "request_invalid", "customer: a person needs first_name and last_name, or names")
    page = page_of(FakeApi([case_row()], refusals={"/kyc": refused}), Role.ANALYST, "anna").open(begin="1")
    page.at.text_input(key="cases_new_reference_0").set_value("crm-9")
    page.press("Begin")
    assert "a person needs first_name" in page.words()
    assert page.at.text_input(key="cases_new_reference_0").value == "crm-9"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN, Role.AUDITOR])
def test_begin__is_not_there_for_roles_that_may_not(page_of: Open, role: Role) -> None:
    page = page_of(FakeApi([case_row()]), role).open(begin="1")
    assert [each.label for each in page.at.text_input] == ["Account", "Words"]

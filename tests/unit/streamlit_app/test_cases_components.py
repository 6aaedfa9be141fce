"""The parts of the case pages without Streamlit: clocks, offers of work, history, personal data left out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from compliance.api.case_schemas import CaseDetail
from compliance.api.evidence import without_names
from compliance.api.evidence_schemas import CaseEvidence
from compliance.case_model import TRANSITIONS, CaseState, Step
from compliance.kyc.model import KycState
from compliance.model import Actor, Role
from streamlit_app.api_client import ApiAway
from streamlit_app.components import cases_api, cases_evidence, cases_file, cases_words, cases_work
from streamlit_app.components.cases_machine import machine_svg
from streamlit_app.components.cases_work import Work
from streamlit_app.visitor import Visitor
from tests.unit.streamlit_app import cases_world as world
from tests.unit.streamlit_app.cases_world import NOW, case_row

PEOPLE = (Actor("anna", Role.ANALYST), Actor("otto", Role.OFFICER), Actor("olga", Role.OFFICER))
OTTO, ANNA = Visitor("otto", Role.OFFICER), Visitor("anna", Role.ANALYST)


def case(kind: str = "aml", **changes: Any) -> CaseDetail:
    return CaseDetail.model_validate(case_row(kind, **changes))


def evidence(kind: str = "aml", **parts: Any) -> CaseEvidence:
    return CaseEvidence.model_validate(world.evidence_row(case_row(kind), **parts))


def possible(found: tuple[cases_work.Offer, ...]) -> set[Work]:
    return {offer.work for offer in found if not offer.why_not}


@pytest.mark.parametrize(
    ("due_in", "closed_in", "kind", "words"),
    [
        (timedelta(hours=5), None, "ok", "5 h left"),
        (timedelta(minutes=59), None, "degraded", "59 min left"),
        (timedelta(minutes=-61), None, "liquidation", "overdue by 1 h 1 min"),
        (timedelta(hours=2), timedelta(hours=1), "ok", "closed in time"),
        (timedelta(hours=1), timedelta(hours=2), "liquidation", "closed 1 h late"),
    ],
)
def test_clock__says_in_words_what_its_colour_says(
    due_in: timedelta, closed_in: timedelta | None, kind: str, words: str
) -> None:
    closed = NOW + closed_in if closed_in is not None else None
    shown = cases_words.sla_clock(case(sla_due_at=NOW + due_in, closed_at=closed), NOW)
    assert (shown.kind, shown.words) == (kind, words)


STEPS = {
    Step.PROPOSE: Work.PROPOSE,
    Step.CLOSE: Work.CLOSE,
    Step.ASSIGN: Work.ASSIGN,
    Step.COMMENT: Work.COMMENT,
    Step.ESCALATE: Work.ESCALATE,
}


@pytest.mark.parametrize("state", list(CaseState))
def test_offers__to_an_officer_are_exactly_the_steps_that_the_state_allows(state: CaseState) -> None:
    changes = world.proposed_by("anna") if state is CaseState.AWAITING_APPROVAL else {}
    found = possible(cases_work.offers(case(**{**changes, "state": state.value}), None, OTTO, PEOPLE))
    for step, work in STEPS.items():
        assert (work in found) is ((state, step) in TRANSITIONS), step
    assert (Work.APPROVE in found) is (state is CaseState.AWAITING_APPROVAL)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN, Role.AUDITOR])
def test_offers__are_none_for_who_only_reads(role: Role) -> None:
    for kind in ("aml", "kyc", "screening"):
        assert cases_work.offers(case(kind), None, Visitor("x", role), PEOPLE) == ()


def test_offers__close_alone_nothing_that_needs_four_eyes() -> None:
    for kind, alone in (("aml", ("rejected",)), ("screening", ("confirmed",))):
        offer = next(each for each in cases_work.offers(case(kind), None, OTTO, PEOPLE) if each.work is Work.CLOSE)
        assert offer.choices == alone


def test_offers__name_nobody_who_may_approve_where_nobody_may() -> None:
    found = cases_work.offers(case(**world.proposed_by("otto")), None, OTTO, PEOPLE[:2])
    assert "nobody who may is set up" in next(each.why_not for each in found if each.work is Work.APPROVE)


def test_offers__of_a_decision_that_was_not_carried_out_finish_it() -> None:
    closed = case(state="closed", outcome="released", closed_at=NOW)
    held = evidence(transaction=world.transaction_row(decision="review"))
    (offer,) = cases_work.offers(closed, held, OTTO, PEOPLE)
    assert (offer.work, offer.choices) == (Work.FINISH, ("release",))
    done = evidence(transaction=world.transaction_row(decision="released"))
    assert cases_work.offers(closed, done, OTTO, PEOPLE) == ()


@pytest.mark.parametrize(
    ("state", "choices"),
    [("in_review", ("approved", "declined")), ("approved", ("review",)), ("failed", ("review",)), ("pending", ())],
)
def test_offers__of_a_verification_follow_its_state(state: str, choices: tuple[str, ...]) -> None:
    found = cases_work.offers(case("kyc"), evidence("kyc", verification=world.verification_row(state)), OTTO, PEOPLE)
    offer = next(each for each in found if each.work is Work.DECIDE_KYC)
    assert (offer.choices, bool(offer.why_not)) == (choices, not choices)
    assert {Work.PROPOSE, Work.CLOSE}.isdisjoint({each.work for each in found})
    assert Work.DECIDE_KYC not in {each.work for each in cases_work.offers(case("kyc"), None, ANNA, PEOPLE)}


@pytest.mark.parametrize("state", list(KycState))
def test_machine__marks_one_state_and_says_it(state: KycState) -> None:
    svg = machine_svg(state)
    assert svg.count('class="here"') == 1
    assert svg.count("\u2014 now") == 1
    assert 'role="img"' in svg


def test_history__escapes_what_people_wrote_and_links_cases() -> None:
    written = world.event_row(2, "commented", text="<script>alert(1)</script>")
    linked = world.event_row(3, "added", "system", details={"screening_case_id": f"cas_{'a' * 32}"})
    html = cases_file.timeline_html(case(history=[written, linked]).history)
    assert "<script>" not in html
    assert f'href="/app/cases?case=cas_{"a" * 32}"' in html
    assert html.index("cas_aaa") < html.index("alert(1)")
    assert f"{2:064x}" in html


def test_transaction__without_address_tells_withheld_from_none() -> None:
    shown = world.transaction_row(counterparty_address=None, amount_usd=None, decision=None, decision_reason=None)
    for is_withheld, words in ((True, "withheld: your role"), (False, "Counterparty</dt><dd>none")):
        html = "".join(cases_evidence.evidence_html(evidence(transaction=shown, is_withheld=is_withheld)).values())
        assert words in html
        assert "Not decided yet" in html
        assert "Amount</dt><dd>unknown" in html


SENTENCES = [
    (
        'Name: the name given is similar to the listed alias "Otto "the Boat" Quist" (score 0.91 of 1).',
        ["Otto", "Quist"],
    ),
    ("Against it: the list has another date of birth (1971-03-04, 1972).", ["1971", "1972"]),
    ("Unclear: the date of birth is a listed one with day and month exchanged (1971).", ["1971"]),
]


@pytest.mark.parametrize(("sentence", "secrets"), SENTENCES)
def test_reason__without_names_keeps_its_verdict(sentence: str, secrets: list[str]) -> None:
    shown = without_names(sentence)
    assert "(withheld)" in shown
    assert [each for each in secrets if each in shown] == []
    assert shown.split(":")[0] == sentence.split(":")[0]


def test_answer__of_another_form_is_no_answer_and_is_not_repeated() -> None:
    class Odd:
        def get(self, path: str, params: Any = None) -> Any:
            return {"names": "Erika Musterfrau"}

        def text(self, path: str) -> str:
            return ""

        def post(self, path: str, body: Any = None, headers: Any = None) -> Any:
            return None

    calls = cases_api.Cases(Odd())
    for ask in (lambda: calls.case("cas_1"), lambda: calls.customer("cas_1"), calls.metrics):
        with pytest.raises(ApiAway) as caught:
            ask()
        assert "Musterfrau" not in str(caught.value)
        assert caught.value.__cause__ is None

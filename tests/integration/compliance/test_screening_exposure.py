"""Politically exposed persons: an officer looks, nobody is refused for it, and a sanction stays a sanction."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, text

from compliance import cases
from compliance.api.hit_store import Verdict, decide_hit, open_hits, read_hit
from compliance.model import Actor, Role
from compliance.pii import PersonalData
from compliance.policy.book import PolicyBook
from compliance.policy.model import Policy
from compliance.screening.exposure import is_exposure, is_recorded_only
from compliance.screening.lists import load_list
from compliance.screening.model import HitState, ScreeningRecord
from compliance.screening.service import Screener
from compliance.users import create_user, read_user
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import Envelope, LocalKeyRing

OFFICER = Actor("olga", Role.OFFICER)
LISTED = {
    "q1": {"name": ["Otto Quistmeyer"], "topics": ["sanction"]},
    "q2": {"name": ["Isolde Brackwater"], "topics": ["role.pep"]},
    "q3": {"name": ["Fenella Garthwick"], "topics": ["role.rca", "sanction"]},
}
Handling = Literal["review", "record"]


def policy_of(handling: Handling = "review") -> Policy:
    book = PolicyBook.load()
    policy = max(book.policies, key=lambda each: each.effective_from)
    pep = policy.screening.pep.model_copy(update={"handling": handling})
    return policy.model_copy(update={"screening": policy.screening.model_copy(update={"pep": pep})})


@pytest.mark.parametrize(
    ("topics", "exposure"),
    [
        (("role.pep",), True),
        (("role.pep", "role.rca"), True),
        (("role.pep", "sanction"), False),
        (("role.pep", "crime.fin"), False),
        (("sanction",), False),
        ((), False),
    ],
)
def test_exposure__is_what_the_policy_calls_so_and_nothing_else(topics: tuple[str, ...], exposure: bool) -> None:
    assert is_exposure(topics, policy_of().screening) is exposure
    assert is_recorded_only(topics, policy_of("record").screening) is exposure
    assert not is_recorded_only(topics, policy_of("review").screening)


def test_exposure__never_takes_a_blocking_topic_for_itself() -> None:
    screening = policy_of("record").screening
    mistaken = screening.model_copy(update={"topics_block": ("sanction", "role.pep")})
    assert not is_exposure(("role.pep",), mistaken)
    assert is_exposure(("role.rca",), mistaken)


class Desk:
    """The list, and what is done with customers of its names."""

    def __init__(self, engine: Engine, clock: FixedClock, folder: Path) -> None:
        self.engine, self.clock = engine, clock
        self.envelope = Envelope(LocalKeyRing.create(folder / "keys.json"))
        self.screener = Screener(engine, clock)
        lines = [{"id": key, "schema": "Person", "properties": value} for key, value in LISTED.items()]
        (folder / "list.json").write_text("\n".join(json.dumps(line) for line in lines))
        load_list(engine, clock, "sample", [folder / "list.json"])

    def customer(self, name: str) -> str:
        with self.engine.begin() as connection:
            personal = PersonalData(names=(name,))
            return create_user(connection, self.envelope, self.clock, name.split()[0], "person", personal, "acc-1")

    def screen(self, user_id: str, handling: Handling = "review") -> ScreeningRecord:
        self.clock.advance(timedelta(minutes=1))
        with self.engine.begin() as connection:
            user = read_user(connection, self.envelope, user_id)
            return self.screener.screen_user(connection, user, policy_of(handling), "kyc")

    def decide(self, record: ScreeningRecord, verdict: Verdict) -> None:
        with self.engine.begin() as connection:
            at = self.clock.now()
            for hit in open_hits(connection, str(record.case_id)):
                assert decide_hit(connection, hit, verdict, OFFICER, "looked at", at, at + timedelta(days=1))

    def rows(self, sql: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(sql)))


@pytest.fixture
def desk(engine: Engine, clock: FixedClock, tmp_path: Path) -> Desk:
    return Desk(engine, clock, tmp_path)


def test_review__is_a_case_for_enhanced_due_diligence_and_a_confirmed_person_is_no_dead_end(desk: Desk) -> None:
    user_id = desk.customer("Isolde Brackwater")
    found = desk.screen(user_id)
    assert (found.outcome, found.is_exposed, found.new_hits) == ("hit", False, 1)
    [row] = desk.rows("select title, priority from compliance.cases")
    assert (row.title, row.priority) == ("1 possible match on sample: politically exposed", "normal")
    with desk.engine.connect() as connection:
        opened = cases.case_history(connection, str(found.case_id))[0].body["details"]
        stored = read_hit(connection, found.hits[0].hit_id)
    assert opened["handling"] == "enhanced_due_diligence"
    assert stored is not None
    assert not stored.needs_four_eyes(policy_of().screening.topics_block)
    desk.decide(found, "confirmed")
    again = desk.screen(user_id)
    assert (again.outcome, again.is_exposed, again.new_hits) == ("hit", True, 0)
    assert desk.rows("select outcome from compliance.decisions where subject_kind = 'screening'") == []


@pytest.mark.parametrize("name", ["Otto Quistmeyer", "Fenella Garthwick"])
@pytest.mark.parametrize("handling", ["review", "record"])
def test_sanction__is_never_taken_for_exposure(desk: Desk, name: str, handling: Handling) -> None:
    user_id = desk.customer(name)
    found = desk.screen(user_id, handling)
    with desk.engine.connect() as connection:
        stored = read_hit(connection, found.hits[0].hit_id)
    assert stored is not None
    assert stored.needs_four_eyes(policy_of().screening.topics_block)
    assert [row.priority for row in desk.rows("select priority from compliance.cases")] == ["urgent"]
    desk.decide(found, "confirmed")
    again = desk.screen(user_id, handling)
    assert (again.outcome, again.is_exposed) == ("hit", False)


def test_record__keeps_the_hit_holds_nobody_and_is_looked_at_once_the_policy_wants_it(desk: Desk) -> None:
    user_id = desk.customer("Isolde Brackwater")
    for _ in range(2):
        found = desk.screen(user_id, "record")
        assert (found.outcome, found.case_id, found.new_hits, found.is_exposed) == ("clear", None, 0, False)
        assert [(each.state, each.case_id) for each in found.hits] == [(HitState.OPEN, None)]
        assert found.reason == "1 of 1 hits are politically exposed persons, whom the policy only records."
    assert desk.rows("select 1 from compliance.cases") == []
    evidence = [row.evidence for row in desk.rows("select evidence from compliance.decisions order by sequence")]
    assert (evidence[1]["remembered"], evidence[1]["exposure"]) == ([], [found.hits[0].hit_id])
    reviewed = desk.screen(user_id, "review")
    assert (reviewed.outcome, reviewed.new_hits) == ("hit", 1)
    assert len(desk.rows("select 1 from compliance.cases")) == 1
    assert desk.screen(user_id, "review").new_hits == 0


def test_cleared__who_is_not_the_exposed_person_is_clear(desk: Desk) -> None:
    user_id = desk.customer("Isolde Brackwater")
    desk.decide(desk.screen(user_id), "cleared")
    again = desk.screen(user_id)
    assert (again.outcome, again.is_exposed) == ("clear", False)
    assert again.reason == "The only hit was cleared by an officer before, and the entries have not changed."

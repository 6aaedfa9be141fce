"""Screening of customers: stored with reasons, one case, and what officers cleared stays cleared."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from compliance.api.hit_store import decide_hit, open_hits
from compliance.chain import verify
from compliance.errors import ComplianceInputError, ComplianceNotReadyError
from compliance.model import Actor, Role
from compliance.pii import PersonalData
from compliance.policy.model import Policy
from compliance.screening.lists import load_list
from compliance.screening.model import HitState, ScreeningOutcome, ScreeningRecord
from compliance.screening.rescreening import Rescreening, rescreen
from compliance.screening.service import Screener
from compliance.users import create_user, read_user
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import Envelope, LocalKeyRing
from tests.integration.compliance.gate_world import shipped_book

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

OFFICER = Actor("olga", Role.OFFICER)
WALLET = "0xAbCdEf0123456789aBcDeF0123456789abcdef01"
LISTED = {
    "q1": {"name": ["Otto Quistmeyer"], "topics": ["sanction"], "birthDate": ["1961-05-30"]},
    "q2": {"name": ["Isolde Brackwater"], "topics": ["role.pep"]},
}


class World:
    """A list, customers, and what is done with them."""

    def __init__(self, engine: Engine, clock: FixedClock, folder: Path) -> None:
        self.engine, self.clock, self.folder = engine, clock, folder
        LocalKeyRing.create(folder / "keys.json")
        self.envelope = Envelope(LocalKeyRing(folder / "keys.json"))
        self.screener = Screener(engine, clock)
        self.listed: dict[str, dict[str, list[str]]] = dict(LISTED)
        self.book = shipped_book()

    @property
    def policy(self) -> Policy:
        return self.book.current(self.clock.now())

    def load(self, **changes: dict[str, list[str]]) -> str:
        self.listed |= changes
        path = self.folder / "list.json"
        lines = [{"id": key, "schema": "Person", "properties": value} for key, value in self.listed.items()]
        wallet = {"id": "w", "schema": "CryptoWallet", "properties": {"publicKey": [WALLET], "currency": ["USDT"]}}
        path.write_text("\n".join(json.dumps(each) for each in [*lines, wallet]))
        return load_list(self.engine, self.clock, "sample", [path]).list_version_id

    def customer(self, reference: str, name: str, birth: date | None = None, kind: str = "person") -> str:
        personal = PersonalData(names=(name,), birth_date=birth)
        with self.engine.begin() as connection:
            return create_user(
                connection, self.envelope, self.clock, reference, kind, personal, f"acc-{reference}", "DE", Decimal(1)
            )

    def screen(self, user_id: str, trigger: str = "kyc") -> ScreeningRecord:
        self.clock.advance(timedelta(minutes=1))
        with self.engine.begin() as connection:
            user = read_user(connection, self.envelope, user_id)
            return self.screener.screen_user(connection, user, self.policy, trigger)

    def clear(self, case_id: str, verdict: Any = "cleared") -> None:
        with self.engine.begin() as connection:
            at = self.clock.now()
            until = at + timedelta(days=self.policy.screening.clear_days)
            for hit in open_hits(connection, case_id):
                decide_hit(connection, hit, verdict, OFFICER, "another person", at, until)
            connection.execute(
                text("update compliance.cases set state = 'closed', outcome = :v where case_id = :c"),
                {"v": verdict, "c": case_id},
            )

    def rescreen(self, chunk: int = 3) -> Rescreening:
        self.clock.advance(timedelta(hours=24))
        return rescreen(self.engine, self.screener, self.clock, self.book, self.envelope, chunk=chunk)

    def rows(self, sql: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(sql)))


@pytest.fixture
def world(engine: Engine, clock: FixedClock, tmp_path: Path) -> World:
    return World(engine, clock, tmp_path)


def test_screening__without_a_list_is_not_ready(world: World) -> None:
    user_id = world.customer("a", "Otto Quistmeyer")
    with pytest.raises(ComplianceNotReadyError):
        world.screener.list_versions()
    with pytest.raises(ComplianceNotReadyError):
        world.screener.screen_name("Otto Quistmeyer", kind="person", policy=world.policy)
    with pytest.raises(ComplianceNotReadyError):
        world.screen(user_id)
    with pytest.raises(ComplianceNotReadyError):
        world.screener.screen_wallet(WALLET, "ethereum")


def test_screening__a_list_without_sanctions_is_not_enough(world: World) -> None:
    world.listed = {"q2": LISTED["q2"]}
    world.load()
    with pytest.raises(ComplianceNotReadyError):
        world.screener.list_versions()


def test_screen_name__searches_the_version_that_was_just_loaded(world: World) -> None:
    world.load()
    assert world.screener.screen_name("Quentin Dallimore", kind="person", policy=world.policy).outcome == "clear"
    version = world.load(q3={"name": ["Quentin Dallimore"], "topics": ["sanction"]})
    found = world.screener.screen_name("Quentin Dallimore", kind="person", policy=world.policy)
    assert (found.outcome, [hit.entry_id for hit in found.hits]) == ("hit", ["q3"])
    assert found.list_versions == {"sample": version}


def test_screen_name__what_cannot_be_compared_is_an_error(world: World) -> None:
    world.load()
    found = world.screener.screen_name("?!", kind="person", policy=world.policy)
    assert (found.outcome, found.hits) == (ScreeningOutcome.ERROR, ())
    assert found.reason
    with pytest.raises(ComplianceInputError):
        world.screener.screen_name("A B", kind="ghost", policy=world.policy)


def test_screen_name__a_matcher_that_fails_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.load()
    snapshot = world.screener.snapshot()

    def fails(*_: object) -> None:
        raise RuntimeError("Otto Quistmeyer is too much")

    monkeypatch.setattr(type(snapshot.matcher), "match", fails)
    found = world.screener.screen_name("Otto Quistmeyer", kind="person", policy=world.policy)
    assert (found.outcome, found.reason) == ("error", "The matcher failed on this name (RuntimeError).")


@pytest.mark.parametrize(
    ("address", "chain", "outcome"),
    [
        (WALLET, "ethereum", "hit"),
        (WALLET.upper().replace("X", "x", 1), "polygon", "hit"),
        (WALLET[2:], "ethereum", "hit"),
        ("0x" + "cd" * 20, "ethereum", "clear"),
        ("not an address", "ethereum", "error"),
    ],
)
def test_screen_wallet__is_exact_on_any_chain_and_label(world: World, address: str, chain: str, outcome: str) -> None:
    world.load()
    found = world.screener.screen_wallet(address, chain)
    assert found.outcome == outcome
    assert (found.reason is not None) == (outcome == "error")
    if outcome == "hit":
        assert [(entry.entry_id, entry.asset_label) for entry in found.entries] == [("w", "USDT")]


def test_screen_wallet__is_an_error_when_postgresql_does_not_answer(world: World) -> None:
    world.load()
    with world.engine.begin() as connection:
        connection.execute(text("alter table compliance.list_wallets rename to list_wallets_away"))
    found = world.screener.screen_wallet(WALLET, "ethereum")
    assert (found.outcome, WALLET in (found.reason or "")) == ("error", False)


def test_screen_user__stores_hits_with_reasons_and_opens_one_case(world: World) -> None:
    version = world.load()
    user_id = world.customer("a", "Otto Quistmeyer", date(1999, 1, 1))
    first = world.screen(user_id)
    assert (first.outcome, first.new_hits, first.hits[0].state) == ("hit", 1, HitState.OPEN)
    second = world.screen(user_id)
    assert (second.new_hits, second.case_id) == (0, first.case_id)
    cases = world.rows("select case_id, priority, state, title, user_id from compliance.cases")
    assert [(row.priority, row.user_id) for row in cases] == [("urgent", user_id)]
    stored = world.rows("select * from compliance.screening_hits order by screening_id")
    assert len(stored) == 2
    assert {(row.list_version_id, row.entry_id, row.case_id) for row in stored} == {(version, "q1", first.case_id)}
    said = json.dumps([*stored[0].reasons, cases[0].title])
    assert "1999" not in said
    assert "another date of birth" in said


def test_screen_user__a_politically_exposed_person_is_a_case_without_hurry(world: World) -> None:
    world.load()
    assert world.screen(world.customer("b", "Isolde Brackwater")).outcome == "hit"
    assert [row.priority for row in world.rows("select priority from compliance.cases")] == ["normal"]


def test_screen_user__clear_is_a_decision_in_the_record(world: World) -> None:
    version = world.load()
    user_id = world.customer("c", "Gundula Obermeier")
    record = world.screen(user_id)
    assert (record.outcome, record.case_id, record.hits) == ("clear", None, ())
    decisions = world.rows("select subject_id, outcome, list_versions, evidence from compliance.decisions")
    assert [(row.subject_id, row.outcome, row.list_versions) for row in decisions] == [
        (user_id, "clear", {"sample": version})
    ]
    assert decisions[0].evidence["screening_id"] == record.screening_id
    with world.engine.connect() as connection:
        verify(connection)


def test_screen_user__what_could_not_be_screened_is_stored_as_error_and_decides_nothing(world: World) -> None:
    world.load()
    record = world.screen(world.customer("d", "?!"))
    assert record.outcome == "error"
    assert [row.outcome for row in world.rows("select outcome from compliance.screenings")] == ["error"]
    assert world.rows("select 1 from compliance.decisions") == []


def test_memory__a_cleared_hit_stays_cleared_until_its_day(world: World) -> None:
    world.load()
    user_id = world.customer("a", "Otto Quistmeyer")
    first = world.screen(user_id)
    world.clear(first.case_id or "")
    again = world.screen(user_id)
    assert (again.outcome, again.hits[0].state, again.new_hits) == ("clear", HitState.REMEMBERED, 0)
    stored = world.rows("select * from compliance.screening_hits where state = 'remembered'")[0]
    assert (stored.decided_by, stored.decision_reason) == ("olga", "another person")
    assert first.hits[0].hit_id in stored.reasons[0]
    world.clock.advance(timedelta(days=world.policy.screening.clear_days))
    late = world.screen(user_id)
    assert (late.outcome, late.hits[0].state, late.new_hits) == ("hit", HitState.OPEN, 1)
    assert late.case_id != first.case_id


def test_memory__a_changed_entry_asks_again(world: World) -> None:
    world.load()
    user_id = world.customer("a", "Otto Quistmeyer")
    world.clear(world.screen(user_id).case_id or "")
    world.load(q1={**LISTED["q1"], "nationality": ["de"]})
    again = world.screen(user_id)
    assert (again.outcome, again.new_hits) == ("hit", 1)


def test_memory__is_of_the_person_and_not_of_a_namesake(world: World) -> None:
    world.load()
    world.clear(world.screen(world.customer("a", "Otto Quistmeyer")).case_id or "")
    assert world.screen(world.customer("b", "Otto Quistmeyer")).new_hits == 1


def test_memory__a_cleared_hit_does_not_hide_a_new_one(world: World) -> None:
    world.load()
    user_id = world.customer("a", "Otto Quistmeyer")
    world.clear(world.screen(user_id).case_id or "")
    world.load(q3={"name": ["Otto Quistmeyer"], "topics": ["sanction"]})
    again = world.screen(user_id)
    assert (again.outcome, again.new_hits) == ("hit", 1)
    assert {hit.hit.entry_id: hit.state for hit in again.hits} == {"q1": HitState.REMEMBERED, "q3": HitState.OPEN}


def test_memory__a_confirmed_hit_stays_a_hit_and_opens_no_second_case(world: World) -> None:
    world.load()
    user_id = world.customer("a", "Otto Quistmeyer")
    world.clear(world.screen(user_id).case_id or "", "confirmed")
    again = world.screen(user_id)
    assert (again.outcome, again.hits[0].state, again.new_hits) == ("hit", HitState.CONFIRMED, 0)
    assert len(world.rows("select 1 from compliance.cases")) == 1


def test_rescreen__new_customers_in_full_and_others_against_what_changed(world: World) -> None:
    world.load()
    otto = world.customer("a", "Otto Quistmeyer")
    quentin = world.customer("b", "Quentin Dallimore")
    for number in range(5):
        world.customer(f"c{number}", f"Gundula Obermeier{'abcde'[number]}")
    first = world.rescreen()
    assert (first.customers, first.screened, first.new_hits, first.errors) == (7, 7, 1, 0)
    quiet = world.rescreen()
    assert (quiet.screened, quiet.delta_entries, quiet.new_hits) == (0, 0, 0)
    world.load(q3={"name": ["Quentin Dallimore"], "topics": ["sanction"]})
    found = world.rescreen()
    assert (found.delta_entries, found.screened, found.new_hits) == (1, 1, 1)
    cases = world.rows("select user_id from compliance.cases order by opened_at")
    assert [row.user_id for row in cases] == [otto, quentin]
    world.load(q1={**LISTED["q1"], "nationality": ["de"]})
    assert (world.rescreen().new_hits, world.rescreen().screened) == (1, 0)
    with world.engine.connect() as connection:
        verify(connection)


def test_rescreen__cut_off_in_the_middle_goes_on_and_tells_nobody_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.load()
    for number in range(4):
        world.customer(f"c{number}", "Otto Quistmeyer")
    screen_user, calls = Screener.screen_user, []

    def killed(self: Screener, *arguments: Any) -> ScreeningRecord:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return screen_user(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Screener, "screen_user", killed)
        with pytest.raises(KeyboardInterrupt):
            world.rescreen()
    rest = world.rescreen()
    assert (rest.customers, rest.screened, rest.new_hits) == (4, 2, 2)
    assert len(world.rows("select 1 from compliance.cases")) == 4


def test_rescreen__who_could_not_be_screened_is_tried_again(world: World) -> None:
    world.load()
    world.customer("d", "?!")
    assert world.rescreen().errors == 1
    again = world.rescreen()
    assert (again.screened, again.errors) == (1, 1)


def test_rescreen__a_clearance_that_ran_out_is_asked_again(world: World) -> None:
    world.load()
    user_id = world.customer("a", "Otto Quistmeyer")
    world.clear(world.screen(user_id).case_id or "")
    assert world.rescreen().screened == 0
    world.clock.advance(timedelta(days=world.policy.screening.clear_days))
    assert world.rescreen().new_hits == 1
    assert world.rescreen().screened == 0


def test_rescreen__a_customer_screened_by_an_older_version_is_not_forgotten(world: World) -> None:
    world.load()
    late = world.customer("b", "Quentin Dallimore")
    world.screen(late)
    world.load(q3={"name": ["Quentin Dallimore"], "topics": ["sanction"]})
    assert world.rescreen().new_hits == 1


def test_rescreen__without_a_list_is_not_ready(world: World) -> None:
    world.customer("a", "Otto Quistmeyer")
    with pytest.raises(ComplianceNotReadyError):
        world.rescreen()


def test_errors_and_reprs__hold_no_names(world: World) -> None:
    world.load()
    record = world.screen(world.customer("a", "Otto Quistmeyerr"))
    assert "Quistmeyerr" not in repr(record)
    everything = world.rows(
        "select cast(h as text) as words from compliance.screening_hits as h"
        " union all select cast(s as text) from compliance.screenings as s"
        " union all select cast(e as text) from compliance.case_events as e"
        " union all select cast(c as text) from compliance.cases as c"
        " union all select cast(message as text) from compliance.outbox"
    )
    assert everything
    assert not [row for row in everything if "quistmeyerr" in row.words.lower()]

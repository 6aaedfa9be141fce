"""Margin events are kept once and published at least once, whoever dies when."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerting.events import MarginEvent, Severity
from alerting.margin.decision import decide
from alerting.margin.store import candidates, publish_outbox, write_events
from alerting.margin.watch import look
from infra.runtime.bigquery import Appended
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError

pytestmark = pytest.mark.embedded


class Killed(BaseException):
    """Stands for the end of the process."""


@dataclass
class Dying:
    """A warehouse or publisher of a process that ends before (or after) it publishes or records."""

    real: Any
    dies_in: str
    done_before: bool = False

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return list(self.real.query(sql, parameters))

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        if self.dies_in == "record":
            raise Killed
        return Appended(**vars(self.real.append(table_id, rows, row_ids)))

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        if self.dies_in == "publish":
            raise Killed
        return list(self.real.publish_all(topic, messages))


def decided(margin: Any) -> list[MarginEvent]:
    found = [decide(c.health, c.last, margin.clock) for c in candidates(margin.warehouse).candidates]
    return [event for event in found if event is not None]


def test_look__keeps_and_publishes_each_transition_once(margin: Any) -> None:
    margin.set_health(
        ("a", "margin_call", "20"), ("b", "healthy", "90"), ("c", "unpriced", None), ("d", "no_debt", None)
    )
    seen = look(margin.warehouse, margin.publisher, margin.clock)
    assert [(event.account_id, event.severity) for event in seen.decided] == [
        ("a", Severity.MARGIN_CALL),
        ("c", Severity.UNPRICED),
    ]
    again = look(margin.warehouse, margin.publisher, margin.clock)
    assert (again.decided, again.published) == ([], [])
    row, unpriced = margin.kept()
    assert (row["health_pct"], row["borrow_usd"], row["threshold_pct"]) == (Decimal(20), Decimal(100), Decimal(30))
    assert (row["price_ids"], row["detected_at"], row["is_simulated"]) == ("px_1,px_2", margin.clock.now(), True)
    assert unpriced["health_pct"] is None
    assert sorted(margin.published()) == sorted(seen.published)
    assert {event.margin_event_id for event in margin.pull(2)} == set(seen.published)


def test_look__follows_an_episode_to_its_end_with_hysteresis(margin: Any) -> None:
    told = []
    for status, health in (
        ("margin_call", "29"),
        ("liquidation", "14"),
        ("margin_call", "16"),
        ("healthy", "31"),
        ("healthy", "33"),
        ("margin_call", "29"),
    ):
        margin.set_health(("a", status, health))
        margin.clock.advance(timedelta(seconds=1))
        told += [str(event.severity) for event in look(margin.warehouse, margin.publisher, margin.clock).decided]
    assert told == ["margin_call", "liquidation", "margin_call", "recovered", "margin_call"]
    rows = margin.kept()
    assert [row["transition_number"] for row in rows] == [1, 2, 3, 4, 5]
    assert len({row["episode_id"] for row in rows[:4]}) == 1
    assert rows[4]["episode_id"] != rows[0]["episode_id"]


def test_write__repeated_keeps_the_first(margin: Any) -> None:
    margin.set_health(("a", "margin_call", "20"))
    [event] = decided(margin)
    write_events(margin.warehouse, [event])
    write_events(margin.warehouse, [event.model_copy(update={"health_pct": Decimal(5)})])
    [row] = margin.kept()
    assert row["health_pct"] == 20


def test_write__of_nothing_asks_nothing(margin: Any) -> None:
    write_events(Dying(None, "query"), [])
    assert margin.kept() == []


def test_write__two_writers_from_the_same_state_keep_one_event(margin: Any) -> None:
    margin.set_health(*[(f"a{number}", "margin_call", "20") for number in range(5)])
    together = threading.Barrier(4)

    def race(number: int) -> None:
        events = decided(margin)
        together.wait(60)
        write_events(margin.warehouse, [e.model_copy(update={"health_pct": Decimal(number)}) for e in events])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(race, range(4)))
    rows = margin.kept()
    assert [row["account_id"] for row in rows] == [f"a{number}" for number in range(5)]
    assert len({row["margin_event_id"] for row in rows}) == 5


def test_look__two_at_once_announce_each_transition_under_one_id(margin: Any) -> None:
    margin.set_health(*[(f"a{number}", "liquidation", "1") for number in range(5)])
    together = threading.Barrier(2)

    def race(_: int) -> None:
        together.wait(60)
        look(margin.warehouse, margin.publisher, margin.clock)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(race, range(2)))
    assert len(margin.kept()) == 5
    assert set(margin.published()) == {row["margin_event_id"] for row in margin.kept()}


def test_outbox__a_process_that_dies_before_publishing_leaves_it_to_the_next(margin: Any) -> None:
    margin.set_health(("a", "margin_call", "20"))
    with pytest.raises(Killed):
        look(margin.warehouse, Dying(margin.publisher, "publish"), margin.clock)
    [row] = margin.kept()
    assert margin.published() == []
    seen = look(margin.warehouse, margin.publisher, margin.clock)
    assert seen.decided == []
    assert list(seen.published) == margin.published() == [row["margin_event_id"]]
    [event] = margin.pull(1)
    assert event.margin_event_id == row["margin_event_id"]
    assert event.to_wire().decode() == row["message"]


def test_outbox__a_process_that_dies_before_recording_publishes_again_under_the_same_id(margin: Any) -> None:
    margin.set_health(("a", "margin_call", "20"))
    with pytest.raises(Killed):
        look(Dying(margin.warehouse, "record"), margin.publisher, margin.clock)
    assert margin.published() == []
    look(margin.warehouse, margin.publisher, margin.clock)
    first, second = margin.pull(2)
    assert first == second
    assert margin.published() == [first.margin_event_id]
    assert publish_outbox(margin.warehouse, margin.publisher, margin.clock) == []


def test_outbox__waits_while_pubsub_is_away(margin: Any) -> None:
    class Away:
        def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
            raise NotReadyError("Pub/Sub is away")

    margin.set_health(("a", "margin_call", "20"))
    with pytest.raises(NotReadyError):
        look(margin.warehouse, Away(), margin.clock)
    later = FixedClock(margin.clock.now() + timedelta(days=2))
    assert len(look(margin.warehouse, margin.publisher, later).published) == 1


def test_candidates__come_in_pages_that_leave_none_out(margin: Any) -> None:
    margin.set_health(*[(f"a{number}", "margin_call", "20") for number in range(5)])
    found: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page = candidates(margin.warehouse, after, max_rows=2)
        found += [candidate.health.account_id for candidate in page.candidates]
        after, pages = page.last_account_id, pages + 1
    assert found == [f"a{number}" for number in range(5)]
    assert pages == 3


def test_candidates__an_unpriced_account_that_owes_nothing_is_none(margin: Any) -> None:
    margin.set_health(("a", "unpriced", None), ("b", "unpriced", None))
    margin.warehouse.query("update risk.margin_health set has_borrow = false where account_id = 'a'")
    [found] = candidates(margin.warehouse).candidates
    assert found.health.account_id == "b"


def test_look__an_early_warning_comes_goes_and_gives_way_to_a_call(margin: Any) -> None:
    told = []
    for status, health, early_warning_pct in (
        ("healthy", "70", "60"),
        ("healthy", "59", "60"),
        ("healthy", "61", "60"),
        ("margin_call", "29", "60"),
        ("healthy", "45", "60"),
        ("healthy", "63", "60"),
        ("healthy", "50", None),
        ("healthy", "50", "60"),
        ("healthy", "50", None),
    ):
        margin.set_health(("a", status, health), early_warning_pct=early_warning_pct)
        margin.clock.advance(timedelta(seconds=1))
        decisions = look(margin.warehouse, margin.publisher, margin.clock).decided
        told.append([(str(event.severity), event.threshold_pct) for event in decisions])
    sixty, thirty = Decimal(60), Decimal(30)
    assert told == [
        [],
        [("early_warning", sixty)],
        [],
        [("margin_call", thirty)],
        [("early_warning", thirty)],
        [("recovered", sixty)],
        [],
        [("early_warning", sixty)],
        [("recovered", thirty)],
    ]


def test_candidates__an_account_that_was_warned_is_none_until_something_changes(margin: Any) -> None:
    margin.set_health(("a", "healthy", "59"), early_warning_pct="60")
    look(margin.warehouse, margin.publisher, margin.clock)
    assert candidates(margin.warehouse).candidates == []

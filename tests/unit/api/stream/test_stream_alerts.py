"""The log of alerts: numbers, overlap, what a place says, and what it forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from api.stream.alerts import AlertLog, AlertSource
from api.stream.policy import StreamPolicy
from api.stream.repository import AlertRow
from api.stream.resume import MAX_DIGESTS, digest_of
from infra.runtime.clock import FixedClock

MINUTE = timedelta(minutes=1)


def _row(event_id: str, at: datetime) -> AlertRow:
    return AlertRow(event_id, "acct-1", at, "{}")


def test_log__keeps_each_alert_once_in_order_of_arrival(clock: FixedClock) -> None:
    now = clock.now()
    log = AlertLog(now - 15 * MINUTE, 100)
    assert log.add([_row("b", now), _row("b", now)]) == 1
    assert log.add([_row("a", now - MINUTE), _row("b", now)]) == 1
    assert [log.at(number).row.margin_event_id for number in (0, 1)] == ["b", "a"]


def test_place__names_unsettled_alerts_before_it_and_stays_before_those_behind_it(clock: FixedClock) -> None:
    now = clock.now()
    log = AlertLog(now - 15 * MINUTE, 100)
    log.add([_row("old", now - 16 * MINUTE), _row("early", now - 14 * MINUTE), _row("waits", now - 13 * MINUTE)])
    log.settle(now)
    behind_all, before_last = log.place(3), log.place(2)
    assert (behind_all.settled_at, behind_all.digests) == (now, ())
    assert before_last.settled_at == now - 15 * MINUTE
    assert before_last.digests == (digest_of("early"),)


def test_place__names_at_most_64_alerts_the_newest_ones(clock: FixedClock) -> None:
    log = AlertLog(clock.now(), 1_000)
    log.add([_row(f"event-{number}", clock.now()) for number in range(100)])
    assert log.place(100).digests == tuple(digest_of(f"event-{number}") for number in range(100 - MAX_DIGESTS, 100))


def test_log__drops_the_oldest_beyond_its_size(clock: FixedClock) -> None:
    log = AlertLog(clock.now(), 4)
    log.add([_row(f"event-{number}", clock.now()) for number in range(20)])
    assert (log.base, log.end) == (16, 20)
    assert not log.holds(15)
    assert log.holds(16)
    assert log.holds(20)
    assert not log.holds(21)
    assert log.at(16).row.margin_event_id == "event-16"
    assert log.add([_row("event-3", clock.now())]) == 0


@pytest.fixture
def looks(book: Any, clock: FixedClock, quick: StreamPolicy) -> Callable[[StreamPolicy, int], AlertSource]:
    """Make a source read a number of pages, and give it."""

    def look(policy: StreamPolicy, times: int) -> AlertSource:
        async def live() -> AlertSource:
            source = AlertSource(book, clock, policy, lambda: None)
            for _ in range(times):
                read = source.plan()
                source.apply(await asyncio.get_running_loop().run_in_executor(None, read))
            return source

        return anyio.run(live)

    return look


def test_source__reads_the_short_overlap_between_the_deep_ones(
    looks: Callable[..., AlertSource], quick: StreamPolicy, book: Any, clock: FixedClock
) -> None:
    looks(replace(quick, deep_read_s=3600.0), 2)
    since = [given["since"] for _, given in book.asked]
    assert since == [clock.now() - 15 * MINUTE, clock.now() - timedelta(seconds=30)]
    assert all(given["is_every_account"] for _, given in book.asked)


def test_source__goes_on_behind_a_full_page(
    looks: Callable[..., AlertSource], quick: StreamPolicy, book: Any, clock: FixedClock
) -> None:
    for number in range(5):
        book.put_alert(f"event-{number}", at=clock.now())
    source = looks(replace(quick, alert_page=2), 3)
    assert [source.log.at(number).row.margin_event_id for number in range(5)] == [f"event-{n}" for n in range(5)]


def test_source__covers_a_pause_and_begins_anew_after_a_long_one(
    quick: StreamPolicy, book: Any, clock: FixedClock
) -> None:
    async def live() -> None:
        source = AlertSource(book, clock, quick, lambda: None)
        source.subscribers = 1
        source.apply(source.plan()())
        epoch = source.log.epoch
        source.subscribers = 0
        book.put_alert("in-the-pause", at=clock.now())
        clock.advance(59 * MINUTE)
        source.subscribers = 1
        source.apply(source.plan()())
        assert (source.log.epoch, source.log.end) == (epoch, 1)
        source.subscribers = 0
        clock.advance(61 * MINUTE)
        source.subscribers = 1
        assert source.log.epoch != epoch
        source.apply(source.plan()())
        assert source.log.end == 0

    anyio.run(live)


def test_source__keeps_its_log_under_subscribers_through_a_long_outage(
    quick: StreamPolicy, book: Any, clock: FixedClock
) -> None:
    async def live() -> None:
        source = AlertSource(book, clock, quick, lambda: None)
        source.subscribers = 1
        book.put_alert("before", at=clock.now())
        source.apply(source.plan()())
        log = source.log
        source.plan()
        book.put_alert("in-the-outage", at=clock.now())
        clock.advance(70 * MINUTE)
        source.apply(source.plan()())
        source.apply(source.plan()())
        assert source.log is log
        assert [log.at(number).row.margin_event_id for number in range(log.end)] == ["before", "in-the-outage"]

    anyio.run(live)

"""The queue of reports: order, back-off, giving up and its bound."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.embedded.inbox import callback_queue
from infra.embedded.inbox.callback_queue import CallbackQueue, DueCallback, retry_delay_s
from infra.embedded.inbox.database import Database
from infra.embedded.inbox.models import Callback, CallbackProvider

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:9"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "inbox")
    yield database
    database.close()


@pytest.fixture
def queue(database: Database) -> CallbackQueue:
    return CallbackQueue(database)


def report(key: str, body: str, delay_s: float = 0.0, url: str = f"{ORIGIN}/cb?x=1") -> Callback:
    return Callback(CallbackProvider.TWILIO, url, key, body, delay_s)


def keep(database: Database, queue: CallbackQueue, *reports: Callback, at: datetime = START) -> None:
    with database.transaction() as connection:
        queue.add(connection, reports, at)


def due(queue: CallbackQueue, after_s: float = 0.0, limit: int = 10) -> list[DueCallback]:
    return queue.due(ORIGIN, START + timedelta(seconds=after_s), limit)


def test_due__of_a_message_only_the_earliest_and_nothing_too_soon(database: Database, queue: CallbackQueue) -> None:
    keep(database, queue, report("a", "sent", 0.1), report("a", "delivered", 0.4), report("b", "sent", 0.2))
    assert due(queue) == []
    assert [each.body for each in due(queue, 1)] == ["sent", "sent"]
    queue.settle(due(queue, 1), [], START)
    assert [each.body for each in due(queue, 1)] == ["delivered"]


def test_due__a_refused_report_holds_back_the_next_of_its_message(database: Database, queue: CallbackQueue) -> None:
    keep(database, queue, report("a", "sent"), report("a", "delivered"))
    queue.settle([], due(queue), START)
    assert due(queue, 0.4) == []
    assert [(each.body, each.attempts) for each in due(queue, 0.5)] == [("sent", 1)]


def test_retry_delay__doubles_to_a_minute() -> None:
    assert [retry_delay_s(n) for n in (0, 1, 2, 6, 7, 500)] == [0.5, 1.0, 2.0, 32.0, 60.0, 60.0]


def test_give_up__after_an_hour_and_not_before(database: Database, queue: CallbackQueue) -> None:
    keep(database, queue, report("old", "sent"))
    keep(database, queue, report("new", "sent"), at=START + timedelta(seconds=1))
    assert queue.give_up(START + timedelta(hours=1)) == 0
    assert queue.give_up(START + timedelta(hours=1, milliseconds=500)) == 1
    assert [each.id for each in due(queue, 3600)] == [2]


def test_origins__are_known_after_a_restart(database: Database, queue: CallbackQueue) -> None:
    keep(database, queue, report("a", "sent", url="https://user:word@api.example:8443/cb"))
    assert queue.origins == ("https://api.example:8443",)
    assert CallbackQueue(database).origins == queue.origins


def test_add__beyond_the_bound_nothing_is_kept(
    database: Database, queue: CallbackQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_queue, "MAX_WAITING", 3)
    keep(database, queue, *(report(str(n), "sent") for n in range(3)))
    keep(database, queue, report("more", "sent"))
    assert queue.waiting() == 3
    queue.settle(due(queue)[1:], [], START)
    keep(database, queue, report("more", "sent"))
    assert queue.waiting() == 2

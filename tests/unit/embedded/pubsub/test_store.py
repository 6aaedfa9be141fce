"""The SQLite store and group commit: all or nothing, ids that only rise, and nothing kept that nobody needs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from infra.embedded.pubsub.commit import GroupCommit, store_refusal
from infra.embedded.pubsub.model import Pending, PubsubError, invalid
from infra.embedded.pubsub.store import FILE_NAME, Store, StoreInUseError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path)) as opened:
        yield opened


def add(store: Store, topic: int, subscriptions: list[int], *message_ids: int, is_retained: bool = False) -> None:
    with store.transaction():
        store.add_messages(topic, is_retained, [(Pending(i, "", 1), b"%d" % i) for i in message_ids])
        for subscription in subscriptions:
            store.add_deliveries(subscription, message_ids)


def left(store: Store, table: str = "messages") -> int:
    with closing(sqlite3.connect(store.path)) as db:
        return int(db.execute(f"select count(*) from {table}").fetchone()[0])


def test_transaction__keeps_nothing_of_a_failure(store: Store) -> None:
    def write_and_fail() -> None:
        with store.transaction():
            store.add_topic("a", b"")
            store.next_message_id(1_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert store.topics() == []
    assert store.last_message_id == 0


def test_next_message_id__rises_even_if_the_clock_goes_back(store: Store) -> None:
    assert [store.next_message_id(now) for now in (100, 100, 50, 200)] == [100, 101, 102, 200]


def test_next_message_id__rises_across_restarts_without_messages(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as first, first.transaction():
        first.next_message_id(1_000_000)
    with closing(Store(tmp_path)) as second:
        assert second.next_message_id(5) == 1_000_001


def test_settle__drops_a_message_when_the_last_subscription_is_done(store: Store) -> None:
    add(store, 1, [1, 2], 10, 11)
    store.settle(1, [10, 11], keep=False)
    assert left(store) == 2
    store.settle(2, [10], keep=False)
    assert left(store) == 1
    assert [p.message_id for p in store.pending(2, 0, 10)] == [11]


def test_settle__keeps_what_a_topic_or_a_subscription_retains(store: Store) -> None:
    add(store, 1, [1], 10, is_retained=True)
    add(store, 1, [1], 11)
    store.settle(1, [10], keep=False)
    store.settle(1, [11], keep=True)
    assert left(store) == 2
    assert store.purge_topic(1, 11, 10) == 1
    assert store.purge_subscription(1, 12, 10) == ([], True)
    assert left(store) == 0


def test_purge__goes_in_portions_and_says_when_all_went(store: Store) -> None:
    add(store, 1, [1], *range(10, 15))
    assert store.purge_subscription(1, 14, 3) == ([10, 11, 12], False)
    assert store.purge_subscription(1, 14, 3) == ([13], True)
    assert left(store) == 1


def test_purge_doomed__clears_a_deleted_subscription(store: Store) -> None:
    subscription = store.add_subscription("s", b"")
    add(store, 1, [subscription], *range(10, 15))
    store.delete_subscription(subscription)
    while store.purge_doomed(2):
        pass
    assert (left(store), left(store, "deliveries")) == (0, 0)


def test_subscription_ids__are_not_used_again(store: Store) -> None:
    first = store.add_subscription("s", b"")
    store.delete_subscription(first)
    assert store.add_subscription("s", b"") > first


def test_store__is_opened_by_one_process_at_a_time(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreInUseError, match="in use by another"):
        Store(tmp_path)


def test_checkpoint__moves_what_was_written_into_the_main_file(store: Store) -> None:
    add(store, 1, [1], 10)
    store.checkpoint()
    main = store.path.read_bytes()
    assert b"deliveries_of_message" in main
    assert len(main) > 4096
    assert store.path.name == FILE_NAME


def test_commit__refuses_the_culprit_only(store: Store) -> None:
    async def scenario() -> list[object]:
        commit = GroupCommit(store)

        def fail() -> int:
            store.add_topic("never", b"")
            raise invalid("wrong")

        jobs = [
            commit.run(lambda: store.add_topic("a", b"")),
            commit.run(fail),
            commit.run(lambda: store.add_topic("a", b"")),
            commit.run(lambda: store.add_topic("b", b"")),
        ]
        return list(await asyncio.gather(*jobs, return_exceptions=True))

    first, second, third, fourth = asyncio.run(scenario())
    assert isinstance(second, PubsubError)
    assert isinstance(third, sqlite3.IntegrityError)
    assert [topic_id for topic_id, _ in store.topics()] == [first, fourth]


def test_commit__writes_what_came_together_in_one_transaction(store: Store) -> None:
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)

    async def scenario() -> None:
        commit = GroupCommit(store)
        await asyncio.gather(*(commit.run(partial(store.add_topic, name, b"")) for name in "abc"))

    asyncio.run(scenario())
    assert statements.count("commit") == 1
    assert len(store.topics()) == 3


def test_commit__tells_the_outcome_even_if_the_caller_was_cancelled(store: Store) -> None:
    outcomes: list[str] = []

    async def scenario() -> None:
        commit = GroupCommit(store)
        good = asyncio.create_task(commit.run(lambda: store.add_topic("a", b""), lambda _: outcomes.append("then")))
        bad = asyncio.create_task(commit.run(lambda: store.add_topic("a", b""), undo=lambda: outcomes.append("undo")))
        await asyncio.sleep(0)
        good.cancel()
        bad.cancel()
        await asyncio.gather(good, bad, return_exceptions=True)

    asyncio.run(scenario())
    assert outcomes == ["then", "undo"]


def test_commit__an_error_after_the_commit_does_not_write_again(store: Store) -> None:
    async def scenario() -> None:
        commit = GroupCommit(store)

        def then(_topic_id: int) -> None:
            raise ZeroDivisionError

        await asyncio.gather(
            commit.run(lambda: store.add_topic("a", b""), then), commit.run(lambda: store.add_topic("b", b""))
        )

    asyncio.run(scenario())
    assert len(store.topics()) == 2


def test_commit__knows_whether_the_store_can_be_written(store: Store) -> None:
    async def scenario() -> list[bool]:
        commit = GroupCommit(store)
        seen = [commit.is_writable]
        store._db.execute("pragma query_only = on")
        with pytest.raises(sqlite3.OperationalError):
            await commit.run(lambda: store.add_topic("a", b""))
        seen.append(commit.is_writable)
        store._db.execute("pragma query_only = off")
        await commit.run(store.probe)
        return [*seen, commit.is_writable]

    assert asyncio.run(scenario()) == [True, False, True]


@pytest.mark.parametrize(
    ("reason", "status"),
    [("database or disk is full", "RESOURCE_EXHAUSTED"), ("disk I/O error", "UNAVAILABLE")],
)
def test_store_refusal__says_that_nothing_was_kept(reason: str, status: str) -> None:
    refusal = store_refusal(sqlite3.OperationalError(reason))
    assert refusal.status.name == status
    assert "nothing was kept" in refusal.message

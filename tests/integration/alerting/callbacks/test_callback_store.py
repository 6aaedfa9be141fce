"""Callbacks applied to the ledger: in every order, in bursts, at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from alerting.callbacks import sendgrid
from alerting.callbacks.outcomes import Provider
from alerting.callbacks.store import Applied, Callback, apply
from infra.runtime.clock import FixedClock

Make = Callable[..., dict[str, Any]]
PATIENCE_S = 30.0


def read(events: list[dict[str, Any]]) -> list[Callback]:
    return sendgrid.read(json.dumps(events).encode())


@pytest.mark.parametrize(
    ("reports", "after"),
    [
        ([("processed", 0), ("delivered", 1), ("deferred", 0)], "delivered"),
        ([("processed", 0), ("delivered", 1), ("bounce", 9)], "failed"),
        ([("processed", 0), ("bounce", 1), ("delivered", 9)], "delivered"),
        ([("processed", 5), ("bounce", 1)], "failed"),
        ([("delivered", 1), ("dropped", 2), ("processed", 1)], "delivered"),
    ],
)
def test_apply__ends_the_same_in_every_order_and_batch(
    engine: Engine,
    clock: FixedClock,
    book: Any,
    mail_event: Make,
    reports: list[tuple[str, int]],
    after: str,
) -> None:
    orders = list(permutations(reports))
    keys = [f"ntf_{number}" for number in range(2 * len(orders))]
    book.plan(*keys)
    for number, (key, order) in enumerate(zip(keys, [*orders, *orders], strict=True)):
        body = [mail_event(kind, key, second) for kind, second in order]
        for batch in [body] if number < len(orders) else [[each] for each in body]:
            apply(engine, clock, read(batch))
            clock.advance(timedelta(seconds=20))
    assert {book.state(key) for key in keys} == {after}
    assert book.pending() == []


def test_apply__a_burst_is_a_few_statements(engine: Engine, clock: FixedClock, book: Any, mail_event: Make) -> None:
    keys = [f"ntf_{number:04}" for number in range(500)]
    book.execute(
        "insert into alerting.notifications (notification_id, event_id, channel, recipient, severity, episode_id,"
        " detected_at, created_at) select 'ntf_' || lpad(n::text, 4, '0'), 'evt_' || n, 'email', 'ct', 'margin_call',"
        " 'mep', :at, :at from generate_series(0, 499) as n",
        at=clock.now(),
    )
    callbacks = read([mail_event(kind, key) for key in keys for kind in ("processed", "delivered")])
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    try:
        applied = apply(engine, clock, callbacks)
    finally:
        event.remove(engine, "before_cursor_execute", count)
    assert applied == Applied(recorded=1000, changed=500)
    assert len(statements) <= 6
    assert book.rows("select terminal_state, count(*) from alerting.notifications group by 1") == [("delivered", 500)]
    states = book.rows("select state, count(*) from alerting.notification_states group by 1 order by 1")
    assert states == [("accepted", 500), ("delivered", 500)]


def test_apply__the_same_bursts_at_once_in_any_order_are_applied_once(
    engine: Engine, clock: FixedClock, book: Any, mail_event: Make
) -> None:
    keys = [f"ntf_{number}" for number in range(40)]
    book.plan(*keys)
    body = [mail_event(kind, key) for key in keys for kind in ("processed", "delivered")]
    batches = [body, body[::-1], body[40:] + body[:40], body[::2] + body[1::2]]
    with ThreadPoolExecutor(len(batches)) as pool:
        applied = list(pool.map(lambda batch: apply(engine, clock, read(batch)), batches))
    assert sum(each.recorded for each in applied) == len(body)
    assert {tuple(book.history(key)) for key in keys} == {("accepted", "delivered")}
    assert book.pending() == []


def test_apply__survives_a_deadlock(
    engine: Engine, clock: FixedClock, book: Any, mail_event: Make, wait: Callable[[Callable[[], bool]], None]
) -> None:
    book.plan("ntf_a", "ntf_b")
    callbacks = read([mail_event("delivered", "ntf_a"), mail_event("delivered", "ntf_b")])
    touch = text("update alerting.pending set attempts = 2 where notification_id = :key")
    with ThreadPoolExecutor(1) as pool, engine.connect() as other:
        other.execute(touch, {"key": "ntf_b"})
        under_way = pool.submit(apply, engine, clock, callbacks)
        wait(lambda: book.rows("select count(*) from pg_locks where not granted") == [(1,)])
        # PostgreSQL ends the one that has waited for a second first: the callbacks.
        other.execute(touch, {"key": "ntf_a"})
        other.commit()
        assert under_way.result(PATIENCE_S) == Applied(recorded=2, changed=2)
    assert (book.state("ntf_a"), book.state("ntf_b"), book.pending()) == ("delivered", "delivered", [])


def test_apply__nothing_is_nothing(engine: Engine, clock: FixedClock) -> None:
    assert apply(engine, clock, []) == Applied()
    recorded = Callback("c", Provider.TWILIO, None, "sent", None, None)
    assert apply(engine, clock, [recorded, recorded]) == Applied(recorded=1)
    assert apply(engine, clock, [recorded]) == Applied()

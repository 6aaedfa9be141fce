"""How long messages are kept, and going to a time in the backlog."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import timedelta
from typing import Any

DAY = 86_400


def test_seek__forward_acknowledges_what_is_older(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "old")
    clocked.advance(60)
    middle = clocked.clock.now()
    clocked.advance(60)
    clients.send(topic, "new")
    clients.subscriber.seek(request={"subscription": name, "time": middle})
    assert clients.bodies(name) == ["new"]
    assert clients.pull_now(name) == []


def test_seek__back_brings_acknowledged_messages_that_the_subscription_retains(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic()
    name = clients.subscription(topic, retain_acked_messages=True)
    clients.send(topic, "a")
    clocked.advance(60)
    middle = clocked.clock.now()
    clients.send(topic, "b", "c")
    assert clients.bodies(name) == ["a", "b", "c"]
    clients.subscriber.seek(request={"subscription": name, "time": middle})
    assert clients.bodies(name) == ["b", "c"]
    clients.subscriber.seek(request={"subscription": name, "time": middle - timedelta(hours=1)})
    assert clients.bodies(name) == ["a", "b", "c"]


def test_seek__back_brings_what_the_topic_retains_through_the_filter(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic(message_retention_duration={"seconds": DAY})
    before = clocked.clock.now() - timedelta(seconds=1)
    clients.send(topic, "early", kind="draw")
    clients.send(topic, "other", kind="deposit")
    name = clients.subscription(topic, filter='attributes.kind = "draw"')
    described = clients.subscriber.get_subscription(subscription=name)
    assert described.topic_message_retention_duration == timedelta(days=1)
    clients.subscriber.seek(request={"subscription": name, "time": before})
    assert clients.bodies(name) == ["early"]


def test_retention__is_seven_days_and_survives_no_longer(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    kept = clients.subscription(topic, message_retention_duration={"seconds": 30 * DAY})
    clients.send(topic, "a")
    process.kill()
    _age(process.data_dir, 8 * DAY)
    process.start()
    clients = connect(process.address)
    clients.send(topic, "b")
    assert clients.drain(kept, 2) == ["a", "b"]
    assert clients.bodies(name) == ["b"]
    assert clients.pull_now(name) == []


def _age(data_dir: Any, seconds: int) -> None:
    """Make everything in the store older, as if the server had been down for so long."""
    shift = seconds * 1_000_000
    with contextlib.closing(sqlite3.connect(f"{data_dir}/pubsub.sqlite3")) as db:
        db.execute("update messages set id = id - ?", (shift,))
        db.execute("update deliveries set message_id = message_id - ?", (shift,))
        db.commit()

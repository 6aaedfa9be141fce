"""Publish: what gets an id, and what is refused whole."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient as GapicPublisher
from google.pubsub_v1 import types


def publish(clients: Any, topic: str, messages: list[dict[str, Any]]) -> list[str]:
    request = types.PublishRequest(topic=topic, messages=messages)
    return list(GapicPublisher.publish(clients.publisher, request, retry=None, timeout=30).message_ids)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"ordering_key": "k"},
        {"data": b"x", "attributes": {"": "v"}},
        {"data": b"x", "attributes": {"googclient": "v"}},
        {"data": b"x", "attributes": {"k" * 257: "v"}},
        {"data": b"x", "attributes": {"k": "v" * 1025}},
        {"data": b"x", "attributes": {f"k{i}": "v" for i in range(101)}},
        {"data": b"x", "ordering_key": "k" * 1025},
        {"data": b"x" * 10_000_001},
    ],
    ids=["empty", "key only", "no key", "goog", "long key", "long value", "many", "long ordering key", "large"],
)
def test_publish__refuses_a_message_beyond_the_limits(clients: Any, message: dict[str, Any]) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    with pytest.raises(exceptions.InvalidArgument):
        publish(clients, topic, [{"data": b"good"}, message])
    assert clients.pull_now(name) == []


@pytest.mark.parametrize("count", [0, 1001])
def test_publish__refuses_no_and_too_many_messages(clients: Any, count: int) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="1 to 1000 messages"):
        publish(clients, clients.topic(), [{"data": b"x"}] * count)


def test_publish__takes_what_stands_at_the_limits(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    attributes = {f"{i:03}" + "k" * 253: "v" * 1024 for i in range(100)}
    publish(clients, topic, [{"data": b"x" * 9_800_000, "attributes": attributes, "ordering_key": "o" * 1024}])
    with pytest.raises(exceptions.ResourceExhausted):  # of the client's channel, which takes 4 MiB by default
        clients.pull(name)


def test_publish__to_a_missing_topic_is_not_found(clients: Any) -> None:
    with pytest.raises(exceptions.NotFound):
        publish(clients, "projects/ballast-test/topics/nothing-here", [{"data": b"x"}])


def test_publish__delivers_data_attributes_id_and_time_unchanged(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    (message_id,) = publish(clients, topic, [{"data": b"\x00\xff", "attributes": {"é": "ü"}, "ordering_key": "k"}])
    (received,) = clients.pull(name)
    message = received.message
    assert (message.data, dict(message.attributes), message.ordering_key) == (b"\x00\xff", {"é": "ü"}, "k")
    assert message.message_id == message_id
    assert int(message.publish_time.timestamp() * 1_000_000) == pytest.approx(int(message_id), abs=1)
    assert received.delivery_attempt == 0


def test_publish__gives_rising_ids_under_concurrency(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: publish(clients, topic, [{"data": b"x"}] * 50), range(20)))
    ids = [message_id for batch in batches for message_id in batch]
    assert len(set(ids)) == 1000
    assert all(batch == sorted(batch, key=int) for batch in batches)
    assert len(clients.drain(name, 1000)) == 1000


def test_publish__reaches_every_subscription_of_the_topic_and_no_other(clients: Any) -> None:
    topic, other = clients.topic(), clients.topic()
    names = [clients.subscription(topic) for _ in range(3)]
    stranger = clients.subscription(other)
    clients.send(topic, "one")
    assert [clients.bodies(name) for name in names] == [["one"]] * 3
    assert clients.pull_now(stranger) == []


def test_publish__before_the_subscription_was_created_is_not_delivered(clients: Any) -> None:
    topic = clients.topic()
    clients.send(topic, "before")
    name = clients.subscription(topic)
    clients.send(topic, "after")
    assert clients.bodies(name) == ["after"]


def test_filter__lets_matching_messages_through_only(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, filter='attributes.kind = "draw" AND NOT attributes:test')
    clients.send(topic, "1", kind="draw")
    clients.send(topic, "2", kind="draw", test="yes")
    clients.send(topic, "3", kind="deposit")
    clients.send(topic, "4")
    clients.send(topic, "5", kind="draw")
    assert sorted(clients.drain(name, 2)) == ["1", "5"]
    assert clients.pull_now(name) == []

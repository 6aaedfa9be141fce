"""Ordering keys: in order per key, and a message that is redelivered takes the following ones along."""

from __future__ import annotations

import collections
import concurrent.futures
from typing import Any

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport


def data(received: list[Any]) -> list[str]:
    return [r.message.data.decode() for r in received]


def test_ordering__keeps_each_key_in_order_with_the_real_clients(shared_address: str, clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, enable_message_ordering=True)
    publisher = pubsub_v1.PublisherClient(
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True),
        transport=PublisherGrpcTransport(channel=grpc.insecure_channel(shared_address)),
    )
    keys, count = [f"account-{i}" for i in range(5)], 200
    seen: dict[str, list[int]] = collections.defaultdict(list)
    complete: concurrent.futures.Future[None] = concurrent.futures.Future()

    def take(message: Any) -> None:
        seen[message.ordering_key].append(int(message.data))
        message.ack()
        if sum(map(len, seen.values())) == count * len(keys):
            complete.set_result(None)

    stream = clients.subscriber.subscribe(name, take)
    sent = [publisher.publish(topic, str(i).encode(), ordering_key=key) for i in range(count) for key in keys]
    for future in sent:
        future.result(30)
    complete.result(30)
    stream.cancel()
    stream.result(30)
    publisher.stop()
    publisher.transport.close()
    assert dict(seen) == {key: list(range(count)) for key in keys}


def test_ordering__a_refused_message_calls_back_the_following_ones(clients: Any, open_stream: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, enable_message_ordering=True)
    clients.send(topic, *"abcd", key="k")
    stream = open_stream(clients, name)
    received = stream.read_many(4)
    assert data(received) == list("abcd")
    a, b, c, d = (r.ack_id for r in received)
    # c is acknowledged while b is out; refusing b brings c back, although it was acknowledged, and d.
    stream.send(ack_ids=[a, c])
    stream.send(modify_deadline_ack_ids=[b], modify_deadline_seconds=[0])
    again = stream.read_many(3)
    assert data(again) == list("bcd")
    # The ack ids of before count no more.
    stream.send(ack_ids=[d])
    stream.send(ack_ids=[r.ack_id for r in again[:2]])
    stream.send(modify_deadline_ack_ids=[again[2].ack_id], modify_deadline_seconds=[0])
    assert data(stream.read()) == ["d"]


def test_ordering__a_lease_that_ran_out_calls_back_the_following_ones(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic()
    name = clients.subscription(topic, enable_message_ordering=True)
    clients.send(topic, *"abc", key="k")
    received = clients.pull(name)
    clients.modify(name, received[1:], 600)
    clocked.advance(11)
    assert data(clients.pull(name)) == list("abc")


def test_ordering__gives_a_key_to_one_puller_at_a_time(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, enable_message_ordering=True)
    clients.send(topic, *"abc", key="k")
    clients.send(topic, "x", key="other")
    first = clients.pull(name, 2)
    assert data(first) == ["a", "b"]
    assert data(clients.pull(name)) == ["x"]
    assert clients.pull_now(name) == []
    clients.ack(name, first[:1])
    assert clients.pull_now(name) == []
    clients.ack(name, first[1:])
    assert clients.bodies(name) == ["c"]


def test_ordering__does_not_bind_messages_without_a_key(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, enable_message_ordering=True)
    clients.send(topic, "a", "b")
    (first,) = clients.pull(name, 1)
    assert data(clients.pull(name)) == ["b"]
    clients.modify(name, [first], 0)
    assert clients.bodies(name) == ["a"]


def test_ordering__holds_the_key_back_during_backoff_and_no_other_key(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic()
    policy = {"minimum_backoff": {"seconds": 60}, "maximum_backoff": {"seconds": 60}}
    name = clients.subscription(topic, enable_message_ordering=True, retry_policy=policy)
    clients.send(topic, "a", "b", key="k")
    clients.modify(name, clients.pull(name, 1), 0)
    clients.send(topic, "x", key="other")
    assert clients.bodies(name) == ["x"]
    clocked.advance(61)
    assert clients.bodies(name) == ["a", "b"]


def test_ordering__survives_a_restart(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic, enable_message_ordering=True)
    clients.send(topic, *"abcd", key="k")
    received = clients.pull(name)
    clients.ack(name, [received[0], received[2]])
    process.restart()
    clients = connect(process.address)
    assert clients.bodies(name) == list("bcd")

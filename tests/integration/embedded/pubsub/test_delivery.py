"""Leases: who has a message, how long, and when another gets it."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1


def test_acknowledge__ends_delivery(clocked: Any) -> None:
    topic = clocked.clients.topic()
    name = clocked.clients.subscription(topic)
    clocked.clients.send(topic, "a", "b")
    assert clocked.clients.bodies(name) == ["a", "b"]
    clocked.advance(700)
    assert clocked.clients.pull_now(name) == []


def test_lease__hides_the_message_until_the_ack_deadline_then_redelivers(clocked: Any) -> None:
    topic = clocked.clients.topic()
    name = clocked.clients.subscription(topic, ack_deadline_seconds=20)
    clocked.clients.send(topic, "a")
    (first,) = clocked.clients.pull(name)
    clocked.advance(19)
    assert clocked.clients.pull_now(name) == []
    clocked.advance(2)
    (second,) = clocked.clients.pull(name)
    assert second.message == first.message
    assert second.ack_id != first.ack_id


def test_modify_ack_deadline__extends_the_lease(clocked: Any) -> None:
    topic = clocked.clients.topic()
    name = clocked.clients.subscription(topic)
    clocked.clients.send(topic, "a")
    received = clocked.clients.pull(name)
    clocked.clients.modify(name, received, 300)
    clocked.advance(299)
    # A second message proves that the server has seen the clock move.
    clocked.clients.send(topic, "b")
    assert clocked.clients.bodies(name) == ["b"]
    clocked.advance(2)
    assert clocked.clients.bodies(name) == ["a"]


def test_modify_ack_deadline__zero_redelivers_at_once(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    clients.modify(name, clients.pull(name), 0)
    assert clients.bodies(name) == ["a"]


@pytest.mark.parametrize("seconds", [-1, 601])
def test_modify_ack_deadline__refuses_what_is_out_of_range(clients: Any, seconds: int) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    received = clients.pull(name)
    with pytest.raises(exceptions.InvalidArgument, match="between 0 and 600"):
        clients.modify(name, received, seconds)


def test_acknowledge__after_the_lease_ended_still_counts(clocked: Any) -> None:
    topic = clocked.clients.topic()
    name = clocked.clients.subscription(topic)
    clocked.clients.send(topic, "a")
    late = clocked.clients.pull(name)
    clocked.advance(11)
    again = clocked.clients.pull(name)
    clocked.clients.ack(name, late)
    clocked.clients.modify(name, again, 0)
    clocked.advance(11)
    assert clocked.clients.pull_now(name) == []


@pytest.mark.parametrize("ack_id", ["", "x", "1:2", "1:2:x", "1:2:3:4", "-1:2:3"])
def test_acknowledge__refuses_a_malformed_ack_id(clients: Any, ack_id: str) -> None:
    name = clients.subscription(clients.topic())
    with pytest.raises(exceptions.InvalidArgument, match="malformed"):
        clients.subscriber.acknowledge(subscription=name, ack_ids=[ack_id])


def test_acknowledge__with_another_subscriptions_ack_id_does_nothing(clients: Any) -> None:
    topic = clients.topic()
    mine, other = clients.subscription(topic), clients.subscription(topic)
    clients.send(topic, "a")
    received = clients.pull(mine)
    clients.ack(other, received)
    assert clients.bodies(other) == ["a"]


def test_acknowledge__twice_is_no_error(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    received = clients.pull(name)
    clients.ack(name, received)
    clients.ack(name, received)
    assert clients.pull_now(name) == []


def test_pull__waits_for_a_message(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(clients.bodies, name)
        clients.send(topic, "a")
        assert waiting.result(30) == ["a"]


def test_pull__answers_empty_before_the_clients_timeout(clients: Any) -> None:
    assert clients.pull(clients.subscription(clients.topic()), timeout=1) == []


@pytest.mark.parametrize("count", [0, -1])
def test_pull__refuses_a_count_that_is_not_positive(clients: Any, count: int) -> None:
    name = clients.subscription(clients.topic())
    with pytest.raises(exceptions.InvalidArgument, match="must be positive"):
        clients.pull(name, count)


def test_pull__gives_no_more_than_asked_for(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, *"abcde")
    assert [len(clients.pull(name, 2)), len(clients.pull(name, 2)), len(clients.pull(name, 2))] == [2, 2, 1]


def test_pull__keeps_answers_below_what_a_channel_takes(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    for _ in range(6):
        clients.send(topic, "x" * 900_000)
    assert len(clients.drain(name, 6)) == 6


def test_stream__stops_at_max_outstanding_messages_until_something_is_acknowledged(
    clients: Any, open_stream: Any
) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, *map(str, range(10)))
    stream = open_stream(clients, name, max_outstanding_messages=3)
    first = stream.read_many(3)
    others = clients.pull(name)
    assert len(first) == 3
    assert len(others) == 7
    clients.modify(name, others, 0)
    stream.send(ack_ids=[first[0].ack_id])
    assert len(stream.read()) == 1


def test_stream__stops_at_max_outstanding_bytes(clients: Any, open_stream: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, *["x" * 1000] * 10)
    stream = open_stream(clients, name, max_outstanding_bytes=2500)
    # Sending stops once the limit is reached or passed, which the third message does.
    received = stream.read_many(3)
    others = clients.pull(name)
    assert (len(received), len(others)) == (3, 7)
    clients.modify(name, others, 0)
    clients.ack(name, received)
    assert len(stream.read_many(3)) == 3
    assert len(clients.pull(name)) == 4


def test_stream__delivers_one_message_that_exceeds_max_outstanding_bytes(clients: Any, open_stream: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "x" * 5000)
    assert len(open_stream(clients, name, max_outstanding_bytes=100).read()) == 1


def test_stream__uses_its_own_ack_deadline(clocked: Any, open_stream: Any) -> None:
    topic = clocked.clients.topic()
    name = clocked.clients.subscription(topic)
    clocked.clients.send(topic, "a")
    stream = open_stream(clocked.clients, name, deadline=100)
    (first,) = stream.read()
    clocked.advance(50)
    assert clocked.clients.pull_now(name) == []
    clocked.advance(51)
    (second,) = stream.read()
    assert second.message.message_id == first.message.message_id


def test_stream__takes_deadline_changes_and_refusals(clocked: Any, open_stream: Any) -> None:
    topic = clocked.clients.topic()
    name = clocked.clients.subscription(topic)
    clocked.clients.send(topic, "a", "b")
    stream = open_stream(clocked.clients, name, deadline=10)
    a, b = stream.read_many(2)
    stream.send(modify_deadline_ack_ids=[a.ack_id, b.ack_id], modify_deadline_seconds=[500, 0])
    (again,) = stream.read()
    assert again.message.data == b"b"
    clocked.advance(11)
    (once_more,) = stream.read()
    assert once_more.message.data == b"b"


def test_stream__releases_nothing_when_it_ends_before_the_deadline(clocked: Any, open_stream: Any) -> None:
    topic = clocked.clients.topic()
    name = clocked.clients.subscription(topic)
    clocked.clients.send(topic, "a")
    stream = open_stream(clocked.clients, name, deadline=60)
    stream.read()
    stream.close()
    assert clocked.clients.pull_now(name) == []
    clocked.advance(61)
    assert clocked.clients.bodies(name) == ["a"]


@pytest.mark.parametrize(
    "request_",
    [
        {"subscription": "projects/ballast-test/subscriptions/another"},
        {"max_outstanding_messages": 5},
        {"stream_ack_deadline_seconds": 5},
        {"ack_ids": ["nonsense"]},
        {"modify_deadline_ack_ids": ["1:1:1"]},
        {"modify_deadline_ack_ids": ["1:1:1"], "modify_deadline_seconds": [-1]},
    ],
)
def test_stream__is_aborted_by_an_invalid_request(clients: Any, open_stream: Any, request_: dict[str, Any]) -> None:
    stream = open_stream(clients, clients.subscription(clients.topic()))
    stream.send(**request_)
    with pytest.raises(exceptions.InvalidArgument):
        stream.read()


def test_stream__needs_a_deadline_and_a_subscription_that_exists(clients: Any, open_stream: Any) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        open_stream(clients, clients.subscription(clients.topic()), deadline=0).read()
    with pytest.raises(exceptions.NotFound):
        open_stream(clients, "projects/ballast-test/subscriptions/nothing-here").read()


def test_stream__ends_with_not_found_when_the_subscription_is_deleted(clients: Any, open_stream: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    stream = open_stream(clients, name)
    stream.read()
    clients.subscriber.delete_subscription(subscription=name)
    with pytest.raises(exceptions.NotFound):
        stream.read()


def test_streams__share_a_subscription_without_doubling(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    received: list[str] = []
    complete: concurrent.futures.Future[None] = concurrent.futures.Future()

    def take(message: Any) -> None:
        received.append(message.message_id)
        message.ack()
        if len(received) == 600:
            complete.set_result(None)

    limits = pubsub_v1.types.FlowControl(max_messages=20)
    streams = [clients.subscriber.subscribe(name, take, flow_control=limits) for _ in range(3)]
    sent = [message_id for _ in range(6) for message_id in clients.send(topic, *["x"] * 100)]
    complete.result(30)
    for stream in streams:
        stream.cancel()
        stream.result(30)
    assert sorted(received) == sorted(sent)
    assert clients.pull_now(name) == []


def test_subscribe__delivers_again_what_the_callback_refuses(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    seen: list[str] = []
    complete: concurrent.futures.Future[None] = concurrent.futures.Future()

    def take(message: Any) -> None:
        seen.append(message.message_id)
        if len(seen) < 3:
            message.nack()
        else:
            message.ack_with_response().result(30)
            complete.set_result(None)

    stream = clients.subscriber.subscribe(name, take)
    (message_id,) = clients.send(topic, "a")
    complete.result(30)
    stream.cancel()
    stream.result(30)
    assert seen == [message_id] * 3

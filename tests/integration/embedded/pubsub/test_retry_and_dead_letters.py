"""Messages that fail: backoff, counting, and the dead-letter topic."""

from __future__ import annotations

from datetime import datetime
from typing import Any

PREFIX = "CloudPubSubDeadLetterSource"


def refuse(clients: Any, name: str) -> Any:
    (received,) = clients.pull(name)
    clients.modify(name, [received], 0)
    return received


def test_retry_policy__doubles_the_backoff_up_to_the_maximum(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic()
    policy = {"minimum_backoff": {"seconds": 10}, "maximum_backoff": {"seconds": 30}}
    name = clients.subscription(topic, retry_policy=policy)
    clients.send(topic, "a")
    for backoff in (10, 20, 30, 30):
        refuse(clients, name)
        clocked.advance(backoff - 1)
        assert clients.pull_now(name) == []
        clocked.advance(2)
    assert clients.bodies(name) == ["a"]


def test_retry_policy__applies_when_a_lease_runs_out(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic()
    policy = {"minimum_backoff": {"seconds": 100}, "maximum_backoff": {"seconds": 100}}
    name = clients.subscription(topic, retry_policy=policy)
    clients.send(topic, "a")
    clients.pull(name)
    clocked.advance(11)
    clients.send(topic, "b")
    assert clients.bodies(name) == ["b"]
    clocked.advance(101)
    assert clients.bodies(name) == ["a"]


def test_retry_policy__holds_back_the_refused_message_only(clocked: Any) -> None:
    clients = clocked.clients
    topic = clients.topic()
    policy = {"minimum_backoff": {"seconds": 60}, "maximum_backoff": {"seconds": 60}}
    name = clients.subscription(topic, retry_policy=policy)
    clients.send(topic, "a")
    refuse(clients, name)
    clients.send(topic, "b")
    assert clients.bodies(name) == ["b"]


def test_dead_letter__moves_after_the_last_attempt_with_the_source_attributes(clients: Any) -> None:
    topic, dead_topic = clients.topic(), clients.topic()
    graveyard = clients.subscription(dead_topic)
    policy = {"dead_letter_topic": dead_topic, "max_delivery_attempts": 5}
    name = clients.subscription(topic, dead_letter_policy=policy)
    clients.send(topic, "poison", key="account-7", kind="draw")
    received = [refuse(clients, name) for _ in range(5)]
    assert [r.delivery_attempt for r in received] == [1, 2, 3, 4, 5]
    (dead,) = clients.pull(graveyard)
    attributes = dict(dead.message.attributes)
    published = datetime.fromisoformat(attributes.pop(f"{PREFIX}TopicPublishTime"))
    assert attributes == {
        "kind": "draw",
        f"{PREFIX}DeliveryCount": "5",
        f"{PREFIX}Subscription": name.rsplit("/", 1)[1],
        f"{PREFIX}SubscriptionProject": "ballast-test",
    }
    assert abs((published - received[0].message.publish_time).total_seconds()) < 0.002
    assert (dead.message.data, dead.message.ordering_key) == (b"poison", "account-7")
    assert dead.message.message_id != received[0].message.message_id
    assert clients.pull_now(name) == []


def test_dead_letter__counts_leases_that_ran_out(clocked: Any) -> None:
    clients = clocked.clients
    topic, dead_topic = clients.topic(), clients.topic()
    graveyard = clients.subscription(dead_topic)
    name = clients.subscription(topic, dead_letter_policy={"dead_letter_topic": dead_topic})
    clients.send(topic, "slow")
    for attempt in range(1, 6):
        (received,) = clients.pull(name)
        assert received.delivery_attempt == attempt
        clocked.advance(11)
    assert clients.bodies(graveyard) == ["slow"]
    assert clients.pull_now(name) == []


def test_dead_letter__keeps_delivering_while_the_topic_is_gone(clients: Any) -> None:
    topic, dead_topic = clients.topic(), clients.topic()
    name = clients.subscription(topic, dead_letter_policy={"dead_letter_topic": dead_topic})
    clients.publisher.delete_topic(topic=dead_topic)
    clients.send(topic, "poison")
    attempts = [refuse(clients, name).delivery_attempt for _ in range(7)]
    assert attempts == [1, 2, 3, 4, 5, 6, 7]
    assert clients.bodies(name) == ["poison"]


def test_dead_letter__frees_the_ordering_key(clients: Any) -> None:
    topic, dead_topic = clients.topic(), clients.topic()
    graveyard = clients.subscription(dead_topic)
    policy = {"dead_letter_topic": dead_topic, "max_delivery_attempts": 5}
    name = clients.subscription(topic, dead_letter_policy=policy, enable_message_ordering=True)
    clients.send(topic, "poison", "next", key="k")
    for _ in range(5):
        (received,) = clients.pull(name, 1)
        assert received.message.data == b"poison"
        clients.modify(name, [received], 0)
    assert clients.bodies(graveyard) == ["poison"]
    assert clients.bodies(name) == ["next"]


def test_dead_letter__policy_can_be_added_and_removed(clients: Any) -> None:
    topic, dead_topic = clients.topic(), clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    assert refuse(clients, name).delivery_attempt == 0
    mask = {"paths": ["dead_letter_policy"]}
    config = {"name": name, "dead_letter_policy": {"dead_letter_topic": dead_topic, "max_delivery_attempts": 9}}
    clients.subscriber.update_subscription(subscription=config, update_mask=mask)
    assert refuse(clients, name).delivery_attempt == 2
    clients.subscriber.update_subscription(subscription={"name": name}, update_mask=mask)
    assert refuse(clients, name).delivery_attempt == 0

"""Push subscriptions: what is posted, and what the answers lead to."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.api_core import exceptions

WAIT = 30


def test_push__posts_the_wrapped_form(clients: Any, endpoint: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, push_config={"push_endpoint": endpoint.url}, enable_message_ordering=True)
    (message_id,) = clients.send(topic, "hello", key="k", kind="draw")
    body = json.loads(endpoint.received.get(timeout=WAIT))
    published = body["message"].pop("publishTime")
    assert published == body["message"].pop("publish_time")
    assert published.endswith("Z")
    assert body == {
        "subscription": name,
        "message": {
            "attributes": {"kind": "draw"},
            "data": base64.b64encode(b"hello").decode(),
            "messageId": message_id,
            "message_id": message_id,
            "orderingKey": "k",
        },
    }


@pytest.mark.parametrize("status", [500, 404, 302, 429])
def test_push__tries_again_after_an_answer_that_is_not_2xx(clients: Any, endpoint: Any, status: int) -> None:
    topic = clients.topic()
    endpoint.answers.put(status)
    endpoint.answers.put(status)
    clients.subscription(topic, push_config={"push_endpoint": endpoint.url})
    (message_id,) = clients.send(topic, "a")
    tries = [json.loads(endpoint.received.get(timeout=WAIT)) for _ in range(3)]
    assert [t["message"]["messageId"] for t in tries] == [message_id] * 3


def test_push__does_not_post_again_after_2xx(clients: Any, endpoint: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, push_config={"push_endpoint": endpoint.url})
    sent = clients.send(topic, *map(str, range(40)))
    got = [json.loads(endpoint.received.get(timeout=WAIT))["message"]["messageId"] for _ in sent]
    assert sorted(got) == sorted(sent)
    clients.subscriber.modify_push_config(subscription=name, push_config={})
    assert clients.pull_now(name) == []
    assert endpoint.received.empty()


def test_push__follows_a_change_of_the_endpoint(clients: Any, endpoint: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic, push_config={"push_endpoint": "http://127.0.0.1:9/nobody-listens"})
    clients.send(topic, "a")
    clients.subscriber.update_subscription(
        subscription={"name": name, "push_config": {"push_endpoint": endpoint.url}},
        update_mask={"paths": ["push_config"]},
    )
    assert base64.b64decode(json.loads(endpoint.received.get(timeout=WAIT))["message"]["data"]) == b"a"


def test_push__begins_when_a_pull_subscription_becomes_one(clients: Any, endpoint: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    clients.subscriber.modify_push_config(subscription=name, push_config={"push_endpoint": endpoint.url})
    assert json.loads(endpoint.received.get(timeout=WAIT))["subscription"] == name
    with pytest.raises(exceptions.FailedPrecondition, match="push subscription"):
        clients.pull(name)


def test_push__moves_to_the_dead_letter_topic_with_attempts_counted(clients: Any, endpoint: Any) -> None:
    topic, dead_topic = clients.topic(), clients.topic()
    graveyard = clients.subscription(dead_topic)
    endpoint.default = 500
    clients.subscription(
        topic,
        push_config={"push_endpoint": endpoint.url},
        dead_letter_policy={"dead_letter_topic": dead_topic},
        retry_policy={"minimum_backoff": {"nanos": 1_000_000}, "maximum_backoff": {"nanos": 1_000_000}},
    )
    clients.send(topic, "poison")
    attempts = [json.loads(endpoint.received.get(timeout=WAIT))["deliveryAttempt"] for _ in range(5)]
    assert attempts == [1, 2, 3, 4, 5]
    assert clients.bodies(graveyard) == ["poison"]


def test_push__posts_one_message_of_a_key_at_a_time_in_order(clients: Any, endpoint: Any) -> None:
    topic = clients.topic()
    endpoint.answers.put(500)
    clients.subscription(topic, push_config={"push_endpoint": endpoint.url}, enable_message_ordering=True)
    clients.send(topic, *"abc", key="k")
    got = [base64.b64decode(json.loads(endpoint.received.get(timeout=WAIT))["message"]["data"]) for _ in range(4)]
    assert got == [b"a", b"a", b"b", b"c"]


def test_push__ends_when_the_subscription_is_deleted(clients: Any, endpoint: Any) -> None:
    topic = clients.topic()
    endpoint.default = 500
    name = clients.subscription(topic, push_config={"push_endpoint": endpoint.url})
    clients.send(topic, "a")
    endpoint.received.get(timeout=WAIT)
    clients.subscriber.delete_subscription(subscription=name)
    clients.send(topic, "b")
    later = clients.subscription(topic, push_config={"push_endpoint": endpoint.url})
    clients.send(topic, "c")
    while (body := json.loads(endpoint.received.get(timeout=WAIT)))["subscription"] != later:
        assert base64.b64decode(body["message"]["data"]) == b"a"
    assert base64.b64decode(body["message"]["data"]) == b"c"

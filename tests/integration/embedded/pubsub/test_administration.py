"""Topics and subscriptions: their life, and the statuses that refuse what cannot be."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

PROJECT = "ballast-test"
NO_TOPIC = f"projects/{PROJECT}/topics/nothing-here"
NO_SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/nothing-here"


def test_topic__lives_from_create_to_delete(clients: Any) -> None:
    topic = clients.topic(labels={"room": "ingest"})
    got = clients.publisher.get_topic(topic=topic)
    assert (got.name, dict(got.labels), got.state.name) == (topic, {"room": "ingest"}, "ACTIVE")
    assert topic in [t.name for t in clients.publisher.list_topics(project=f"projects/{PROJECT}")]
    clients.publisher.delete_topic(topic=topic)
    with pytest.raises(exceptions.NotFound, match="Topic not found"):
        clients.publisher.get_topic(topic=topic)


def test_create_topic__refuses_a_second_of_the_same_name(clients: Any) -> None:
    topic = clients.topic()
    with pytest.raises(exceptions.AlreadyExists):
        clients.publisher.create_topic(name=topic)


def test_update_topic__changes_what_the_mask_names_only(clients: Any) -> None:
    topic = clients.topic(labels={"a": "1"})
    changed = clients.publisher.update_topic(
        topic={"name": topic, "labels": {"b": "2"}, "message_retention_duration": {"seconds": 3600}},
        update_mask=FieldMask(paths=["message_retention_duration"]),
    )
    assert dict(changed.labels) == {"a": "1"}
    assert changed.message_retention_duration.total_seconds() == 3600


@pytest.mark.parametrize(
    "name",
    [
        "orders",
        f"projects/{PROJECT}/topics/ab",
        f"projects/{PROJECT}/topics/1abc",
        f"projects/{PROJECT}/topics/googlish",
        f"projects/{PROJECT}/topics/a b c",
        f"projects/{PROJECT}/subscriptions/abc",
    ],
)
def test_create_topic__refuses_a_malformed_name(clients: Any, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="is not a name of the form"):
        clients.publisher.create_topic(name=name)


def test_subscription__has_the_documented_defaults(clients: Any) -> None:
    topic = clients.topic()
    got = clients.subscriber.get_subscription(subscription=clients.subscription(topic))
    assert got.topic == topic
    assert got.ack_deadline_seconds == 10
    assert got.message_retention_duration.days == 7
    assert got.expiration_policy.ttl.days == 31
    assert got.state.name == "ACTIVE"


@pytest.mark.parametrize(
    "config",
    [
        {"ack_deadline_seconds": 9},
        {"ack_deadline_seconds": 601},
        {"message_retention_duration": {"seconds": 599}},
        {"retry_policy": {"minimum_backoff": {"seconds": 20}, "maximum_backoff": {"seconds": 10}}},
        {"retry_policy": {"maximum_backoff": {"seconds": 601}}},
        {"push_config": {"push_endpoint": "ftp://127.0.0.1/x"}},
        {"push_config": {"push_endpoint": "http://"}},
        {"filter": "attributes.a = "},
    ],
)
def test_create_subscription__refuses_what_is_out_of_range(clients: Any, config: dict[str, Any]) -> None:
    topic = clients.topic()
    with pytest.raises(exceptions.InvalidArgument):
        clients.subscription(topic, **config)


@pytest.mark.parametrize("attempts", [4, 101, -1])
def test_create_subscription__refuses_dead_letter_attempts_out_of_range(clients: Any, attempts: int) -> None:
    topic = clients.topic()
    with pytest.raises(exceptions.InvalidArgument, match="between 5 and 100"):
        clients.subscription(topic, dead_letter_policy={"dead_letter_topic": topic, "max_delivery_attempts": attempts})


@pytest.mark.parametrize(
    "config",
    [
        {"enable_exactly_once_delivery": True},
        {"bigquery_config": {"table": "a.b.c"}},
        {"push_config": {"push_endpoint": "http://127.0.0.1:1/", "oidc_token": {"service_account_email": "a@b"}}},
    ],
)
def test_create_subscription__says_what_is_not_served(clients: Any, config: dict[str, Any]) -> None:
    topic = clients.topic()
    with pytest.raises(exceptions.MethodNotImplemented, match="not served by the embedded Pub/Sub"):
        clients.subscription(topic, **config)


def test_create_subscription__needs_its_topic_and_its_dead_letter_topic(clients: Any) -> None:
    with pytest.raises(exceptions.NotFound):
        clients.subscription(NO_TOPIC)
    with pytest.raises(exceptions.NotFound):
        clients.subscription(clients.topic(), dead_letter_policy={"dead_letter_topic": NO_TOPIC})


def test_create_subscription__refuses_a_second_of_the_same_name(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    with pytest.raises(exceptions.AlreadyExists):
        clients.subscriber.create_subscription(name=name, topic=topic)


def test_update_subscription__changes_fields_and_resets_what_is_not_given(clients: Any) -> None:
    name = clients.subscription(clients.topic(), ack_deadline_seconds=20, labels={"a": "1"})
    changed = clients.subscriber.update_subscription(
        subscription={"name": name, "ack_deadline_seconds": 30, "retry_policy": {"minimum_backoff": {"seconds": 1}}},
        update_mask=FieldMask(paths=["ack_deadline_seconds", "retry_policy", "labels"]),
    )
    assert changed.ack_deadline_seconds == 30
    assert changed.retry_policy.minimum_backoff.total_seconds() == 1
    assert changed.retry_policy.maximum_backoff.total_seconds() == 600
    assert dict(changed.labels) == {}


@pytest.mark.parametrize("paths", [[], ["topic"], ["filter"], ["enable_message_ordering"], ["no_such_field"]])
def test_update_subscription__refuses_what_cannot_change(clients: Any, paths: list[str]) -> None:
    name = clients.subscription(clients.topic())
    with pytest.raises(exceptions.InvalidArgument):
        clients.subscriber.update_subscription(subscription={"name": name}, update_mask=FieldMask(paths=paths))


def test_subscription__is_listed_by_project_and_by_topic_until_deleted(clients: Any) -> None:
    topic = clients.topic()
    names = sorted(clients.subscription(topic) for _ in range(3))
    assert list(clients.publisher.list_topic_subscriptions(topic=topic)) == names
    listed = [s.name for s in clients.subscriber.list_subscriptions(project=f"projects/{PROJECT}")]
    assert set(names) <= set(listed)
    clients.subscriber.delete_subscription(subscription=names[0])
    assert list(clients.publisher.list_topic_subscriptions(topic=topic)) == names[1:]


def test_list__goes_through_pages(clients: Any) -> None:
    topic = clients.topic()
    names = sorted(clients.subscription(topic) for _ in range(5))
    pages = clients.publisher.list_topic_subscriptions(request={"topic": topic, "page_size": 2}).pages
    assert [list(p.subscriptions) for p in pages] == [names[:2], names[2:4], names[4:]]


def test_delete_topic__leaves_subscriptions_with_their_backlog(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "kept")
    clients.publisher.delete_topic(topic=topic)
    assert clients.subscriber.get_subscription(subscription=name).topic == "_deleted-topic_"
    assert clients.bodies(name) == ["kept"]


def test_detach_subscription__cuts_it_off(clients: Any) -> None:
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.publisher.detach_subscription(request={"subscription": name})
    assert clients.subscriber.get_subscription(subscription=name).detached
    assert list(clients.publisher.list_topic_subscriptions(topic=topic)) == []
    with pytest.raises(exceptions.FailedPrecondition, match="detached"):
        clients.pull(name)


@pytest.mark.parametrize(
    ("client", "method", "request_"),
    [
        ("publisher", "delete_topic", {"topic": NO_TOPIC}),
        ("publisher", "list_topic_subscriptions", {"topic": NO_TOPIC}),
        ("publisher", "detach_subscription", {"subscription": NO_SUBSCRIPTION}),
        ("subscriber", "get_subscription", {"subscription": NO_SUBSCRIPTION}),
        ("subscriber", "delete_subscription", {"subscription": NO_SUBSCRIPTION}),
        ("subscriber", "pull", {"subscription": NO_SUBSCRIPTION, "max_messages": 1}),
        ("subscriber", "acknowledge", {"subscription": NO_SUBSCRIPTION, "ack_ids": ["1:1:1"]}),
        ("subscriber", "modify_ack_deadline", {"subscription": NO_SUBSCRIPTION, "ack_ids": ["1:1:1"]}),
        ("subscriber", "seek", {"subscription": NO_SUBSCRIPTION, "time": {"seconds": 1}}),
    ],
)
def test_method__answers_not_found(clients: Any, client: str, method: str, request_: dict[str, Any]) -> None:
    with pytest.raises(exceptions.NotFound):
        getattr(getattr(clients, client), method)(request=request_)


def test_snapshots__are_unimplemented(clients: Any) -> None:
    name = clients.subscription(clients.topic())
    snapshot = f"projects/{PROJECT}/snapshots/one"
    with pytest.raises(exceptions.MethodNotImplemented):
        clients.subscriber.create_snapshot(name=snapshot, subscription=name)
    with pytest.raises(exceptions.MethodNotImplemented):
        clients.subscriber.seek(request={"subscription": name, "snapshot": snapshot})


def test_health__is_serving(shared_address: str) -> None:
    with grpc.insecure_channel(shared_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "google.pubsub.v1.Publisher", "google.pubsub.v1.Subscriber"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10, wait_for_ready=True)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_emulator_variable__is_all_that_a_client_needs(run_script: Any) -> None:
    output = run_script(
        """
import concurrent.futures
from google.cloud import pubsub_v1
publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
topic = publisher.topic_path("ballast-test", "by-variable")
name = subscriber.subscription_path("ballast-test", "by-variable")
publisher.create_topic(name=topic)
subscriber.create_subscription(name=name, topic=topic)
sent = [publisher.publish(topic, str(i).encode(), n=str(i)).result(30) for i in range(20)]
got = {}
arrived = concurrent.futures.Future()
def take(message):
    got[message.message_id] = message.attributes["n"]
    message.ack_with_response().result(30)
    if len(got) == len(sent):
        arrived.set_result(None)
stream = subscriber.subscribe(name, take)
arrived.result(30)
stream.cancel()
stream.result(30)
print(sorted(got) == sorted(sent), sorted(map(int, got.values())) == list(range(20)))
"""
    )
    assert output.split() == ["True", "True"]

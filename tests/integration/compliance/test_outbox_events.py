"""The outbox on real PostgreSQL and real Pub/Sub: nothing lost, nothing changed, what is repeated is recognisable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import grpc
import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from sqlalchemy import Engine, text

from alerting.compliance_events import SUBSCRIPTION, parse_compliance_event
from compliance import outbox
from compliance.events import TOPIC, ComplianceEvent, ComplianceSeverity
from compliance.outbox import enqueue, publish_pending
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError
from infra.runtime.pubsub import Publisher, TopicSpec, ensure_topics
from infra.runtime.settings import Settings

PATIENCE_S = 30.0


class Recorder:
    """A publisher that keeps messages, and stays away where it is told to."""

    def __init__(self, failures: Sequence[int] = ()) -> None:
        self.batches: list[list[str]] = []
        self._failures = list(failures)
        self._calls = 0

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        assert topic == TOPIC
        self._calls += 1
        if self._calls in self._failures:
            raise NotReadyError("Pub/Sub stays away")
        self.batches.append([parse_compliance_event(message).event_id for message in messages])
        return [str(number) for number in range(len(messages))]


def event(number: int, clock: FixedClock) -> ComplianceEvent:
    return ComplianceEvent(
        event_id=f"cpe_{number:03}",
        kind="case_opened",
        severity=ComplianceSeverity.WARNING,
        case_id=f"cas_{number}",
        account_id="acc_1",
        summary="An AML case of priority high was opened. Größe ✓",
        occurred_at=clock.now() + timedelta(microseconds=number),
    )


def put(engine: Engine, clock: FixedClock, numbers: Sequence[int]) -> None:
    with engine.begin() as connection:
        for number in numbers:
            enqueue(connection, event(number, clock))


def unpublished(engine: Engine) -> int:
    with engine.connect() as connection:
        statement = text("select count(*) from compliance.outbox where published_at is null")
        return int(connection.execute(statement).scalar_one())


def test_publish_pending__goes_oldest_first_in_batches_and_once(
    engine: Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 3)
    put(engine, clock, [5, 1, 7, 2, 6, 4, 3])
    publisher = Recorder()
    assert publish_pending(engine, publisher, clock) == 7
    ids = [f"cpe_{number:03}" for number in range(1, 8)]
    assert publisher.batches == [ids[:3], ids[3:6], ids[6:]]
    assert publish_pending(engine, publisher, clock) == 0
    assert len(publisher.batches) == 3


def test_enqueue__twice_or_rolled_back_is_not_told_twice_or_at_all(engine: Engine, clock: FixedClock) -> None:
    put(engine, clock, [1, 1])
    put(engine, clock, [1])
    with engine.connect() as connection:
        enqueue(connection, event(2, clock))
        connection.rollback()
    publisher = Recorder()
    assert publish_pending(engine, publisher, clock) == 1
    put(engine, clock, [1])
    assert publish_pending(engine, publisher, clock) == 0
    assert publisher.batches == [["cpe_001"]]


def test_publish_pending__keeps_what_pubsub_did_not_take(
    engine: Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    put(engine, clock, [1, 2, 3])
    publisher = Recorder(failures=[2])
    with pytest.raises(NotReadyError):
        publish_pending(engine, publisher, clock)
    assert unpublished(engine) == 1
    assert publish_pending(engine, publisher, clock) == 1
    assert publisher.batches == [["cpe_001", "cpe_002"], ["cpe_003"]]


def test_publish_pending__killed_before_it_recorded_publishes_the_same_again(engine: Engine, clock: FixedClock) -> None:
    class Killed(Recorder):
        def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
            super().publish_all(topic, messages)
            raise KeyboardInterrupt

    put(engine, clock, [1])
    killed, publisher = Killed(), Recorder()
    with pytest.raises(KeyboardInterrupt):
        publish_pending(engine, killed, clock)
    assert publish_pending(engine, publisher, clock) == 1
    assert killed.batches == publisher.batches == [["cpe_001"]]


@pytest.fixture(scope="module")
def pubsub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with embedded_ground(tmp_path_factory.mktemp("outbox"), ("pubsub",)) as settings:
        ensure_topics(settings, [TopicSpec(TOPIC, subscriptions=(SUBSCRIPTION,))])
        yield settings


def test_publish_pending__arrives_at_alerting_as_it_was_written(
    engine: Engine, clock: FixedClock, pubsub: Settings
) -> None:
    put(engine, clock, range(3))
    publisher = Publisher(pubsub)
    assert publish_pending(engine, publisher, clock) == 3
    publisher.close()
    channel = grpc.insecure_channel(pubsub.pubsub_endpoint)
    found = {}
    with pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)) as client:
        path = client.subscription_path(pubsub.gcp_project, SUBSCRIPTION)
        while len(found) < 3:
            for each in client.pull(subscription=path, max_messages=10, timeout=PATIENCE_S).received_messages:
                read = parse_compliance_event(each.message.data)
                found[read.event_id] = read.model_dump()
    written = [event(number, clock) for number in range(3)]
    assert found == {each.event_id: each.model_dump() for each in written}

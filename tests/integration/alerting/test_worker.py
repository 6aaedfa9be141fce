"""Worker processes on real servers: nothing lost, nothing doubled, whatever is killed."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from alerting.events import SUBSCRIPTION, TOPIC, MarginEvent
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import Ack, BatchConsumer, Publisher, Received, TopicSpec, ensure_topics
from infra.runtime.settings import PROJECT_ROOT, Settings

PATIENCE_S = 120.0
Make = Callable[..., MarginEvent]


class Worker:
    """`python -m alerting.worker`, which can be killed and started again."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._log = settings.state_dir / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = child_environment(StateFolder(self._settings.state_dir), self._name)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "alerting.worker"], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log
            )

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def count(self, event: str) -> int:
        """How often the event stands in the log."""
        return self.log().count(f'"event": "{event}"')

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


@contextmanager
def workers(settings: Settings, count: int) -> Iterator[list[Worker]]:
    running = [Worker(settings, f"alert-worker-{number}") for number in range(count)]
    for worker in running:
        worker.start()
    try:
        yield running
    finally:
        for worker in running:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait(PATIENCE_S)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Settings]:
    with embedded_ground(tmp_path, ("pubsub", "postgres", "inbox")) as settings:
        ensure_topics(settings, [TopicSpec(TOPIC, (SUBSCRIPTION,))])
        yield settings


def publish(settings: Settings, messages: list[bytes]) -> None:
    publisher = Publisher(settings)
    publisher.publish_all(TOPIC, messages)
    publisher.close()


def inbox(settings: Settings, method: str = "GET", path: str = "/api/messages?limit=5000", **body: Any) -> Any:
    assert settings.inbox_token is not None
    response = httpx.request(
        method,
        f"{settings.inbox_url}{path}",
        headers={"authorization": f"Bearer {settings.inbox_token.get_secret_value()}"},
        json=body or None,
        timeout=30,
        trust_env=False,
    )
    assert response.status_code == 200, response.text
    return response.json()


def wait_for(is_done: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def query(settings: Settings, statement: str) -> list[Any]:
    engine = postgres_engine(settings, "test")
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(statement)))
    finally:
        engine.dispose()


def dead_letters(settings: Settings, count: int) -> dict[str, bytes]:
    """The first dead letters: reason code to content."""
    found: dict[str, bytes] = {}
    stop = threading.Event()

    def keep(batch: Sequence[Received]) -> Sequence[Ack]:
        found.update({received.attributes["reason_code"]: received.data for received in batch})
        if len(found) >= count:
            stop.set()
        return [Ack() for _ in batch]

    timer = threading.Timer(PATIENCE_S, stop.set)
    timer.start()
    BatchConsumer(settings, TopicSpec(TOPIC, ()).dead_letter, keep).run(stop)
    timer.cancel()
    return found


def fresh(make_event: Make, count: int) -> list[MarginEvent]:
    return [make_event(number, detected_at=SystemClock().now()) for number in range(1, count + 1)]


@pytest.mark.embedded
def test_worker__killed_workers_and_repeated_messages_give_each_alert_once(ground: Settings, make_event: Make) -> None:
    events = fresh(make_event, 200)
    inbox(ground, "POST", "/api/failures", channel="webhook", status=503, count=5)
    with workers(ground, 2) as (steady, victim):
        # Failures come first: after the attempts of killed workers, the schedule would wait minutes for the next one.
        wait_for(lambda: steady.count("worker_ready") == 1, steady.log)
        publish(ground, [event.to_wire() for event in events[:10]])
        wait_for(
            lambda: query(ground, "select count(*) from alerting.notification_states where state = 'failed'") == [(5,)],
            lambda: (steady.log()[-3000:], victim.log()[-3000:]),
        )
        # The inbox stores first and answers late, so that kills fall between its acceptance and the ledger.
        inbox(ground, "POST", "/api/failures", channel="webhook", delay_s=0.5, count=10_000)
        dice = random.Random(7)
        for number, start in enumerate(range(10, 190, 45), start=1):
            wait_for(lambda wanted=number: victim.count("worker_ready") == wanted, victim.log)  # type: ignore[misc]
            messages = [event.to_wire() for event in events[start : start + 60]] * 2
            dice.shuffle(messages)
            attempted = victim.count("notification_attempted")
            publish(ground, messages)
            wait_for(lambda before=attempted: victim.count("notification_attempted") > before, victim.log)  # type: ignore[misc]
            victim.end(signal.SIGKILL)
            victim.start()
        inbox(ground, "POST", "/api/failures", channel="webhook", count=0)
        wait_for(
            lambda: len({m["event_id"] for m in inbox(ground)["messages"]}) == 200,
            lambda: (len(inbox(ground)["messages"]), steady.log()[-3000:], victim.log()[-3000:]),
        )
        wait_for(
            lambda: query(ground, "select 1 from alerting.notifications where terminal_state is null") == [],
            lambda: query(ground, "select * from alerting.notifications where terminal_state is null"),
        )
        assert [worker.end(signal.SIGTERM) for worker in (steady, victim)] == [0, 0]
    messages = inbox(ground)["messages"]
    assert Counter(m["event_id"] for m in messages) == {event.margin_event_id: 1 for event in events}
    assert len({m["message_key"] for m in messages}) == 200
    assert all(m["verified"] for m in messages)
    # A second copy is possible only where a worker died after the inbox accepted; the id exposes it.
    taken_over = query(
        ground,
        "select notification_id from alerting.notification_states where state = 'sent' group by 1 having count(*) > 1",
    )
    assert taken_over
    assert {m["message_key"] for m in messages if m["duplicates"]} <= {row[0] for row in taken_over}
    accepted = query(ground, "select count(*) from alerting.notification_states where state = 'accepted'")
    assert accepted == [(200,)]


@pytest.mark.embedded
def test_worker__poison_goes_to_the_dead_letter_with_the_reason(ground: Settings, make_event: Make) -> None:
    [good] = fresh(make_event, 1)
    newer = json.dumps(json.loads(good.to_wire()) | {"schema_version": 9}).encode()
    publish(ground, [b"no json", newer, good.to_wire()])
    with workers(ground, 1) as [worker]:
        wait_for(lambda: len(inbox(ground)["messages"]) == 1, worker.log)
        reasons = dead_letters(ground, 2)
        assert worker.end(signal.SIGTERM) == 0
    assert reasons == {"margin_event_invalid": b"no json", "margin_event_version_unknown": newer}


@pytest.mark.embedded
def test_worker__waits_for_a_receiver_that_is_away(ground: Settings, make_event: Make) -> None:
    inbox(ground, "POST", "/api/failures", channel="webhook", status=500, count=2)
    publish(ground, [event.to_wire() for event in fresh(make_event, 1)])
    with workers(ground, 1) as [worker]:
        wait_for(lambda: len(inbox(ground)["messages"]) == 1, worker.log)
        assert worker.end(signal.SIGTERM) == 0
    states = query(ground, "select state, seconds_since_detected from alerting.notification_states order by state_id")
    assert [row.state for row in states] == [
        "planned",
        *["claimed", "sent", "failed"] * 2,
        *["claimed", "sent", "accepted"],
    ]
    assert all(
        later.seconds_since_detected >= earlier.seconds_since_detected for earlier, later in itertools.pairwise(states)
    )

"""Worker processes on real servers: nothing lost, nothing doubled, whatever is killed."""

from __future__ import annotations

import itertools
import json
import random
import re
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

from alerting import compliance_events
from alerting.events import SUBSCRIPTION, TOPIC, MarginEvent
from alerting.migrations import upgrade
from alerting.preferences.service import RegisteredContact, register_contacts
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import Ack, BatchConsumer, Publisher, Received, TopicSpec, ensure_topics
from infra.runtime.sealing import Sealer
from infra.runtime.settings import PROJECT_ROOT, Settings

PATIENCE_S = 120.0
Make = Callable[..., MarginEvent]


class Worker:
    """`python -m alerting.worker`, which can be killed and started again."""

    def __init__(self, settings: Settings, name: str, *arguments: str) -> None:
        self._settings = settings
        self._arguments = arguments
        self._name = name
        self._log = settings.state_dir / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = child_environment(StateFolder(self._settings.state_dir), self._name)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "alerting.worker", *self._arguments],
                cwd=PROJECT_ROOT,
                env=environment,
                stdout=log,
                stderr=log,
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
    # Only one can have the port of the settings.
    running = [
        Worker(settings, f"alert-worker-{number}", *(("--port", "0") if number else ())) for number in range(count)
    ]
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
        ensure_topics(
            settings,
            [TopicSpec(TOPIC, (SUBSCRIPTION,)), TopicSpec(compliance_events.TOPIC, (compliance_events.SUBSCRIPTION,))],
        )
        yield settings


def register(settings: Settings, accounts: Sequence[str], *, phones: bool = True) -> None:
    """Give each account a mail address and a number."""
    engine = postgres_engine(settings, "test")
    upgrade(engine)
    people = [
        RegisteredContact(
            account, f"{account}@accounts.ballast.example", f"+1202555{n:04}" if phones else None, "en", "UTC"
        )
        for n, account in enumerate(accounts, start=100)
    ]
    done = register_contacts(engine, Sealer(settings.sealing_key), SystemClock(), people)
    engine.dispose()
    assert done.refused == {}


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
    """Margin calls of as many accounts, detected now."""
    return [
        make_event(n, account_id=f"acct-{n:05}", episode_id=f"mep_{n}", detected_at=SystemClock().now())
        for n in range(1, count + 1)
    ]


def ended(settings: Settings) -> bool:
    return query(settings, "select 1 from alerting.pending limit 1") == []


def under_way(settings: Settings) -> int:
    """Attempts whose outcome is not recorded yet."""
    return int(query(settings, "select count(*) from alerting.pending where claimed_until > clock_timestamp()")[0][0])


def accepted(settings: Settings) -> int:
    return int(query(settings, "select count(*) from alerting.notification_states where state = 'accepted'")[0][0])


@pytest.mark.embedded
def test_worker__killed_workers_and_repeated_messages_give_each_alert_once(ground: Settings, make_event: Make) -> None:
    events = fresh(make_event, 90)
    register(ground, [event.account_id for event in events])
    # The inbox stores first and answers late, so that kills fall between its acceptance and the ledger.
    for channel in ("webhook", "email", "sms"):
        inbox(ground, "POST", "/api/failures", channel=channel, delay_s=0.4, count=100_000)
    dice = random.Random(7)
    with workers(ground, 2) as running:
        for round_number, start in enumerate(range(0, 90, 30), start=1):
            wait_for(lambda n=round_number: all(w.count("worker_ready") == n for w in running), running[0].log)  # type: ignore[misc]
            messages = [event.to_wire() for event in events[start : start + 30]] * 2
            dice.shuffle(messages)
            publish(ground, messages)
            wait_for(lambda: under_way(ground) > 10, running[0].log)
            for worker in running:
                worker.end(signal.SIGKILL)
                worker.start()
        for channel in ("webhook", "email", "sms"):
            inbox(ground, "POST", "/api/failures", channel=channel, count=0)
        wait_for(
            lambda: accepted(ground) >= 270 and ended(ground),
            lambda: (accepted(ground), running[0].log()[-3000:], running[1].log()[-3000:]),
        )
        wait_for(lambda: [worker.count("worker_ready") for worker in running] == [4, 4], running[0].log)
        assert [worker.end(signal.SIGTERM) for worker in running] == [0, 0], [w.log()[-4000:] for w in running]
    messages = inbox(ground)["messages"]
    assert all(m["verified"] for m in messages)
    by_channel = {
        channel: Counter(m["notification_id"] or m["message_key"] for m in messages if m["channel"] == channel)
        for channel in ("webhook", "email", "sms")
    }
    planned = query(ground, "select notification_id, channel from alerting.notifications")
    for channel, seen in by_channel.items():
        assert set(seen) == {row.notification_id for row in planned if row.channel == channel}
        assert len(seen) == 90
    # The id exposes a second webhook and the look-up prevents a second text; a mail can come twice, in one window only.
    assert set(by_channel["webhook"].values()) == {1}
    assert set(by_channel["sms"].values()) == {1}
    taken_over = query(
        ground,
        "select notification_id from alerting.notification_states where state = 'sent' group by 1 having count(*) > 1",
    )
    assert taken_over
    twice = {key for key, count in by_channel["email"].items() if count > 1}
    twice |= {m["notification_id"] or m["message_key"] for m in messages if m["duplicates"]}
    assert twice <= {row.notification_id for row in taken_over}


@pytest.mark.embedded
def test_worker__poison_goes_to_the_dead_letter_with_the_reason(ground: Settings, make_event: Make) -> None:
    [good] = fresh(make_event, 1)
    newer = json.dumps(json.loads(good.to_wire()) | {"schema_version": 9}).encode()
    publish(ground, [b"no json", newer, good.to_wire()])
    with workers(ground, 1) as [worker]:
        wait_for(lambda: by_kind(ground)["webhook"] == 1, worker.log)
        reasons = dead_letters(ground, 2)
        assert worker.end(signal.SIGTERM) == 0
    assert reasons == {"margin_event_invalid": b"no json", "margin_event_version_unknown": newer}


def by_kind(settings: Settings) -> Counter[str]:
    return Counter(m["channel"] for m in inbox(settings)["messages"])


@pytest.mark.embedded
def test_worker__retries_a_receiver_that_fails_and_falls_back_to_a_page(ground: Settings, make_event: Make) -> None:
    inbox(ground, "POST", "/api/failures", channel="webhook", status=500, count=2)
    publish(ground, [event.to_wire() for event in fresh(make_event, 1)])
    with workers(ground, 1) as [worker]:
        # The account has no contact, so that the operators are paged at once.
        wait_for(lambda: by_kind(ground) == Counter({"webhook": 1, "pagerduty": 1}), worker.log)
        wait_for(lambda: ended(ground), worker.log)
        assert worker.end(signal.SIGTERM) == 0
    states = query(
        ground,
        "select s.state, s.seconds_since_detected from alerting.notification_states s"
        " join alerting.notifications n using (notification_id) where n.channel = 'webhook' order by s.state_id",
    )
    assert [row.state for row in states] == [
        "planned",
        *["claimed", "sent", "failed"] * 2,
        *["claimed", "sent", "accepted"],
    ]
    assert all(
        later.seconds_since_detected >= earlier.seconds_since_detected for earlier, later in itertools.pairwise(states)
    )


@pytest.mark.embedded
def test_worker__shows_its_health_and_metrics(ground: Settings, make_event: Make) -> None:
    events = fresh(make_event, 1)
    register(ground, [events[0].account_id])
    publish(ground, [event.to_wire() for event in events])
    root = f"http://127.0.0.1:{ground.alert_worker_port}"
    with workers(ground, 1) as [worker]:
        wait_for(lambda: accepted(ground) == 3 and ended(ground), worker.log)
        assert httpx.get(f"{root}/healthz", timeout=30, trust_env=False).json() == {"status": "ok"}
        assert httpx.get(f"{root}/metrics", timeout=30, trust_env=False).status_code == 401
        assert ground.api_token is not None
        token = {"authorization": f"Bearer {ground.api_token.get_secret_value()}"}
        shown = httpx.get(f"{root}/metrics", headers=token, timeout=30, trust_env=False).text
        assert worker.end(signal.SIGTERM) == 0
    assert 'channel="email"' in shown
    assert not re.search(r"acct-00001@|\+1202555", shown + worker.log())

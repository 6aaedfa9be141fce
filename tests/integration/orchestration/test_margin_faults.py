"""Each transition is announced under one id, whatever is killed with -9: the sensor's process or Pub/Sub."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alerting import events
from alerting.margin.watch import look
from infra.embedded.ports import HOST, free_ports
from infra.embedded.probes import GrpcProbe, ProbeContext, is_ready
from infra.runtime.pubsub import Publisher, TopicSpec, ensure_topics
from infra.runtime.settings import PROJECT_ROOT, Settings

pytestmark = pytest.mark.embedded
PATIENCE_S = 60.0
ACCOUNTS = 20

# Looks once, as the sensor does, and is killed where `sys.argv[1]` says.
SENSOR = """
import os, signal, sys
from alerting.margin.watch import look
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import load_settings

settings, where = load_settings(), sys.argv[1]
warehouse, publisher = Warehouse(settings), Publisher(settings)

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying:
    def publish_all(self, topic, messages):
        if where == "while publishing":
            publisher.publish_all(topic, messages[: len(messages) // 2])
            kill()
        return publisher.publish_all(topic, messages)

if where == "before recording":
    warehouse.append = kill
look(warehouse, Dying(), SystemClock())
publisher.close()
"""


def sensor(settings: Settings, state_dir: Path, where: str) -> int:
    """The exit code of a process that looks at the book once."""
    own = {"BALLAST_STATE_DIR": str(state_dir), "BALLAST_GCP_PROJECT": settings.gcp_project}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
    command = [sys.executable, "-W", "ignore", "-c", SENSOR, where]
    return subprocess.run(command, env=inherited | own, cwd=PROJECT_ROOT, timeout=PATIENCE_S, check=False).returncode


def test_sensor__killed_between_write_and_publish_announces_each_transition_under_one_id(
    margin: Any, ground: Settings
) -> None:
    margin.set_health(*[(f"a{number:02}", "margin_call", "20") for number in range(ACCOUNTS)])
    codes = [
        sensor(margin.settings, ground.state_dir, where)
        for where in ("while publishing", "before recording", "nowhere")
    ]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    kept = [row["margin_event_id"] for row in margin.kept()]
    assert [row["account_id"] for row in margin.kept()] == [f"a{number:02}" for number in range(ACCOUNTS)]
    assert margin.published() == sorted(kept)
    # Half of them went out before the kill, all before the next, and all at last: under the same ids, told once.
    told = Counter(event.margin_event_id for event in margin.pull(ACCOUNTS * 5 // 2))
    assert sorted(told) == sorted(kept)
    assert sorted(told.values()) == [2] * (ACCOUNTS // 2) + [3] * (ACCOUNTS // 2)


class PubSub:
    """The embedded Pub/Sub in a process of its own, on one port and one folder."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.settings = settings.model_copy(update={"pubsub_endpoint": f"{HOST}:{self.port}"})
        self._argv = [sys.executable, "-m", "infra.embedded.pubsub", "--data-dir", str(folder), "--port"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*self._argv, str(self.port)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends = time.monotonic() + PATIENCE_S
        while not is_ready((GrpcProbe(self.port),), ProbeContext(self.settings)):
            assert self.process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None


def test_outbox__pubsub_killed_while_publishing_loses_no_transition(margin: Any, tmp_path: Path) -> None:
    pubsub = PubSub(margin.settings, tmp_path / "pubsub")
    try:
        pubsub.start()
        ensure_topics(pubsub.settings, [TopicSpec(events.TOPIC, subscriptions=(events.SUBSCRIPTION,))])
        margin.set_health(*[(f"a{number:02}", "liquidation", "5") for number in range(ACCOUNTS)])
        publisher = Publisher(pubsub.settings)
        is_publishing = threading.Event()
        killed = threading.Event()

        class Interrupted:
            def publish_all(self, topic: str, messages: list[bytes]) -> list[str]:
                first = publisher.publish_all(topic, messages[:5])
                is_publishing.set()
                assert killed.wait(PATIENCE_S)
                return first + publisher.publish_all(topic, messages[5:])

        failures: list[BaseException] = []

        def run() -> None:
            try:
                look(margin.warehouse, Interrupted(), margin.clock)
            except BaseException as error:
                failures.append(error)

        looking = threading.Thread(target=run)
        looking.start()
        assert is_publishing.wait(PATIENCE_S)
        pubsub.kill()
        killed.set()
        pubsub.start()
        looking.join(PATIENCE_S * 2)
        assert failures == []
        publisher.close()
        margin.settings = pubsub.settings
        told = {event.margin_event_id for event in margin.pull(ACCOUNTS)}
        assert sorted(told) == margin.published() == sorted(row["margin_event_id"] for row in margin.kept())
        assert len(told) == ACCOUNTS
    finally:
        pubsub.kill()

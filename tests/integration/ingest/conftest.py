"""The real consumer process on embedded servers, which can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from infra.runtime.bigquery import Warehouse
from infra.runtime.ids import stable_id
from infra.runtime.pubsub import Publisher, ensure_topics
from infra.runtime.settings import PROJECT_ROOT, Settings
from ingest import topics
from ingest.messages import SettlementEvent

PATIENCE_S = 150.0
"""Seconds until a wait gives up; no test asserts how long something took."""


def eventually(check: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait until `check` holds; fails telling `what` stands then."""
    ends = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < ends, what()
        time.sleep(0.2)


@dataclass
class Module:
    """`python -m <module>`, in a process of its own, on the servers of `state_dir`."""

    module: str
    state_dir: Path
    log: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
        own = {"BALLAST_STATE_DIR": str(self.state_dir), "PYTHONUNBUFFERED": "1", **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.arguments],
                env=inherited | own,
                cwd=PROJECT_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self, number: signal.Signals) -> int:
        """Send the signal and wait; the exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(PATIENCE_S)

    def logged(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@dataclass
class Flow:
    """A project on embedded servers, its consumer, and short words for what the tests do."""

    settings: Settings
    consumer: Module
    warehouse: Warehouse
    publisher: Publisher

    def publish(self, topic: str, messages: list[bytes]) -> None:
        self.publisher.publish_all(topic, messages)

    def ids(self, table: str, column: str) -> list[str]:
        """The ids in a raw table, one a row."""
        return [str(row["id"]) for row in self.warehouse.query(f"select {column} as id from raw.{table}")]

    def wait_for(self, table: str, column: str, ids: set[str]) -> None:
        """Wait until all ids are there."""
        eventually(
            lambda: ids <= set(self.ids(table, column)),
            lambda: (
                f"{len(ids - set(self.ids(table, column)))} of {len(ids)} missing\n{self.consumer.logged()[-4000:]}"
            ),
        )

    def pull(self, subscription: str, count: int) -> list[Any]:
        """Messages of a subscription, acknowledged."""
        channel = grpc.insecure_channel(self.settings.pubsub_endpoint)
        with pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)) as client:
            path = client.subscription_path(self.settings.gcp_project, subscription)
            found: list[Any] = []
            while len(found) < count:
                got = client.pull(subscription=path, max_messages=100, timeout=PATIENCE_S).received_messages
                client.acknowledge(subscription=path, ack_ids=[each.ack_id for each in got], timeout=PATIENCE_S)
                found += [each.message for each in got]
            return found


@pytest.fixture
def make_flow(tmp_path: Path) -> Iterator[Callable[[Settings, Path], Flow]]:
    """Flows on settings whose raw tables are there; `state_dir` holds the servers' `ballast.env`."""
    made: list[Flow] = []

    def make(settings: Settings, state_dir: Path) -> Flow:
        ensure_topics(settings, topics.TOPICS)
        environment = {"BALLAST_GCP_PROJECT": settings.gcp_project}
        consumer = Module("ingest.consumer", state_dir, tmp_path / "consumer.log", environment=environment)
        made.append(Flow(settings, consumer, Warehouse(settings), Publisher(settings)))
        return made[-1]

    yield make
    for flow in made:
        if flow.consumer.process is not None:
            flow.consumer.end(signal.SIGKILL)
        flow.publisher.close()
        flow.warehouse.client.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def flow(
    ground: Settings,
    new_project: Callable[..., Settings],
    make_flow: Callable[[Settings, Path], Flow],
    request: pytest.FixtureRequest,
) -> Flow:
    """A flow in a project of its own on the session's servers; the consumer is not yet started."""
    project = stable_id("flow", request.node.name).replace("_", "-")[:25]
    return make_flow(new_project(project), ground.state_dir)


@pytest.fixture
def make_events() -> Callable[[int], list[SettlementEvent]]:
    """Settlement events with numbers from `start`, each with a quantity of its own."""

    def make(count: int, start: int = 0) -> list[SettlementEvent]:
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        return [
            SettlementEvent.model_validate(
                {
                    "event_id": f"ev_{number}",
                    "account_id": f"acct-{number % 7}",
                    "asset": "BTC",
                    "side": "collateral",
                    "kind": "deposit",
                    "quantity": Decimal(number + 1).scaleb(-9),
                    "occurred_at": at,
                    "chain": "bitcoin",
                    "tx_hash": f"0x{number}",
                }
            )
            for number in range(start, start + count)
        ]

    return make


@pytest.fixture
def run_module() -> Iterator[Callable[..., Module]]:
    """Processes that are ended with the test."""
    made: list[Module] = []

    def make(*arguments: Any, **named: Any) -> Module:
        made.append(Module(*arguments, **named))
        return made[-1]

    yield make
    for module in made:
        if module.process is not None:
            module.end(signal.SIGKILL)

"""Upkeep as a process on real servers: what it does, what it shows, and how it ends."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from alerting.ledger import AlertEvent, PlannedNotification, store
from alerting.notices import INTERNAL_TOPIC, Kind
from alerting.upkeep import SERVICE
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.heartbeats import read_heartbeats
from infra.runtime.settings import PROJECT_ROOT, Settings

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(600)]

PATIENCE_S = 120.0
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def bigquery(new_project: Callable[..., Settings]) -> Settings:
    """A project with the raw tables."""
    return new_project("ballast-upkeep")


@contextmanager
def upkeep(
    postgres: Settings, bigquery: Settings, changes: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m alerting.upkeep`, killed with the block if it still runs."""
    assert bigquery.bigquery_token is not None
    environment = child_environment(StateFolder(postgres.state_dir), "upkeep") | {
        "BALLAST_BIGQUERY_ENDPOINT": str(bigquery.bigquery_endpoint),
        "BALLAST_BIGQUERY_TOKEN": bigquery.bigquery_token.get_secret_value(),
        "BALLAST_GCP_PROJECT": bigquery.gcp_project,
        **(changes or {}),
    }
    with (postgres.state_dir / "upkeep.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "alerting.upkeep"], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_S)


def until(condition: Callable[[], Any]) -> Any:
    """The first true answer; fails when there is none for a long time."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail("what was waited for did not come")
        time.sleep(0.05)
    return found


def plan(engine: Engine, number: int, state: str | None = None) -> None:
    """A notification of a minute ago, ended at once where there is a state."""
    at = SystemClock().now() - timedelta(minutes=1)
    event = AlertEvent(
        event_id=f"evt_{number}",
        topic=INTERNAL_TOPIC,
        kind=Kind.MARGIN,
        rule="margin",
        account_id="a",
        owner="a",
        severity="margin_call",
        episode_id="mep_1",
        sequence=number,
        payload={},
        detected_at=at,
    )
    planned = PlannedNotification(event.event_id, "sms", "con_1")
    with engine.begin() as connection:
        store(connection, [event], [planned], at)
        if state is not None:
            connection.execute(text("delete from alerting.pending"))
            connection.execute(text("update alerting.notifications set terminal_state = :state"), {"state": state})


def in_ledger(engine: Engine) -> set[tuple[str, int]]:
    statement = text("select notification_id, state_id from alerting.notification_states")
    with engine.connect() as connection:
        return {(row.notification_id, row.state_id) for row in connection.execute(statement)}


def in_warehouse(settings: Settings) -> set[tuple[str, int]]:
    warehouse = Warehouse(settings)
    rows = warehouse.query("select notification_id, state_id from raw.notification_events")
    warehouse.client.close()  # type: ignore[no-untyped-call]
    return {(row["notification_id"], row["state_id"]) for row in rows}


def until_more(settings: Settings, before: int) -> None:
    """Wait until more steps are mirrored than before."""
    until(lambda: len(in_warehouse(settings)) > before)


def rate_events(engine: Engine) -> list[str]:
    statement = text("select severity from alerting.events where kind = 'delivery_rate' order by sequence")
    with engine.connect() as connection:
        return list(connection.execute(statement).scalars())


def health(settings: Settings) -> tuple[int, dict[str, Any]] | None:
    try:
        answer = httpx.get(f"http://127.0.0.1:{settings.alert_upkeep_port}/healthz", timeout=5.0)
    except httpx.TransportError:
        return None
    return answer.status_code, answer.json()


def test_upkeep__mirrors_watches_shows_itself_and_ends_when_asked(
    engine: Engine, postgres_settings: Settings, bigquery: Settings
) -> None:
    for number in range(25):
        plan(engine, number)
    with engine.begin() as connection:
        connection.execute(text("delete from alerting.pending"))
        connection.execute(text("update alerting.notifications set terminal_state = 'failed'"))
    with upkeep(postgres_settings, bigquery) as process:
        until(lambda: in_ledger(engine) <= in_warehouse(bigquery))
        until(lambda: rate_events(engine) == ["warning"])
        plan(engine, 100)
        until(lambda: in_ledger(engine) <= in_warehouse(bigquery))
        found = until(lambda: (answer := health(postgres_settings)) and answer[0] == 200 and answer)
        assert found[1] == {"problem": None, "jobs": {"mirror": "ok", "rates": "ok", "retention": "ok"}}
        assert postgres_settings.api_token is not None
        shown = httpx.get(
            f"http://127.0.0.1:{postgres_settings.alert_upkeep_port}/metrics",
            headers={"Authorization": f"Bearer {postgres_settings.api_token.get_secret_value()}"},
            timeout=5.0,
        )
        assert shown.status_code == 200
        assert 'channel="sms",window="1h"} 0.0' in shown.text
        assert 'channel="email",window="1h"} NaN' in shown.text
        until(lambda: (beat := read_heartbeats(engine).get(SERVICE)) and beat.problem is None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_upkeep__killed_again_and_again_loses_no_step(
    engine: Engine, postgres_settings: Settings, bigquery: Settings
) -> None:
    ended = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            plan(engine, number)
            ended.wait(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            with upkeep(postgres_settings, bigquery) as process:
                until_more(bigquery, len(in_warehouse(bigquery)))
                process.kill()
    finally:
        ended.set()
        writer.join(PATIENCE_S)
    with upkeep(postgres_settings, bigquery):
        until(lambda: in_ledger(engine) <= in_warehouse(bigquery))


def test_upkeep__without_warehouse_says_so_and_does_the_rest(
    engine: Engine, postgres_settings: Settings, bigquery: Settings
) -> None:
    for number in range(25):
        plan(engine, number)
    with engine.begin() as connection:
        connection.execute(text("delete from alerting.pending"))
        connection.execute(text("update alerting.notifications set terminal_state = 'failed'"))
    with upkeep(postgres_settings, bigquery, {"BALLAST_BIGQUERY_ENDPOINT": NOWHERE}) as process:
        until(lambda: rate_events(engine) == ["warning"])
        shown = {
            "problem": "mirror_not_ready",
            "jobs": {"mirror": "mirror_not_ready", "rates": "ok", "retention": "ok"},
        }
        until(lambda: health(postgres_settings) == (503, shown))
        until(lambda: (beat := read_heartbeats(engine).get(SERVICE)) and beat.problem == "mirror_not_ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_upkeep__waits_for_postgres_and_can_be_stopped_meanwhile(
    postgres_settings: Settings, bigquery: Settings
) -> None:
    log = postgres_settings.state_dir / "upkeep.log"
    log.write_bytes(b"")
    nowhere = {"BALLAST_POSTGRES_URL": "postgresql://ballast@127.0.0.1:9/ballast"}
    with upkeep(postgres_settings, bigquery, nowhere) as process:
        until(lambda: "waits_for_postgres" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert "jobs_ready" not in events

"""Compliance's worker on real servers: alarms, what a killed process left behind, and the process itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from alerting.compliance_events import parse_compliance_event
from alerting.migrations.apply import upgrade
from compliance.api.services import build_services
from compliance.model import Actor, Direction, Role, Transaction
from compliance.outbox import publish_pending
from compliance.screening.model import ScreeningOutcome, WalletEntry, WalletScreening
from compliance.users import read_user, user_of_account
from compliance.worker import SERVICE
from compliance.worker_jobs import ALARMS_AT_ONCE, raise_age_alarms
from infra.embedded.compliance_ground import load_sample_list, register_customers
from infra.embedded.ports import free_ports
from infra.embedded.provision import TOPICS
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.embedded.testing import embedded_ground
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.envelope import Envelope, key_ring
from infra.runtime.heartbeats import read_heartbeats
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import ensure_topics
from infra.runtime.settings import PROJECT_ROOT, Settings
from tests.integration.compliance.emptied_schema import EmptiedSchema

pytestmark = pytest.mark.timeout(300)

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
PATIENCE_S = 120.0
LISTED = "0xf1c7100000000000000000000000000000000003"
ANALYST, OFFICER = Actor("analyst", Role.ANALYST), Actor("officer", Role.OFFICER)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with embedded_ground(tmp_path_factory.mktemp("worker"), ("postgres", "pubsub", "kyc-providers")) as settings:
        ensure_topics(settings, TOPICS)
        yield settings


@pytest.fixture(scope="module")
def module_engine(settings: Settings) -> Iterator[Engine]:
    engine = postgres_engine(settings, "test")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def emptied(module_engine: Engine) -> EmptiedSchema:
    return EmptiedSchema(module_engine)


@pytest.fixture
def engine(module_engine: Engine, emptied: EmptiedSchema) -> Engine:
    emptied.empty()
    return module_engine


class _Lists:
    """One list with one wallet."""

    def list_versions(self) -> Mapping[str, str]:
        return {"sample": "lv_1"}

    def screen_wallet(self, address: str, chain: str) -> WalletScreening:
        assert (address, chain) == (LISTED, "ethereum")
        entry = WalletEntry("sample", "lv_1", "990005", "ETH", ("sanction",))
        return WalletScreening(ScreeningOutcome.HIT, (entry,), self.list_versions())


@dataclass
class _Published:
    messages: list[bytes] = field(default_factory=list)

    def publish_all(self, topic: str, messages: Any) -> list[str]:
        self.messages += messages
        return [str(number) for number, _ in enumerate(messages)]


def deposit(number: int, at: datetime) -> Transaction:
    return Transaction(
        transaction_id=f"tx-{number}",
        account_id=f"acct-{number}",
        direction=Direction.IN,
        kind="deposit",
        side="collateral",
        asset="ETH",
        quantity=Decimal(1),
        amount_usd=Decimal(2500),
        chain="ethereum",
        occurred_at=at,
        counterparty_address=LISTED,
        counterparty_country="CH",
        has_travel_rule_data=True,
        is_self_hosted=False,
    )


UNDECIDED = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, chain, occurred_at, received_at)
    select 'tx-' || lpad(n::text, 3, '0'), 'acct-1', 'in', 'deposit', 'collateral', 'ETH', 1, 'ethereum', :at, :at
    from generate_series(1, :rows) as n
    """
)


def left_undecided(engine: Engine, rows: int) -> None:
    with engine.begin() as connection:
        connection.execute(UNDECIDED, {"at": START, "rows": rows})


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail("what was waited for did not come")
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(("seconds", "alarms"), [(59, 0), (60, 1), (3600, 1)])
def test_age_alarm__comes_after_a_minute_without_policy_or_list(engine: Engine, seconds: int, alarms: int) -> None:
    left_undecided(engine, 1)
    assert raise_age_alarms(engine, FixedClock(START + timedelta(seconds=seconds))) == alarms


def test_age_alarm__is_critical_told_once_and_what_alerting_reads(engine: Engine) -> None:
    left_undecided(engine, 1)
    clock, told = FixedClock(START + timedelta(seconds=61)), _Published()
    for _ in range(3):
        raise_age_alarms(engine, clock)
        publish_pending(engine, told, clock)
        clock.advance(timedelta(minutes=5))
    (event,) = map(parse_compliance_event, told.messages)
    assert (event.kind, event.severity, event.case_id) == ("transaction_undecided", "critical", "tx-001")


def test_age_alarm__of_a_gate_that_stands_still_is_no_flood(engine: Engine) -> None:
    left_undecided(engine, 10 * ALARMS_AT_ONCE)
    clock, told = FixedClock(START + timedelta(minutes=2)), _Published()
    for _ in range(3):
        raise_age_alarms(engine, clock)
    assert publish_pending(engine, told, clock) == ALARMS_AT_ONCE


@contextmanager
def worker(settings: Settings, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m compliance.worker`, killed with the block if it still runs."""
    environment = child_environment(StateFolder(settings.state_dir), SERVICE)
    environment["BALLAST_COMPLIANCE_WORKER_PORT"] = str(port)
    with (settings.state_dir / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "compliance.worker"], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_S)


def health(port: int) -> dict[str, Any] | None:
    try:
        return dict(json.loads(httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5.0).content))
    except httpx.TransportError:
        return None


def test_worker__says_that_no_list_is_there_and_with_one_judges_what_waited_and_approves_without_webhooks(
    settings: Settings, engine: Engine
) -> None:
    clock = SystemClock()
    register_customers(settings, engine, clock, ["acct-00001"])
    with engine.connect() as connection:
        user_id = user_of_account(connection, "acct-00001")
    assert user_id is not None
    left_undecided(engine, 2)
    (port,) = free_ports(1)
    with worker(settings, port) as process:
        until(lambda: _waiting(engine) == (2, 0))
        jobs = until(lambda: _jobs(port, {"lists": "lists_compliance_not_ready"}))
        assert (jobs["alarm"], jobs["outbox"]) == ("ok", "ok")
        until(lambda: (_beat_problem(engine) or "").endswith("_compliance_not_ready"))
        assert settings.api_token is not None
        shown = httpx.get(
            f"http://127.0.0.1:{port}/metrics",
            headers={"Authorization": f"Bearer {settings.api_token.get_secret_value()}"},
            timeout=5.0,
        ).text
        assert 'ballast_compliance_waiting{what="undecided"} 2.0' in shown
        load_sample_list(engine, clock)
        envelope = Envelope(key_ring(settings))
        start_verification(settings, engine, user_id)
        # Until the customer has submitted, a provider is asked every 15 seconds; the test does not wait for that.
        due = text(
            "update compliance.kyc_cases set next_poll_at = now() where kyc_case_id in"
            " (select kyc_case_id from compliance.kyc_cases where state = 'pending' for update skip locked)"
        )

        def is_approved() -> bool:
            with engine.begin() as connection:
                connection.execute(due)
                return read_user(connection, envelope, user_id).kyc_state == "approved"

        until(is_approved)
        body = until(lambda: (found := health(port)) and found["problem"] is None and found)
        assert set(body["jobs"].values()) == {"ok"}
        assert _undecided(engine) == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def start_verification(settings: Settings, engine: Engine, user_id: str) -> None:
    """Begin to verify the customer, who submits at once; no API runs, so that every webhook is lost."""
    assert settings.persona_api_key is not None
    with closing(build_services(settings, engine, SystemClock())) as services:
        case = services.kyc.start(user_id, "once")
    for status in ("pending", "completed", "approved"):
        httpx.post(
            f"{settings.persona_url.removesuffix('/api/v1')}/control/persona/{case.provider_reference}/steps",
            json={"status": status},
            headers={"Authorization": f"Bearer {settings.persona_api_key.get_secret_value()}"},
            timeout=5.0,
        ).raise_for_status()


def _undecided(engine: Engine) -> int:
    with engine.connect() as connection:
        statement = "select count(*) from compliance.transaction_logs where decision is null"
        return int(connection.execute(text(statement)).scalar_one())


def _jobs(port: int, wanted: Mapping[str, str]) -> dict[str, str] | None:
    """What the jobs say, once some of them say what is wanted."""
    found = health(port)
    return found["jobs"] if found and found["jobs"].items() >= wanted.items() else None


def _beat_problem(engine: Engine) -> str | None:
    beat = read_heartbeats(engine).get(SERVICE)
    return beat.problem if beat is not None else None


def _waiting(engine: Engine) -> tuple[int, int]:
    """How many alarms there are, and how many of them Pub/Sub does not have."""
    statement = "select count(*), count(*) filter (where published_at is null) from compliance.outbox"
    with engine.connect() as connection:
        row = connection.execute(text(statement)).one()
    return int(row[0]), int(row[1])

"""What provisioning gives compliance, and the demo's deposit from a listed wallet, on PostgreSQL and real services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console
from sqlalchemy import Engine, text

from compliance.api.services import Services, build_services
from compliance.chain import verify
from compliance.model import Decision
from compliance.users import read_user, user_of_account
from infra.embedded import compliance_ground
from infra.embedded.compliance_ground import (
    SANCTIONED_WALLET,
    customer,
    load_sample_list,
    record_policies,
    register_customers,
)
from infra.embedded.demo.compliance import check, deposit, read_trail, release, trail_table
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import Envelope, key_ring
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings
from tests.integration.compliance.emptied_schema import EmptiedSchema
from tests.integration.compliance.own_database import own_database

# The tables of the matcher take seconds to read: one process does.
pytestmark = pytest.mark.xdist_group("screener")

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
ACCOUNTS = [f"acct-{number:05d}" for number in range(1, 26)]


@pytest.fixture(scope="module")
def settings(ground: Settings) -> Settings:
    return own_database(ground, "compliance_ground")


@pytest.fixture(scope="module")
def module_engine(settings: Settings) -> Iterator[Engine]:
    engine = postgres_engine(settings, "test")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def emptied(module_engine: Engine) -> EmptiedSchema:
    return EmptiedSchema(module_engine)


@pytest.fixture
def engine(module_engine: Engine, emptied: EmptiedSchema) -> Engine:
    emptied.empty()
    return module_engine


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


def rows(engine: Engine, statement: str) -> Sequence[object]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def test_policies__are_recorded_once(engine: Engine, clock: FixedClock) -> None:
    first = record_policies(engine, clock)
    assert first == len(rows(engine, "select policy_version from compliance.policies")) > 0
    assert record_policies(engine, clock) == 0


def test_customers__each_account_once_unverified_and_in_no_clear_text(
    settings: Settings, engine: Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compliance_ground, "CHUNK", 10)
    assert register_customers(settings, engine, clock, ACCOUNTS[:12] + ACCOUNTS[:3]) == 12
    assert register_customers(settings, engine, clock, ACCOUNTS) == 13, "what a kill left out is made by the next start"
    assert register_customers(settings, engine, clock, ACCOUNTS) == 0
    assert set(rows(engine, "select kyc_state from compliance.users")) == {"none"}
    wanted = customer(ACCOUNTS[0]).personal
    with engine.connect() as connection:
        user_id = user_of_account(connection, ACCOUNTS[0])
        assert user_id is not None
        assert read_user(connection, Envelope(key_ring(settings)), user_id).personal == wanted
    stored = " ".join(map(str, rows(engine, "select users::text from compliance.users")))
    assert wanted.last_name is not None
    assert wanted.last_name not in stored
    assert ACCOUNTS[0] + "@" not in stored


def test_customers__that_a_release_would_name_otherwise_stay_who_they_are(
    settings: Settings, engine: Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_customers(settings, engine, clock, ACCOUNTS[:5])
    monkeypatch.setattr(compliance_ground, "_FIRST_NAMES", ("Zadok",))
    assert register_customers(settings, engine, clock, ACCOUNTS[:6]) == 1


def test_sample_list__is_loaded_once_under_a_name_that_no_real_one_has(engine: Engine, clock: FixedClock) -> None:
    assert load_sample_list(engine, clock)
    assert not load_sample_list(engine, clock)
    assert rows(engine, "select entries from compliance.list_versions where state = 'active'") == [10]
    assert SANCTIONED_WALLET in rows(engine, "select address from compliance.list_wallets")
    assert rows(engine, "select list_name from compliance.list_versions") == ["fictional_sample"]


def test_sample_list__holds_no_name_and_no_address_of_the_real_one() -> None:
    for file in compliance_ground.SAMPLE_FILES:
        for line in (compliance_ground.SAMPLE / file).read_text().splitlines():
            assert line.startswith("9900"), line
    shown = (compliance_ground.SAMPLE / "sdn.csv").read_text()
    assert shown.count("0xf1c71") == shown.count("0x") > 0


@pytest.fixture
def services(settings: Settings, engine: Engine, clock: FixedClock) -> Services:
    record_policies(engine, clock)
    load_sample_list(engine, clock)
    register_customers(settings, engine, clock, ACCOUNTS)
    services = build_services(settings, engine, clock)
    services.screener.reload()
    return services


def test_customers__none_of_them_stands_on_the_sample_list(
    settings: Settings, engine: Engine, clock: FixedClock, services: Services
) -> None:
    policy = services.policies.current(clock.now())
    for account in ACCOUNTS[:10]:
        user = customer(account)
        screened = services.screener.screen_name(
            user.personal.name, kind="person", birth_date=user.personal.birth_date, countries=(), policy=policy
        )
        assert (account, str(screened.outcome)) == (account, "clear")


def test_gate__a_deposit_from_a_listed_wallet_is_published_only_after_two_people_released_it(
    engine: Engine, clock: FixedClock, services: Services
) -> None:
    published = Published()
    event = deposit(ACCOUNTS[0], "ETH", clock.now())
    blocked = check(services, event, Decimal(5000))
    assert services.gate.publish_accepted(published) == 0
    clock.advance(timedelta(seconds=1))
    assert release(services, engine, blocked).decision is Decision.RELEASED
    assert services.gate.publish_accepted(published) == 1
    assert [event.event_id.encode() in message for message in published.messages] == [True]
    trail = read_trail(engine, blocked)
    assert [(step.actor, step.what) for step in trail] == [
        ("system", "case: opened"),
        ("system", "decision: blocked"),
        ("analyst", "case: assigned"),
        ("analyst", "case: proposed"),
        ("officer", "case: approved"),
        ("officer", "decision: released"),
    ]
    assert all(step.because for step in trail if step.what != "case: assigned")
    with engine.connect() as connection:
        verify(connection)
    console = Console(width=200, record=True)
    console.print(trail_table(trail, blocked.transaction_id))
    shown = console.export_text()
    assert all(word in shown for word in ("blocked", "released", "analyst", "officer", trail[0].hash[:10]))
    assert SANCTIONED_WALLET not in shown


class Published:
    """Takes what would go to Pub/Sub."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        self.messages += messages
        return [topic for _ in messages]

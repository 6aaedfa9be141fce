"""The people of the simulated book, registered in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text

from alerting.migrations.apply import upgrade
from infra.embedded.people import LOCALES, book_people
from infra.embedded.provision import register_people
from infra.embedded.testing import embedded_ground
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings
from ingest.messages import Kind, SettlementEvent, Side


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with embedded_ground(tmp_path_factory.mktemp("people"), ("postgres",)) as settings:
        engine = postgres_engine(settings)
        upgrade(engine)
        engine.dispose()
        yield settings


def event(account: str) -> SettlementEvent:
    return SettlementEvent(
        event_id=f"evt_{account}",
        account_id=account,
        asset="BTC",
        side=Side.COLLATERAL,
        kind=Kind.DEPOSIT,
        quantity=Decimal(1),
        occurred_at=datetime(2026, 1, 31, tzinfo=UTC),
        chain="bitcoin",
        tx_hash=f"tx_{account}",
    )


def test_register_people__each_account_once_and_in_no_clear_text(settings: Settings) -> None:
    events = [event(f"acct-{number:05d}") for number in (1, 2, 3, 2, 1)]
    assert register_people(settings, events) == 3
    assert register_people(settings, events) == 0
    engine = postgres_engine(settings)
    with engine.connect() as connection:
        rows = connection.execute(text("select owner, channel, origin, status from alerting.contacts order by 1, 2"))
        found = [tuple(row) for row in rows]
        dump = str(connection.execute(text("select * from alerting.contacts")).all())
        dump += str(connection.execute(text("select * from alerting.preference_changes")).all())
    engine.dispose()
    accounts = ("acct-00001", "acct-00002", "acct-00003")
    assert found == [(each, channel, "registered", "verified") for each in accounts for channel in ("email", "sms")]
    assert "acct-00001@accounts" not in dump
    assert "+1202555" not in dump


def test_book_people__are_fictional_the_same_each_time_and_of_all_locales(settings: Settings) -> None:
    accounts = [f"acct-{number:05d}" for number in range(1, 201)]
    people = book_people(settings, accounts)
    assert people == book_people(settings, reversed(accounts))
    assert people[0].email == "acct-00001@accounts.ballast.example"
    numbers = {int(str(person.phone)) for person in people}
    assert min(numbers) >= 12025550100
    assert max(numbers) <= 12025550199
    assert {person.locale for person in people} == set(LOCALES)
    assert len({person.time_zone for person in people}) > 3


@pytest.mark.parametrize(
    ("changes", "has_mail", "has_phone"),
    [
        ({}, True, True),
        ({"sendgrid_url": "https://api.sendgrid.com"}, False, True),
        ({"twilio_url": "https://api.twilio.com"}, True, False),
    ],
)
def test_book_people__made_up_addresses_reach_no_real_provider(
    settings: Settings, changes: dict[str, str], has_mail: bool, has_phone: bool
) -> None:
    [person] = book_people(settings.model_copy(update=changes), ["acct-00001"])
    assert (person.email is not None, person.phone is not None) == (has_mail, has_phone)


def test_book_people__without_a_local_provider_there_are_none(settings: Settings) -> None:
    real = {"sendgrid_url": "https://api.sendgrid.com", "twilio_url": "https://api.twilio.com"}
    assert book_people(settings.model_copy(update=real), ["acct-00001"]) == []

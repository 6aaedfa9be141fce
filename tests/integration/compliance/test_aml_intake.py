"""What settled without passing the gate: judged once, and an alarm where it must not have happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from compliance.aml.gate import Gate
from compliance.aml.intake import Intake
from compliance.aml.past_prices import ClosesAndLatest
from compliance.aml.valuation import Valuation
from compliance.errors import ComplianceNotReadyError
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError
from infra.runtime.pubsub import Ack, DeadLetter, Received
from ingest.messages import SettlementEvent
from tests.integration.compliance.gate_world import DEPOSIT, EVENT, NOW, Lists, rows

STATED = {"has_travel_rule_data": True, "is_self_hosted": False}


@dataclass
class _Prices:
    is_away: bool = False
    asked: list[datetime] = field(default_factory=list)

    def at(self, when: datetime) -> Valuation:
        if self.is_away:
            raise NotReadyError("no closes")
        self.asked.append(when)
        return self

    def price_usd(self, _asset: str) -> Decimal | None:
        return Decimal(1)


def received(**changes: Any) -> Received:
    """The gate's own event as it arrives, with changes."""
    event = {"event_id": DEPOSIT.transaction_id, "schema_version": 1, **EVENT, **STATED, **changes}
    data = SettlementEvent.model_validate(event).to_json()
    return Received(data, {}, "m1", NOW, "")


def intake(engine: Engine, clock: FixedClock, gate: Gate, prices: _Prices | None = None) -> Intake:
    return Intake(engine, clock, lambda: gate, prices or _Prices())


def told(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select message ->> 'kind', message ->> 'severity' from compliance.outbox order by 1")


def test_intake__judges_once_what_nobody_asked_about(engine: Engine, clock: FixedClock, gate: Gate) -> None:
    prices = _Prices()
    handle = intake(engine, clock, gate, prices)
    assert [handle([received()]) for _ in range(2)] == [[Ack()], [Ack()]]
    assert prices.asked[0] == DEPOSIT.occurred_at
    assert rows(
        engine,
        "select transaction_id, decision, amount_usd = quantity, is_settled_unasked, event from"
        " compliance.transaction_logs",
    ) == [("t1", "accepted", True, True, None)]
    assert len(rows(engine, "select 1 from compliance.decisions")) == 1
    assert told(engine) == []


def test_intake__a_listed_wallet_opens_a_case_that_says_it_has_settled(
    engine: Engine, clock: FixedClock, gate: Gate
) -> None:
    assert intake(engine, clock, gate)([received(counterparty_address="0xBAD")]) == [Ack()]
    assert rows(engine, "select title from compliance.cases") == [
        ("Transaction settled unasked, would be blocked: sanctioned_wallet (block)",)
    ]


def test_intake__leaves_alone_what_the_gate_let_pass(engine: Engine, clock: FixedClock, gate: Gate) -> None:
    gate.check(DEPOSIT, EVENT)
    prices = _Prices()
    assert intake(engine, clock, gate, prices)([received()]) == [Ack()]
    assert prices.asked == []
    assert rows(engine, "select decision, is_settled_unasked from compliance.transaction_logs") == [("accepted", False)]
    assert told(engine) == []


@pytest.mark.parametrize(
    ("judged", "arrives", "kind"),
    [
        ({"counterparty_address": "0xBAD"}, {"counterparty_address": "0xBAD"}, "settled_against_decision"),
        ({}, {"quantity": "777"}, "settlement_differs"),
        ({}, {"counterparty_address": "0xother"}, "settlement_differs"),
    ],
)
def test_intake__raises_one_alarm_where_another_thing_settled_than_was_let_pass(
    engine: Engine, clock: FixedClock, gate: Gate, judged: dict[str, Any], arrives: dict[str, Any], kind: str
) -> None:
    gate.check(replace(DEPOSIT, **judged))
    handle = intake(engine, clock, gate)
    assert [handle([received(**arrives)]) for _ in range(2)] == [[Ack()], [Ack()]]
    assert [each for each in told(engine) if each[0] == kind] == [(kind, "critical")]


def test_intake__records_what_cannot_be_judged_yet(engine: Engine, clock: FixedClock, gate: Gate, lists: Lists) -> None:
    lists.is_loaded = False
    assert intake(engine, clock, gate)([received()]) == [Ack()]
    assert rows(engine, "select decision, is_settled_unasked from compliance.transaction_logs") == [(None, True)]
    lists.is_loaded = True
    clock.advance(timedelta(seconds=11))
    assert gate.finish_undecided() == 1
    assert rows(engine, "select decision from compliance.transaction_logs") == [("accepted",)]


def test_intake__sets_aside_what_is_no_event_and_handles_the_rest(
    engine: Engine, clock: FixedClock, gate: Gate
) -> None:
    broken = Received(b"{", {}, "m2", NOW, "")
    outcomes = intake(engine, clock, gate)([broken, received()])
    assert isinstance(outcomes[0], DeadLetter)
    assert outcomes[1] == Ack()


def test_intake__waits_for_what_is_away_and_repeats_no_address(engine: Engine, clock: FixedClock, gate: Gate) -> None:
    def no_policy() -> Gate:
        raise ComplianceNotReadyError("no policy")

    nowhere = create_engine("postgresql+psycopg://nobody@127.0.0.1:9/nothing", connect_args={"connect_timeout": 1})
    for handle in (
        Intake(engine, clock, no_policy, _Prices()),
        intake(engine, clock, gate, _Prices(is_away=True)),
        intake(nowhere, clock, gate),
    ):
        with pytest.raises(NotReadyError) as raised:
            handle([received()])
        assert "0xabc" not in str(raised.value).lower()
    assert rows(engine, "select 1 from compliance.transaction_logs") == []


class _Warehouse:
    def __init__(self, found: Mapping[tuple[str, date], Decimal]) -> None:
        self.found, self.queries = found, 0

    def query(self, _sql: str, _parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self.queries += 1
        return [{"asset": asset, "price_date": day, "close_usd": usd} for (asset, day), usd in self.found.items()]


@pytest.mark.parametrize(
    ("ago", "price_usd"),
    [
        (timedelta(minutes=10), Decimal(1)),
        (timedelta(days=1), Decimal(70)),
        (timedelta(days=3), Decimal(60)),
        (timedelta(days=9), None),
    ],
)
def test_past_prices__the_latest_for_what_is_fresh_else_the_close_of_the_day(
    clock: FixedClock, ago: timedelta, price_usd: Decimal | None
) -> None:
    today = NOW.date()
    closes = {("BTC", today - timedelta(days=1)): Decimal(70), ("BTC", today - timedelta(days=5)): Decimal(60)}
    warehouse = _Warehouse(closes)
    prices = ClosesAndLatest(warehouse, _Prices(), clock)
    assert [prices.at(NOW - ago).price_usd("BTC") for _ in range(2)] == [price_usd, price_usd]
    assert warehouse.queries <= 1, "closes are read once for a while"


def test_past_prices__without_any_closes_wait(clock: FixedClock) -> None:
    with pytest.raises(NotReadyError):
        ClosesAndLatest(_Warehouse({}), _Prices(), clock).at(NOW - timedelta(days=2))

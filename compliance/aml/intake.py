"""What settled, whoever settled it: an event that nobody judged is judged now, one that was stopped raises an alarm.

The gate stands before acceptance, so that nothing is left to do for what passed it. An event that arrives on
`settlement.events.v1` in another way has happened already: it is judged all the same, and a hit opens its case; what it
moved is for people to undo. Each event is looked at however often it is delivered, and counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from compliance.aml import gate_store
from compliance.aml.admission import transaction_of_event
from compliance.aml.alarms import raise_alarm
from compliance.aml.errors import TransactionConflictError
from compliance.aml.gate import Gate
from compliance.aml.past_prices import PastPrices
from compliance.aml.valuation import valued
from compliance.errors import ComplianceInputError, ComplianceNotReadyError
from compliance.model import Decision
from infra.runtime.clock import Clock
from infra.runtime.errors import NotReadyError
from infra.runtime.logs import get_logger
from infra.runtime.pubsub import Ack, DeadLetter, Outcome, Received
from ingest.errors import InvalidMessageError
from ingest.messages import SettlementEvent, parse_message

MAY_SETTLE = frozenset({Decision.ACCEPTED.value, Decision.RELEASED.value})
_log = get_logger(__name__)


class Intake:
    """Handles batches of `settlement.events.v1`."""

    def __init__(self, engine: Engine, clock: Clock, gate: Callable[[], Gate], prices: PastPrices) -> None:
        """`gate` raises `ComplianceNotReadyError` where there is no policy to judge by."""
        self._engine, self._clock, self._gate, self._prices = engine, clock, gate, prices

    def __call__(self, batch: Sequence[Received], /) -> list[Outcome]:
        """One outcome for each message, in order; raises `NotReadyError` while PostgreSQL or prices are away."""
        now = self._clock.now()
        parsed = [self._parsed(message, now) for message in batch]
        try:
            gate = self._gate()
            event_ids = [each.event_id for each in parsed if isinstance(each, SettlementEvent)]
            with self._engine.connect() as connection:
                asked = gate_store.asked_before(connection, event_ids)
            return [each if isinstance(each, DeadLetter) else self._looked_at(gate, each, asked) for each in parsed]
        except ComplianceNotReadyError as error:
            raise NotReadyError(error.message) from None
        except SQLAlchemyError as error:
            # The error's own text may hold the address of a counterparty.
            raise NotReadyError(f"PostgreSQL does not judge settlements ({type(error).__name__}).") from None

    def _parsed(self, message: Received, now: datetime) -> SettlementEvent | DeadLetter:
        try:
            return parse_message(SettlementEvent, message.data, now)
        except InvalidMessageError as error:
            return DeadLetter(error.code, error.message)

    def _looked_at(self, gate: Gate, event: SettlementEvent, asked: Mapping[str, str | None]) -> Outcome:
        decision = asked.get(event.event_id)
        if event.event_id in asked and decision not in MAY_SETTLE:
            word = decision or "not decided"
            self._alarm("settled_against_decision", event, f"A settlement happened although it is {word}.")
        transaction = transaction_of_event(event)
        if event.event_id not in asked:
            unasked = replace(transaction, is_settled_unasked=True)
            transaction = valued(unasked, self._prices.at(event.occurred_at))
        try:
            gate.check(transaction)
        except ComplianceNotReadyError:
            # It is recorded, and judged once there are lists and a policy; the alarm on age counts from now.
            _log.warning("settlement_not_judged_yet", transaction_id=event.event_id)
        except TransactionConflictError:
            self._alarm("settlement_differs", event, "A settlement differs from the transaction that was judged.")
        except ComplianceInputError as error:
            return DeadLetter(error.code, error.message)
        return Ack()

    def _alarm(self, kind: str, event: SettlementEvent, summary: str) -> None:
        with self._engine.begin() as connection:
            raise_alarm(connection, kind, event.event_id, event.account_id, summary, self._clock.now())

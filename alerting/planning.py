"""From messages to planned notifications: who is told about an event, recorded before the message is acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DataError, SQLAlchemyError

from alerting.channels.webhook import CHANNEL as WEBHOOK
from alerting.errors import EventInvalidError
from alerting.events import MarginEvent, parse_margin_event
from alerting.ledger import Ledger, PlannedNotification
from infra.runtime.logs import get_logger
from infra.runtime.pubsub import Ack, DeadLetter, Outcome, Received, Retry

_log = get_logger(__name__)

OPERATOR = "operator"
NO_WEBHOOK = "no webhook recipient is configured (BALLAST_WEBHOOK_URL is empty)"
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0


@dataclass(frozen=True)
class RecipientPlan:
    """Who is told about margin events: one webhook recipient, or nobody with a recorded reason."""

    has_webhook: bool

    def notifications(self, event: MarginEvent) -> list[PlannedNotification]:
        """One notification for each recipient of `event`."""
        return [PlannedNotification(event, WEBHOOK, OPERATOR, None if self.has_webhook else NO_WEBHOOK)]


class Planner:
    """Handles batches of `alerts.margin.v1`: acknowledges an event once its notifications are durable.

    While PostgreSQL is away it waits and tries again itself, until `stop` is set: handing messages back would use up
    their delivery attempts and send alerts to the dead letter for an outage. `wake` is called after something new.
    """

    def __init__(self, ledger: Ledger, plan: RecipientPlan, stop: threading.Event, wake: Callable[[], None]) -> None:
        self._ledger = ledger
        self._plan = plan
        self._stop = stop
        self._wake = wake

    def __call__(self, batch: Sequence[Received], /) -> Sequence[Outcome]:
        """One outcome for each message, in order."""
        parsed = [_parse(message) for message in batch]
        events = {event.margin_event_id: event for event in parsed if isinstance(event, MarginEvent)}
        stored = self._store(list(events.values()))
        return [stored[item.margin_event_id] if isinstance(item, MarginEvent) else item for item in parsed]

    def _store(self, events: Sequence[MarginEvent]) -> dict[str, Outcome]:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return self._store_once(events)
            except SQLAlchemyError as error:
                _log.warning("planning_waits_for_postgres", events=len(events), reason=type(error).__name__)
                if self._stop.wait(wait_s):
                    reason = "the worker stops before PostgreSQL is back"
                    return {event.margin_event_id: Retry(reason) for event in events}
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _store_once(self, events: Sequence[MarginEvent]) -> dict[str, Outcome]:
        planned = [item for event in events for item in self._plan.notifications(event)]
        try:
            if self._ledger.plan(planned):
                self._wake()
        except DataError:
            return self._store_singly(events)
        return {event.margin_event_id: Ack() for event in events}

    def _store_singly(self, events: Sequence[MarginEvent]) -> dict[str, Outcome]:
        """Find the events that PostgreSQL cannot hold (a NUL character in a text), and store the others."""
        outcomes: dict[str, Outcome] = {}
        for event in events:
            try:
                self._ledger.plan(self._plan.notifications(event))
                outcomes[event.margin_event_id] = Ack()
            except DataError as error:
                reason = f"PostgreSQL cannot hold the event: {type(error.orig).__name__}"
                outcomes[event.margin_event_id] = DeadLetter("margin_event_not_storable", reason)
        self._wake()
        return outcomes


def _parse(message: Received) -> MarginEvent | DeadLetter:
    try:
        return parse_margin_event(message.data)
    except EventInvalidError as error:
        return DeadLetter(error.code, error.message)

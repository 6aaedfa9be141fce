"""From messages to planned notifications: who is told about an event, recorded before the message is acknowledged."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from alerting import planning_store as kept
from alerting.compliance_events import TOPIC as COMPLIANCE_TOPIC
from alerting.compliance_events import parse_compliance_event
from alerting.digests import digest_notifications, open_digests
from alerting.errors import EventInvalidError
from alerting.events import TOPIC as MARGIN_TOPIC
from alerting.events import MarginEvent, parse_margin_event
from alerting.ledger import (
    AlertEvent,
    PlannedNotification,
    store_events,
    store_notifications,
    suppress_pending,
)
from alerting.metrics import WorkerMetrics
from alerting.notices import Kind
from alerting.policy import plan_event
from alerting.policy_model import Digest, Known, Plan, Preferences, Rules, Told
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger
from infra.runtime.pubsub import Ack, DeadLetter, Outcome, Received, Retry

_log = get_logger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
COMPLIANCE_OWNER = "team:compliance"


def margin_alert(event: MarginEvent) -> AlertEvent:
    """A margin event as the ledger keeps it; the account's people are told."""
    return AlertEvent(
        event_id=event.margin_event_id,
        topic=MARGIN_TOPIC,
        kind=Kind.MARGIN,
        rule="margin",
        account_id=event.account_id,
        owner=event.account_id,
        severity=event.severity.value,
        episode_id=event.episode_id,
        sequence=event.transition_number,
        payload=event.model_dump(mode="json"),
        detected_at=event.detected_at,
    )


def parse_margin_alert(data: bytes) -> AlertEvent:
    """The alert in a message of `alerts.margin.v1`; raises `EventInvalidError`."""
    return margin_alert(parse_margin_event(data))


def parse_compliance_alert(data: bytes) -> AlertEvent:
    """The alert in a message of `compliance.events.v1`, for the compliance team; raises `EventInvalidError`."""
    event = parse_compliance_event(data)
    return AlertEvent(
        event_id=event.event_id,
        topic=COMPLIANCE_TOPIC,
        kind=Kind.COMPLIANCE,
        rule=f"{event.kind}:{event.rule_id}" if event.rule_id else event.kind,
        account_id=event.account_id,
        owner=COMPLIANCE_OWNER,
        severity=event.severity.value,
        episode_id=event.case_id,
        sequence=event.sequence,
        payload=event.model_dump(mode="json"),
        detected_at=event.occurred_at,
    )


class Planner:
    """Handles batches of one topic: acknowledges an event once its notifications are durable.

    While PostgreSQL is away it waits and tries again itself, until `stop` is set: handing messages back would use up
    their delivery attempts and send alerts to the dead letter for an outage. `wake` is called after something new.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        rules: Rules,
        parse: Callable[[bytes], AlertEvent],
        stop: threading.Event,
        wake: Callable[[], None],
        metrics: WorkerMetrics,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._rules = rules
        self._parse = parse
        self._stop = stop
        self._wake = wake
        self._metrics = metrics

    def __call__(self, batch: Sequence[Received], /) -> Sequence[Outcome]:
        """One outcome for each message, in order."""
        parsed = [self._parsed(message) for message in batch]
        events = {event.event_id: event for event in parsed if isinstance(event, AlertEvent)}
        stored = self._store(list(events.values())) if events else {}
        return [stored[item.event_id] if isinstance(item, AlertEvent) else item for item in parsed]

    def _parsed(self, message: Received) -> AlertEvent | DeadLetter:
        try:
            return self._parse(message.data)
        except EventInvalidError as error:
            self._metrics.dead_lettered(error.code)
            return DeadLetter(error.code, error.message)

    def _store(self, events: Sequence[AlertEvent]) -> dict[str, Outcome]:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return self._store_once(events)
            except SQLAlchemyError as error:
                _log.warning("planning_waits_for_postgres", events=len(events), reason=type(error).__name__)
                if self._stop.wait(wait_s):
                    reason = "the worker stops before PostgreSQL is back"
                    return {event.event_id: Retry(reason) for event in events}
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _store_once(self, events: Sequence[AlertEvent]) -> dict[str, Outcome]:
        try:
            if self.plan(events):
                self._wake()
        except DataError:
            return self._store_singly(events)
        return {event.event_id: Ack() for event in events}

    def _store_singly(self, events: Sequence[AlertEvent]) -> dict[str, Outcome]:
        """Find the events that PostgreSQL cannot hold (a NUL character in a text), and store the others."""
        outcomes: dict[str, Outcome] = {}
        for event in events:
            try:
                self.plan([event])
                outcomes[event.event_id] = Ack()
            except DataError as error:
                reason = f"PostgreSQL cannot hold the event: {type(error.orig).__name__}"
                outcomes[event.event_id] = DeadLetter("event_not_storable", reason)
                self._metrics.dead_lettered("event_not_storable")
        self._wake()
        return outcomes

    def plan(self, events: Sequence[AlertEvent]) -> int:
        """Plan the events in one transaction; returns how many of them were new."""
        now = self._clock.now()
        with self._engine.begin() as connection:
            kept.lock_owners(connection, (event.owner for event in events))
            new = store_events(connection, events, now)
            fresh = sorted(
                (event for event in events if event.event_id in new), key=lambda event: (event.owner, event.sequence)
            )
            if not fresh:
                return 0
            plans = self._plans(connection, fresh, now)
            notifications = [item for plan in plans for item in plan.notifications]
            notifications += _into_digests(connection, [pair for plan in plans for pair in plan.digested], now)
            store_notifications(connection, notifications, now)
            liquidations = [event for event in fresh if event.severity == "liquidation"]
            inhibited = suppress_pending(connection, kept.inhibited_by(connection, liquidations), now)
            kept.close_escalations(connection, fresh, now)
            due_at = {
                event.event_id: plan.escalate_at
                for event, plan in zip(fresh, plans, strict=True)
                if plan.escalate_at is not None
            }
            kept.open_escalations(connection, due_at)
        self._count(notifications, len(inhibited))
        return len(fresh)

    def _plans(self, connection: Connection, events: Sequence[AlertEvent], now: datetime) -> list[Plan]:
        found = kept.read_circumstances(connection, events, self._rules, now)
        plans = []
        for event in events:
            told = found.told.setdefault(event.account_id or "", [])
            known = Known(
                preferences=found.preferences.get(event.owner, Preferences()),
                told=told if event.kind is Kind.MARGIN else (),
                buckets=found.buckets,
                is_paged=event.episode_id in found.paged,
            )
            plan = plan_event(event, known, self._rules, now)
            plans.append(plan)
            told += _told(event, plan, now)
            if any(item.channel == "pagerduty" and item.suppressed_reason is None for item in plan.notifications):
                found.paged.add(event.episode_id)
        kept.keep_buckets(connection, found.buckets)
        return plans

    def _count(self, notifications: Sequence[PlannedNotification], inhibited: int) -> None:
        for (channel, outcome), count in Counter((item.channel, _outcome(item)) for item in notifications).items():
            self._metrics.planned(channel, outcome, count)
        if inhibited:
            self._metrics.planned("any", "inhibited", inhibited)


def _outcome(item: PlannedNotification) -> str:
    if item.digest_id is not None:
        return "digested"
    return "planned" if item.suppressed_reason is None else "suppressed"


def _told(event: AlertEvent, plan: Plan, now: datetime) -> list[Told]:
    items = [item for item in plan.notifications if item.suppressed_reason is None]
    items += [item for item, _ in plan.digested]
    return [Told(item.channel, item.recipient, event.rule, event.severity, event.episode_id, now) for item in items]


def _into_digests(
    connection: Connection, digested: Sequence[tuple[PlannedNotification, Digest]], now: datetime
) -> list[PlannedNotification]:
    """The members, ended in favour of their digest, and the digests that are new."""
    if not digested:
        return []
    chosen, wanted = open_digests(connection, (digest for _, digest in digested))
    made = store_events(connection, [digest.event(now) for digest in wanted], now)
    # Somebody who was faster may have made it for another contact of the same address.
    others = digest_notifications(connection, [d.event_id for d in wanted if d.event_id not in made])
    planned = []
    for digest in wanted:
        if digest.event_id in made:
            detail = f"held until {digest.due_at.isoformat(timespec='seconds')}"
            contact = digest.recipient
            planned.append(
                PlannedNotification(
                    digest.event_id,
                    digest.channel,
                    contact.contact_id,
                    digest.due_at,
                    fingerprint=contact.fingerprint,
                    detail=detail,
                )
            )
    for item, asked in digested:
        digest, own_id = chosen[asked.event_id]
        digest_id = others.get(digest.event_id, own_id)
        reason = f"digested into {digest_id}, due {digest.due_at.isoformat(timespec='seconds')}"
        planned.append(dataclasses.replace(item, digest_id=digest_id, suppressed_reason=reason))
    return planned

"""When nobody accepts an alert in time: the next contact is tried, then the operators are paged.

An escalation is a row that says by when somebody must have accepted an event. Whichever worker finds it due takes the
next step, so that it survives the death of any of them; each step is a notification with an id of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from alerting.ledger import AlertEvent, PlannedNotification, store, store_notifications
from alerting.notices import INTERNAL_TOPIC, Kind
from alerting.planning_store import read_preferences
from alerting.policy import OPERATOR, OPERATORS, fallbacks, page
from alerting.policy_model import Rules
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id

MAX_ROWS = 500

_DUE = text(
    """
    select
        escalations.event_id, escalations.step, events.topic, events.kind, events.rule, events.account_id, events.owner,
        events.severity, events.episode_id, events.sequence, events.payload, events.detected_at,
        exists (
            select 1 from alerting.acknowledgements where acknowledgements.event_id = escalations.event_id
        ) as is_acknowledged,
        exists (
            select 1
            from alerting.notifications
            left join alerting.notifications as digests on notifications.digest_id = digests.notification_id
            where
                notifications.event_id = escalations.event_id
                and notifications.recipient != all(cast(:programs as text[]))
                and coalesce(digests.terminal_state, notifications.terminal_state) in ('accepted', 'delivered')
        ) as is_accepted
    from alerting.escalations
    inner join alerting.events on escalations.event_id = events.event_id
    where escalations.closed_at is null and escalations.due_at <= :now
    order by escalations.due_at
    limit :max_rows
    for update of escalations skip locked
    """
)
_CLOSE = text(
    """
    update alerting.escalations
    set closed_at = :now, outcome = given.outcome
    from unnest(cast(:event_ids as text[]), cast(:outcomes as text[])) as given (event_id, outcome)
    where escalations.event_id = given.event_id
    """
)
_STEP = text(
    """
    update alerting.escalations
    set step = step + 1, due_at = :due_at
    where event_id = any(cast(:event_ids as text[]))
    """
)
_HASTEN = text(
    """
    update alerting.escalations
    set due_at = :now
    where event_id = any(cast(:event_ids as text[])) and closed_at is null and due_at > :now
    """
)


@dataclass(frozen=True)
class Escalated:
    """What one look did: `outcomes` counts how escalations went on or ended, `planned` new notifications."""

    outcomes: Mapping[str, int]
    planned: int
    is_full: bool


class Escalator:
    """Takes the due steps of escalations; any number of workers may do so at the same time."""

    def __init__(self, engine: Engine, clock: Clock, rules: Rules) -> None:
        self._engine = engine
        self._clock = clock
        self._rules = rules

    def look(self) -> Escalated:
        """Take up to `MAX_ROWS` due steps, in one transaction; raises SQLAlchemy's errors."""
        now = self._clock.now()
        with self._engine.begin() as connection:
            values = {"now": now, "programs": [OPERATOR, OPERATORS], "max_rows": MAX_ROWS}
            rows = connection.execute(_DUE, values).mappings().all()
            closed: dict[str, str] = {}
            going = []
            for row in rows:
                if row["is_acknowledged"] or row["is_accepted"]:
                    closed[row["event_id"]] = "acknowledged" if row["is_acknowledged"] else "accepted"
                else:
                    going.append(row)
            planned, outcomes = self._step(connection, going, now)
            closed |= {key: outcome for key, outcome in outcomes.items() if outcome != "next_contact"}
            _close(connection, closed, now)
        counted: dict[str, int] = {}
        for outcome in [*closed.values(), *(each for each in outcomes.values() if each == "next_contact")]:
            counted[outcome] = counted.get(outcome, 0) + 1
        return Escalated(counted, planned, len(rows) == MAX_ROWS)

    def hasten(self, event_ids: Sequence[str]) -> None:
        """A notification of these events has failed for good: do not wait any longer for the others."""
        if event_ids:
            with self._engine.begin() as connection:
                connection.execute(_HASTEN, {"event_ids": sorted(set(event_ids)), "now": self._clock.now()})

    def _step(
        self, connection: Connection, rows: Sequence[Mapping[Any, Any]], now: datetime
    ) -> tuple[int, dict[str, str]]:
        if not rows:
            return 0, {}
        wanted = read_preferences(connection, sorted({row["owner"] for row in rows}), now)
        outcomes: dict[str, str] = {}
        further: list[PlannedNotification] = []
        pages: list[tuple[AlertEvent, PlannedNotification]] = []
        for row in rows:
            event = _event(row)
            left = [each for each in fallbacks(event, wanted[event.owner]) if each.channel in self._rules.channels]
            if row["step"] < len(left):
                contact = left[row["step"]]
                outcomes[event.event_id] = "next_contact"
                further.append(
                    PlannedNotification(
                        event.event_id,
                        contact.channel,
                        contact.contact_id,
                        fingerprint=contact.fingerprint,
                        detail=f"fallback {row['step'] + 1}: nobody accepted in time",
                    )
                )
            else:
                outcomes[event.event_id] = "paged" if self._rules.has_pagerduty else "nobody_left"
                pages.append(self._page(event, has_contact=bool(wanted[event.owner].recipients), now=now))
        new = store_notifications(connection, further, now)
        new |= store(connection, [event for event, _ in pages], [planned for _, planned in pages], now)
        stepping = [key for key, outcome in outcomes.items() if outcome == "next_contact"]
        if stepping:
            connection.execute(_STEP, {"event_ids": stepping, "due_at": now + self._rules.escalation_after})
        return len(new), outcomes

    def _page(self, event: AlertEvent, *, has_contact: bool, now: datetime) -> tuple[AlertEvent, PlannedNotification]:
        reason = "no contact accepted the alert in time" if has_contact else "there is no contact to tell"
        own = AlertEvent(
            event_id=stable_id("esc", event.event_id),
            topic=INTERNAL_TOPIC,
            kind=Kind.ESCALATION,
            rule=event.rule,
            account_id=event.account_id,
            owner=event.owner,
            severity=event.severity,
            episode_id=event.episode_id,
            sequence=event.sequence,
            payload={"event": dict(event.payload), "event_kind": event.kind.value, "reason": reason},
            detected_at=now,
        )
        return own, page(own.event_id, event, self._rules)


def _event(row: Mapping[Any, Any]) -> AlertEvent:
    names = ("event_id", "topic", "rule", "account_id", "owner", "severity", "episode_id", "sequence", "payload")
    return AlertEvent(kind=Kind(row["kind"]), detected_at=row["detected_at"], **{name: row[name] for name in names})


def _close(connection: Connection, outcomes: Mapping[str, str], now: datetime) -> None:
    if outcomes:
        values = {"event_ids": list(outcomes), "outcomes": list(outcomes.values()), "now": now}
        connection.execute(_CLOSE, values)

"""Typed reads of one alert's trail: from oracle rounds and settlements to the steps of its delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from assets.risk.queries import Reader, read_rows

# An account may have thousands of settlements; the newest ones are shown.
MAX_EVIDENCE = 200


@dataclass(frozen=True)
class TrailRow:
    """A notification, a margin event that it told of, and one piece of that event's evidence.

    The fields of event and evidence are None where there is none. Prices in USD for one unit, times UTC; `recipient` is
    a key, never an address.
    """

    notification_id: str
    provider_message_id: str | None
    event_id: str | None
    kind: str | None
    rule: str | None
    channel: str | None
    recipient: str | None
    state: str
    planned_at: datetime | None
    digest_id: str | None
    margin_event_id: str | None
    account_id: str | None
    severity: str | None
    health_pct: Decimal | None
    threshold_pct: Decimal | None
    detected_at: datetime | None
    published_at: datetime | None
    evidence_kind: str | None
    evidence_id: str | None
    asset: str | None
    movement: str | None
    signed_quantity: Decimal | None
    price_usd: Decimal | None
    evidence_source: str | None
    evidence_at: datetime | None
    is_simulated: bool | None


@dataclass(frozen=True)
class Step:
    """One step of a notification (UTC)."""

    state: str
    state_at: datetime
    seconds_since_detected: Decimal | None
    detail: str | None
    provider_message_id: str | None


# By either id; `rule` stands with the notification. Prices and readings come before settlements, the newest first.
TRAIL_SQL = """
with
    wanted as (
        select notification_id, rule
        from risk.notification_deliveries
        where notification_id = @alert_id or provider_message_id = @alert_id
        order by notification_id
        limit 1
    ),

    trail as (
        select *
        from audit.alert_trail
        where notification_id in (select notification_id from wanted)
    )

select trail.*, wanted.rule
from trail
inner join wanted on trail.notification_id = wanted.notification_id
order by
    case trail.evidence_kind when 'price' then 0 when 'reading' then 1 else 2 end,
    trail.evidence_at desc,
    trail.evidence_id
limit @max_rows
"""

STEPS_SQL = """
select state, state_at, seconds_since_detected, detail, provider_message_id
from staging.stg_alerting__notification_events
where notification_id = @notification_id
order by txid, state_id
"""


def trail(reader: Reader, alert_id: str) -> list[TrailRow]:
    """What led to the notification with this id or provider's id, at most `MAX_EVIDENCE` rows; empty: no such one."""
    return read_rows(reader, TrailRow, TRAIL_SQL, {"alert_id": alert_id, "max_rows": MAX_EVIDENCE})


def steps(reader: Reader, notification_id: str) -> list[Step]:
    """The steps of a notification, oldest first."""
    return read_rows(reader, Step, STEPS_SQL, {"notification_id": notification_id})

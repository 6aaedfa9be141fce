"""Typed reads of the newest margin alerts: each event with its notifications, and who has seen it first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from assets.risk.queries import Reader


@dataclass(frozen=True)
class ChannelState:
    """How one notification of an alert stands."""

    notification_id: str
    channel: str
    state: str
    detail: str | None


@dataclass(frozen=True)
class MarginAlert:
    """A margin event with its notifications, oldest first (none: nothing is on record yet), and who has seen it."""

    margin_event_id: str
    account_id: str
    severity: str
    health_pct: Decimal | None
    threshold_pct: Decimal | None
    detected_at: datetime
    is_simulated: bool
    channels: tuple[ChannelState, ...]
    acknowledged_by: str | None
    acknowledged_at: datetime | None


MARGIN_ALERTS_SQL = """
with
    alerts as (
        select margin_event_id, account_id, severity, health_pct, threshold_pct, detected_at, is_simulated
        from risk.margin_events
        where detected_at >= @since
        order by detected_at desc, margin_event_id
        limit @max_rows
    ),

    deliveries as (
        select event_id, notification_id, channel, state, planned_at, last_detail
        from risk.notification_deliveries
        where kind = 'margin' and event_id in (select margin_event_id from alerts)
    ),

    acknowledged as (
        select json_value(after_json, '$.event_id') as event_id, changed_by, changed_at
        from audit.alert_preference_trail
        where action = 'notification_acknowledged' and changed_at >= @since
        qualify
            row_number() over (partition by json_value(after_json, '$.event_id') order by changed_at, change_id) = 1
    )

select
    alerts.*,
    deliveries.notification_id,
    deliveries.channel,
    deliveries.state,
    deliveries.last_detail,
    acknowledged.changed_by as acknowledged_by,
    acknowledged.changed_at as acknowledged_at
from alerts
left join deliveries on alerts.margin_event_id = deliveries.event_id
left join acknowledged on alerts.margin_event_id = acknowledged.event_id
order by alerts.detected_at desc, alerts.margin_event_id, deliveries.planned_at, deliveries.notification_id
"""


def margin_alerts(reader: Reader, since: datetime, max_rows: int) -> list[MarginAlert]:
    """Margin events since a time (UTC), newest first, each with its notifications and the first acknowledgement."""
    rows = reader.query(MARGIN_ALERTS_SQL, {"since": since, "max_rows": max_rows})
    return [_alert(list(found)) for _, found in groupby(rows, key=lambda row: row["margin_event_id"])]


def _alert(rows: list[dict[str, Any]]) -> MarginAlert:
    first = rows[0]
    return MarginAlert(
        margin_event_id=first["margin_event_id"],
        account_id=first["account_id"],
        severity=first["severity"],
        health_pct=first["health_pct"],
        threshold_pct=first["threshold_pct"],
        detected_at=first["detected_at"],
        is_simulated=first["is_simulated"],
        channels=tuple(
            ChannelState(row["notification_id"], row["channel"] or "unknown", row["state"], row["last_detail"])
            for row in rows
            if row["notification_id"] is not None
        ),
        acknowledged_by=first["acknowledged_by"],
        acknowledged_at=first["acknowledged_at"],
    )

"""Where margin events are kept: an idempotent write to `risk.margin_events`, and the outbox to `alerts.margin.v1`.

An event is first merged into the warehouse under its deterministic id, then published, then its publication is
recorded. A process that dies between these steps repeats the rest at its next look: an event without a recorded
publication is in the outbox, and a repeated publication is recognised by the worker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

from alerting.errors import MarginInputError
from alerting.events import TOPIC, LiquidationPrice, MarginEvent, Severity
from alerting.margin.decision import AccountHealth, AccountStatus, OpenState
from assets.risk import queries
from infra.runtime.bigquery import Appended, TableSpec, nullable, required
from infra.runtime.clock import Clock

RISK_DATASET = "risk"
# The outbox looks back this far; the data test `margin_events__published` finds what stayed in it.
OUTBOX_LOOKBACK = timedelta(days=3)
MAX_EVENTS_PER_LOOK = 1_000


MARGIN_EVENTS = TableSpec(
    RISK_DATASET,
    "margin_events",
    (
        required("margin_event_id", "STRING", "Deterministic: account and number of the transition"),
        required("account_id", "STRING", "Account"),
        required("severity", "STRING", "early_warning, margin_call, liquidation, recovered or unpriced"),
        required("episode_id", "STRING", "Episode that the transition belongs to"),
        required("transition_number", "INTEGER", "1 for the account's first transition, then consecutive"),
        nullable("previous_severity", "STRING", "Severity before; NULL where the event opens its episode"),
        nullable("health_pct", "NUMERIC", "Margin health in percent; NULL where unknown"),
        required("collateral_usd", "NUMERIC", "Value of collateral in USD"),
        required("borrow_usd", "NUMERIC", "Value of debt in USD"),
        nullable("threshold_pct", "NUMERIC", "Threshold that was crossed, in percent"),
        nullable("price_ids", "STRING", "Prices that the decision rests on (comma-separated)"),
        nullable("unpriced_assets", "STRING", "Assets without a usable price (comma-separated)"),
        required("detected_at", "TIMESTAMP", "When it was decided, UTC"),
        required("is_simulated", "BOOLEAN", "Whether a price was made up by the simulator"),
        required("message", "STRING", "The message as published, JSON"),
    ),
    "Transitions of accounts' margin state. Grain: one row a transition, written once under a deterministic id.",
    partition_field="detected_at",
    cluster_fields=("account_id",),
)

MARGIN_EVENT_PUBLICATIONS = TableSpec(
    RISK_DATASET,
    "margin_event_publications",
    (
        required("margin_event_id", "STRING", "The event"),
        required("message_id", "STRING", "Pub/Sub's id of the message"),
        required("published_at", "TIMESTAMP", "When Pub/Sub had it, UTC"),
    ),
    "Publications of margin events to alerts.margin.v1. Grain: one row a publication; a crash may repeat one.",
    partition_field="published_at",
    cluster_fields=("margin_event_id",),
)

TABLES = (MARGIN_EVENTS, MARGIN_EVENT_PUBLICATIONS)


class MarginWarehouse(queries.Reader, Protocol):
    """What the store needs of the warehouse."""

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        """Append rows durably."""
        ...


class MarginPublisher(Protocol):
    """What the outbox needs of Pub/Sub."""

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        """Publish durably and return the message ids."""
        ...


@dataclass(frozen=True)
class Candidate:
    """An account whose health may call for an event, with the last event that it had."""

    health: AccountHealth
    last: OpenState | None


@dataclass(frozen=True)
class CandidatePage:
    """Candidates in order of account; accounts whose row contradicts itself stand in `unjudged` with the reason.

    `last_account_id` is where the next page begins; None where this is the last one.
    """

    candidates: Sequence[Candidate]
    unjudged: Mapping[str, str]
    last_account_id: str | None


# Accounts that are not plainly well, and those with an episode that may be over. Some of them call for no event
# (within the recovery margin), so that a look must read all pages: the first one may hold nothing else.
# It reads the level alone: the other columns of the whole book would take most of a look that finds nobody.
CANDIDATES_SQL = """
with
    last_events as (
        select account_id, severity, episode_id, transition_number
        from risk.margin_events
        qualify row_number() over (partition by account_id order by transition_number desc) = 1
    ),

    levels as (
        select
            account_id,
            has_borrow,
            if(status = 'healthy' and health_pct < early_warning_threshold_pct, 'early_warning', status) as level
        from risk.margin_health
    )

select
    health.account_id,
    last_events.severity as last_severity,
    last_events.episode_id as last_episode_id,
    last_events.transition_number as last_transition_number
from levels as health
left join last_events on health.account_id = last_events.account_id
where
    health.account_id > @after_account_id
    and (
        (
            health.level in ('early_warning', 'margin_call', 'liquidation', 'unpriced')
            and (health.level != 'unpriced' or health.has_borrow)
            and (last_events.severity is null or last_events.severity != health.level)
        )
        or (
            health.level in ('healthy', 'no_debt')
            and last_events.severity is not null
            and last_events.severity != 'recovered'
        )
    )
order by health.account_id
limit @max_rows
"""

CANDIDATE_HEALTH_SQL = """
select *
from risk.margin_health
where account_id in unnest(@account_ids)
order by account_id
"""

WRITE_EVENTS_SQL = """
merge risk.margin_events as kept
using (
    select
        json_value(event, '$.margin_event_id') as margin_event_id,
        json_value(event, '$.account_id') as account_id,
        json_value(event, '$.severity') as severity,
        json_value(event, '$.episode_id') as episode_id,
        cast(json_value(event, '$.transition_number') as int64) as transition_number,
        json_value(event, '$.previous_severity') as previous_severity,
        cast(json_value(event, '$.health_pct') as numeric) as health_pct,
        cast(json_value(event, '$.collateral_usd') as numeric) as collateral_usd,
        cast(json_value(event, '$.borrow_usd') as numeric) as borrow_usd,
        cast(json_value(event, '$.threshold_pct') as numeric) as threshold_pct,
        json_value(event, '$.price_ids') as price_ids,
        json_value(event, '$.unpriced_assets') as unpriced_assets,
        cast(json_value(event, '$.detected_at') as timestamp) as detected_at,
        cast(json_value(event, '$.is_simulated') as bool) as is_simulated,
        json_value(event, '$.message') as message
    from unnest(@events) as event
) as decided
on kept.margin_event_id = decided.margin_event_id
when not matched then
    insert (
        margin_event_id, account_id, severity, episode_id, transition_number, previous_severity, health_pct,
        collateral_usd, borrow_usd, threshold_pct, price_ids, unpriced_assets, detected_at, is_simulated, message
    )
    values (
        margin_event_id, account_id, severity, episode_id, transition_number, previous_severity, health_pct,
        collateral_usd, borrow_usd, threshold_pct, price_ids, unpriced_assets, detected_at, is_simulated, message
    )
"""

OUTBOX_SQL = """
select events.margin_event_id, events.message
from risk.margin_events as events
left join risk.margin_event_publications as publications
    on events.margin_event_id = publications.margin_event_id
where events.detected_at >= @since and publications.margin_event_id is null
order by events.detected_at, events.account_id, events.transition_number
limit @max_rows
"""


def candidates(
    warehouse: MarginWarehouse, after_account_id: str = "", max_rows: int = MAX_EVENTS_PER_LOOK
) -> CandidatePage:
    """A page of accounts for which the decision could differ from their last event, with liquidation prices."""
    last = {
        str(row["account_id"]): row
        for row in warehouse.query(CANDIDATES_SQL, {"after_account_id": after_account_id, "max_rows": max_rows})
    }
    account_ids = list(last)
    healths = warehouse.query(CANDIDATE_HEALTH_SQL, {"account_ids": account_ids}) if account_ids else []
    prices: dict[str, list[LiquidationPrice]] = {}
    for found in queries.liquidation_prices(warehouse, account_ids):
        prices.setdefault(found.account_id, []).append(
            LiquidationPrice(
                asset=found.asset,
                threshold_pct=found.threshold_pct,
                price_usd=found.trigger_price_usd,
                reason=found.reason,
            )
        )
    judged: list[Candidate] = []
    unjudged: dict[str, str] = {}
    for health in healths:
        account_id = str(health["account_id"])
        try:
            judged.append(_candidate(health | last[account_id], tuple(prices.get(account_id, ()))))
        except MarginInputError as error:
            unjudged[account_id] = error.message
    return CandidatePage(judged, unjudged, account_ids[-1] if len(account_ids) == max_rows else None)


def write_events(warehouse: MarginWarehouse, events: Sequence[MarginEvent]) -> None:
    """Keep the events; one that is there already stays as it is, whoever wrote it."""
    if events:
        warehouse.query(WRITE_EVENTS_SQL, {"events": [json.dumps(_event_row(event)) for event in events]})


def publish_outbox(warehouse: MarginWarehouse, publisher: MarginPublisher, clock: Clock) -> list[str]:
    """Publish events that have no recorded publication, record it, and return their ids, oldest first."""
    since = clock.now() - OUTBOX_LOOKBACK
    waiting = warehouse.query(OUTBOX_SQL, {"since": since, "max_rows": MAX_EVENTS_PER_LOOK})
    if not waiting:
        return []
    message_ids = publisher.publish_all(TOPIC, [str(row["message"]).encode() for row in waiting])
    published_at = clock.now()
    ids = [str(row["margin_event_id"]) for row in waiting]
    rows = [
        {"margin_event_id": event_id, "message_id": message_id, "published_at": published_at}
        for event_id, message_id in zip(ids, message_ids, strict=True)
    ]
    warehouse.append(MARGIN_EVENT_PUBLICATIONS.table_id, rows, ids)
    return ids


def _candidate(row: Mapping[str, Any], prices: tuple[LiquidationPrice, ...]) -> Candidate:
    last = (
        OpenState(
            row["account_id"],
            Severity(row["last_severity"]),
            row["last_episode_id"],
            int(row["last_transition_number"]),
        )
        if row["last_severity"]
        else None
    )
    health = AccountHealth(
        account_id=row["account_id"],
        status=AccountStatus(row["status"]),
        health_pct=row["health_pct"],
        collateral_usd=row["collateral_usd"],
        borrow_usd=row["borrow_usd"],
        margin_call_threshold_pct=row["margin_call_threshold_pct"],
        liquidation_threshold_pct=row["liquidation_threshold_pct"],
        recovery_margin_pct=row["recovery_margin_pct"],
        early_warning_threshold_pct=row["early_warning_threshold_pct"],
        liquidation_prices=prices,
        price_ids=_split(row["price_ids"]),
        unpriced_assets=_split(row["unpriced_assets"]),
        unpriced_reason=row["unpriced_reason"],
        is_simulated=bool(row["is_simulated"]),
        has_borrow=bool(row["has_borrow"]),
    )
    return Candidate(health, last)


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _event_row(event: MarginEvent) -> dict[str, str | int | None]:
    """The columns of one event; decimals as text, so that none passes through a float."""
    return {
        "margin_event_id": event.margin_event_id,
        "account_id": event.account_id,
        "severity": str(event.severity),
        "episode_id": event.episode_id,
        "transition_number": event.transition_number,
        "previous_severity": str(event.previous_severity) if event.previous_severity else None,
        "health_pct": _text(event.health_pct),
        "collateral_usd": _text(event.collateral_usd),
        "borrow_usd": _text(event.borrow_usd),
        "threshold_pct": _text(event.threshold_pct),
        "price_ids": ",".join(event.price_ids) or None,
        "unpriced_assets": ",".join(event.unpriced_assets) or None,
        "detected_at": event.detected_at.isoformat(),
        "is_simulated": "true" if event.is_simulated else "false",
        "message": event.to_wire().decode(),
    }

"""Reads of the stream: health of many accounts, the latest prices, and alerts in order of detection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from api.risk.schemas import HealthView
from api.risk.service import health_view
from api.stream.messages import PriceView
from assets.risk.queries import MarginHealth, Reader
from ingest.prices import reads

HEALTH_OF_ACCOUNTS_SQL = """
select *
from risk.margin_health
where account_id in unnest(@account_ids)
"""

ALERTS_SQL = """
select margin_event_id, account_id, detected_at, message
from risk.margin_events
where
    detected_at >= @since
    and (detected_at > @since or margin_event_id > @after_id)
    and (@is_every_account or account_id in unnest(@account_ids))
order by detected_at, margin_event_id
limit @max_rows
"""


@dataclass(frozen=True)
class AlertRow:
    """One margin event; `message` is the JSON text as published."""

    margin_event_id: str
    account_id: str
    detected_at: datetime
    message: str


def health_of(reader: Reader, account_ids: Sequence[str]) -> dict[str, HealthView]:
    """Health of the accounts that have a position."""
    if not account_ids:
        return {}
    names = [each.name for each in fields(MarginHealth)]
    rows = reader.query(HEALTH_OF_ACCOUNTS_SQL, {"account_ids": list(account_ids)})
    return {str(row["account_id"]): health_view(MarginHealth(**{name: row[name] for name in names})) for row in rows}


def latest_prices(reader: Reader, since: datetime) -> list[PriceView]:
    """The latest price of each asset among those that arrived since a time (UTC)."""
    rows = reads.latest_prices(reader, since)
    return [PriceView.model_validate({**asdict(row), "sources": _sources(row.sources)}) for row in rows]


def alerts(
    reader: Reader, since: datetime, after_id: str, account_ids: Sequence[str] | None, max_rows: int
) -> list[AlertRow]:
    """Alerts of the accounts (None: of all) from a time (UTC) on, there behind `after_id`, oldest first."""
    parameters = {
        "since": since,
        "after_id": after_id,
        "is_every_account": account_ids is None,
        "account_ids": list(account_ids or ()),
        "max_rows": max_rows,
    }
    names = [each.name for each in fields(AlertRow)]
    return [AlertRow(**{name: row[name] for name in names}) for row in reader.query(ALERTS_SQL, parameters)]


def _sources(text: str) -> list[dict[str, Any]]:
    found = json.loads(text)
    return found if isinstance(found, list) else []

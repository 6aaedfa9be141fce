"""Reads of the risk marts that only the API needs; all others are `assets.risk.queries`."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

from pydantic import Field

from assets.risk.queries import MarginHealth, Reader
from infra.runtime.cursors import OpaqueCursor
from ingest.messages import AccountId

_URGENCY_OF_OTHERS = 1
_URGENCY = {"unpriced": 0, "no_debt": 2}

# The order of assets.risk.queries.NEAREST_TO_CALL_SQL as a key without NULLs, so that a page can start behind a row.
HEALTH_PAGE_SQL = """
with
    keyed as (
        select
            *,
            case status when 'unpriced' then 0 when 'no_debt' then 2 else 1 end as urgency,
            if(health_pct is null, 0, 1) as has_health,
            coalesce(health_pct, numeric '0') as health_key
        from risk.margin_health
    )

select *
from keyed
where
    urgency > @urgency
    or (urgency = @urgency and has_health > @has_health)
    or (urgency = @urgency and has_health = @has_health and health_key > @health_key)
    or (
        urgency = @urgency
        and has_health = @has_health
        and health_key = @health_key
        and account_id > @account_id
    )
order by urgency, has_health, health_key, account_id
limit @max_rows
"""


class PageCursor(OpaqueCursor):
    """The place behind one account in the order of urgency; opaque to callers."""

    urgency: int = Field(ge=0, le=2, alias="u")
    health_pct: Decimal | None = Field(alias="h", max_digits=38, decimal_places=9, allow_inf_nan=False)
    account_id: AccountId = Field(alias="a")


def cursor_behind(row: MarginHealth) -> PageCursor:
    """The place behind `row`."""
    urgency = _URGENCY.get(row.status, _URGENCY_OF_OTHERS)
    return PageCursor(u=urgency, h=row.health_pct, a=row.account_id)


def health_page(reader: Reader, after: PageCursor | None, max_rows: int) -> list[MarginHealth]:
    """Accounts by urgency behind `after`, or from the first.

    An account whose health does not change while the pages are read is seen exactly once.
    """
    health = after.health_pct if after else None
    parameters: dict[str, Any] = {
        "urgency": after.urgency if after else -1,
        "has_health": 0 if health is None else 1,
        "health_key": Decimal(0) if health is None else health,
        "account_id": after.account_id if after else "",
        "max_rows": max_rows,
    }
    names = [each.name for each in fields(MarginHealth)]
    found: list[dict[str, Any]] = reader.query(HEALTH_PAGE_SQL, parameters)
    return [MarginHealth(**{name: row[name] for name in names}) for row in found]

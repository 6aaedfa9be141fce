"""Typed reads behind the margin monitor: a page of accounts by urgency, counts by status, health of the last hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.margin import Cure, cure
from assets.risk.queries import MarginHealth, Reader, read_rows


class Order(StrEnum):
    """What stands on top; accounts whose figure is unknown come first, because nobody knows how bad they are."""

    HEALTH = "health"
    EXPOSURE = "exposure"
    CURE = "cure"


@dataclass(frozen=True)
class AccountFilter:
    """Which accounts are wanted; an empty text is no filter. `asset` is held as collateral.

    An account whose debt has no value passes the minimum: it may be any amount.
    """

    status: str = ""
    asset: str = ""
    min_borrow_usd: Decimal = Decimal(0)
    text: str = ""

    def parameters(self) -> Mapping[str, Any]:
        """As parameters of the statements."""
        return {
            "status": self.status,
            "asset": self.asset,
            "min_borrow_usd": self.min_borrow_usd,
            "id_text": self.text.lower(),
        }


@dataclass(frozen=True)
class StatusCount:
    """How many of the wanted accounts have a status, and what their figures rest on."""

    status: str
    accounts: int
    oldest_price_age_seconds: int | None
    late_events_pending: int
    is_simulated: bool


@dataclass(frozen=True)
class HealthAt:
    """Health of an account in percent at a snapshot (UTC); None where it was not known."""

    account_id: str
    snapshot_at: datetime
    health_pct: Decimal | None


# Both statements filter alike. The cure is ordered by what `cure_of` asks to deposit.
ACCOUNTS_SQL = """
with
    wanted as (
        select *
        from risk.margin_health
        where
            (@id_text = '' or strpos(lower(account_id), @id_text) > 0)
            and (borrow_usd >= @min_borrow_usd or (status = 'unpriced' and health_pct is null))
            and (
                @asset = ''
                or account_id in (
                    select account_id
                    from intermediate.int_settlements__positions_current
                    where asset = @asset and side = 'collateral' and quantity > 0
                )
            )
    ),

    sized as (
        select
            *,
            case
                when status = 'no_debt'
                then numeric '0'
                else
                    greatest(
                        numeric '0',
                        cast(
                            (numeric '1' + (margin_call_threshold_pct + recovery_margin_pct) / numeric '100')
                            * borrow_usd
                            - collateral_usd as numeric
                        )
                    )
            end as shortfall_usd
        from wanted
        where @status = '' or status = @status
    )

select *
from sized
order by
    case status when 'unpriced' then 0 when 'no_debt' then 2 else 1 end,
    case @sort_by when 'exposure' then - borrow_usd when 'cure' then - shortfall_usd else health_pct end,
    health_pct,
    account_id
limit @max_rows
offset @skipped_rows
"""

# All statuses, so that each can be chosen instead.
STATUS_COUNTS_SQL = """
with
    wanted as (
        select *
        from risk.margin_health
        where
            (@id_text = '' or strpos(lower(account_id), @id_text) > 0)
            and (borrow_usd >= @min_borrow_usd or (status = 'unpriced' and health_pct is null))
            and (
                @asset = ''
                or account_id in (
                    select account_id
                    from intermediate.int_settlements__positions_current
                    where asset = @asset and side = 'collateral' and quantity > 0
                )
            )
    )

select
    status,
    count(*) as accounts,
    max(oldest_price_age_seconds) as oldest_price_age_seconds,
    coalesce(sum(late_events_pending), 0) as late_events_pending,
    coalesce(logical_or(is_simulated), false) as is_simulated
from wanted
group by status
order by status
"""

# The value of an unpriced account rested on old prices: it is no point of a trend.
HEALTH_POINTS_SQL = """
select account_id, snapshot_at, if(status = 'unpriced', null, health_pct) as health_pct
from risk.margin_health_history
where snapshot_at >= @since and account_id in unnest(@account_ids)
order by account_id, snapshot_at
"""

ASSETS_HELD_SQL = """
select distinct asset
from intermediate.int_settlements__positions_current
where side = 'collateral' and quantity > 0
order by asset
"""


def accounts(
    reader: Reader, wanted: AccountFilter, order: Order, max_rows: int, skipped_rows: int = 0
) -> list[MarginHealth]:
    """A page of the accounts that fit all filters, in that order; `skipped_rows` stand on the pages before."""
    parameters = {**wanted.parameters(), "sort_by": order.value, "max_rows": max_rows, "skipped_rows": skipped_rows}
    return read_rows(reader, MarginHealth, ACCOUNTS_SQL, parameters)


def status_counts(reader: Reader, wanted: AccountFilter) -> list[StatusCount]:
    """How many accounts fit the other filters, by status; the filter by status is left out."""
    parameters = {name: value for name, value in wanted.parameters().items() if name != "status"}
    return read_rows(reader, StatusCount, STATUS_COUNTS_SQL, parameters)


def health_points(reader: Reader, account_ids: Sequence[str], since: datetime) -> list[HealthAt]:
    """Health of the accounts at each snapshot since a time (UTC), oldest first; empty for no accounts."""
    if not account_ids:
        return []
    return read_rows(reader, HealthAt, HEALTH_POINTS_SQL, {"account_ids": list(account_ids), "since": since})


def assets_held(reader: Reader) -> list[str]:
    """Assets that some account holds as collateral, sorted."""
    return [str(row["asset"]) for row in reader.query(ASSETS_HELD_SQL)]


def cure_target_pct(account: MarginHealth) -> Decimal:
    """The health in percent that ends a margin call of the account."""
    return account.margin_call_threshold_pct + account.recovery_margin_pct


def cure_of(account: MarginHealth) -> Cure | None:
    """What ends a margin call, by the calculation that alerts use; None where the account's value is not known."""
    if account.status == "unpriced":
        return None
    try:
        return cure(account.collateral_usd, account.borrow_usd, cure_target_pct(account))
    except RiskInputError:
        return None

"""The transfers around one transaction: the account's counterparties of a week, the largest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from compliance.aml.features import CUSTOMER_KINDS

WINDOW = timedelta(days=7)
MOST_NODES = 40

# The transaction's own counterparty is always shown, whatever it is worth.
_EDGES = text(
    """
    with
        transfers as (
            select
                counterparty_address, direction, amount_usd,
                coalesce(decision in ('blocked', 'rejected'), false) as is_stopped
            from compliance.transaction_logs
            where
                account_id = :account_id and occurred_at > :since and occurred_at <= :until
                and kind = any(cast(:kinds as text[]))
        ),

        counterparties as (
            select
                counterparty_address, sum(amount_usd) as amount_usd,
                row_number() over (
                    order by
                        (counterparty_address is not distinct from cast(:own as text)) desc,
                        sum(amount_usd) desc nulls last, count(*) desc, counterparty_address nulls last
                ) as place
            from transfers
            group by counterparty_address
        ),

        left_out as (
            select count(*) as counterparties, sum(amount_usd) as amount_usd from counterparties where place > :most
        )

    select
        shown.place, transfers.counterparty_address, transfers.direction,
        count(*) as transfers,
        count(*) filter (where transfers.is_stopped) as stopped,
        count(*) - count(transfers.amount_usd) as unpriced,
        sum(transfers.amount_usd) as amount_usd,
        left_out.counterparties as more_counterparties,
        left_out.amount_usd as more_amount_usd
    from counterparties as shown
    inner join transfers on transfers.counterparty_address is not distinct from shown.counterparty_address
    cross join left_out
    where shown.place <= :most
    group by shown.place, transfers.counterparty_address, transfers.direction, left_out.counterparties,
        left_out.amount_usd
    order by shown.place, transfers.direction
    """
)
_LISTED = text(
    """
    select wallets.address, versions.list_name, entries.topics
    from compliance.list_versions as versions
    inner join compliance.list_wallets as wallets using (list_version_id)
    inner join compliance.list_entries as entries using (list_version_id, entry_id)
    where versions.state = 'active' and wallets.address = any(cast(:addresses as text[]))
    order by wallets.address, versions.list_name
    """
)
_KNOWN = text(
    """
    select
        count(distinct versions.list_version_id) > 0 as has_list,
        coalesce(bool_or(entries.topics && cast(:topics as text[])), false) as has_mixers
    from compliance.list_versions as versions
    left join compliance.list_entries as entries using (list_version_id)
    where versions.state = 'active'
    """
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What the active lists say of an address; None: nobody can tell."""

    lists: tuple[str, ...] = ()
    is_listed: bool | None = None
    is_mixer: bool | None = None


@dataclass(frozen=True, slots=True)
class Transfers:
    """Sums by counterparty and direction, and what the bound leaves out."""

    since: datetime
    until: datetime
    edges: Sequence[RowMapping]
    more_counterparties: int
    more_amount_usd: Decimal | None


def read_transfers(connection: Connection, account_id: str, own_address: str | None, at: datetime) -> Transfers:
    """The account's transfers of the 7 days until `at`, with its `MOST_NODES - 1` largest counterparties."""
    since = at - WINDOW
    values: dict[str, Any] = {
        "account_id": account_id,
        "own": own_address,
        "since": since,
        "until": at,
        "kinds": sorted(CUSTOMER_KINDS),
        "most": MOST_NODES - 1,
    }
    rows = connection.execute(_EDGES, values).mappings().all()
    more = (rows[0]["more_counterparties"], rows[0]["more_amount_usd"]) if rows else (0, None)
    return Transfers(since, at, rows, *more)


def read_marks(
    connection: Connection, addresses: Sequence[str], mixer_topics: Sequence[str] | None
) -> Mapping[str, Marks]:
    """What the active lists say of each address.

    Without a list nothing is known. Who is a mixer is not known either where no list names one, or where no policy says
    what a mixer is (`mixer_topics` None).
    """
    mixing = frozenset(mixer_topics or ())
    known = connection.execute(_KNOWN, {"topics": sorted(mixing)}).mappings().one()
    if not known["has_list"]:
        return dict.fromkeys(addresses, Marks())
    found: dict[str, list[RowMapping]] = {address: [] for address in addresses}
    for row in connection.execute(_LISTED, {"addresses": list(addresses)}).mappings():
        found[row["address"]].append(row)
    return {address: _marks(rows, mixing, has_mixers=known["has_mixers"]) for address, rows in found.items()}


def _marks(rows: Sequence[RowMapping], mixing: frozenset[str], *, has_mixers: bool) -> Marks:
    return Marks(
        tuple(dict.fromkeys(row["list_name"] for row in rows)),
        # As the gate has it: who is named as a mixer and for nothing else is for the rule about mixers.
        is_listed=any(not row["topics"] or bool(set(row["topics"]) - mixing) for row in rows),
        is_mixer=any(mixing & set(row["topics"]) for row in rows) if has_mixers else None,
    )

"""How far the warehouse is behind the chained record of compliance, read beside the mirror without its lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, text

from infra.runtime.clock import as_utc

# Only what is numbered in a chain can be told cheaply: other tables have no index by which change they wait for.
_LAG = text(
    """
    with
        chains as (
            select
                chain_heads.chain,
                chain_heads.sequence as head,
                coalesce(cast(split_part(mirror_progress.position, ':', 1) as bigint), 0) as passed,
                mirror_progress.mirrored_at
            from compliance.chain_heads
            left join compliance.mirror_progress on chain_heads.chain = mirror_progress.stream
        )

    select
        chain,
        head - passed as waiting,
        mirrored_at,
        case chain
            when 'case_events' then (
                select at from compliance.case_events where sequence > passed order by sequence limit 1
            )
            when 'decisions' then (
                select at from compliance.decisions where sequence > passed order by sequence limit 1
            )
        end as oldest_at,
        clock_timestamp() as now
    from chains
    order by chain
    """
)


@dataclass(frozen=True)
class ChainLag:
    """What of a chain is not in the warehouse yet: `waiting` rows, the oldest `lag_s` seconds old (0 for none).

    `mirrored_at` is when the mirror last moved on (UTC); None where it never did.
    """

    chain: str
    waiting: int
    lag_s: float
    mirrored_at: datetime | None


def chain_lags(engine: Engine) -> list[ChainLag]:
    """The lag of each chain by the database's clock; raises SQLAlchemy's errors."""
    with engine.connect() as connection:
        rows = connection.execute(_LAG).all()
    return [
        ChainLag(
            row.chain,
            max(0, row.waiting),
            0.0 if row.oldest_at is None else max(0.0, (row.now - row.oldest_at).total_seconds()),
            None if row.mirrored_at is None else as_utc(row.mirrored_at),
        )
        for row in rows
    ]

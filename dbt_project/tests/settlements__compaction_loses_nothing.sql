-- Positions must equal the ledger: every event counted once. A break here means that a margin call rests on a
-- position that never was.
with
    ledger as (
        select account_id, asset, side, sum(signed_quantity) as quantity
        from
            (
                select *
                from {{ ref("stg_settlements__events") }}
                qualify row_number() over (partition by event_id order by ingested_at, message_id) = 1
            )
        group by account_id, asset, side
    ),

    pending as (
        select account_id, asset, side, sum(signed_quantity) as quantity
        from {{ ref("int_settlements__events_since") }}
        -- An event that is delivered once more long after its compaction looks late, but is in the positions.
        where is_late and event_id not in (select event_id from {{ ref("int_settlements__events_deduped") }})
        group by account_id, asset, side
    ),

    positions as (select * from {{ ref("int_settlements__positions_current") }})

select ledger.account_id, ledger.asset, ledger.side, ledger.quantity as ledger_quantity, positions.quantity
from ledger
full outer join
    positions
    on ledger.account_id = positions.account_id
    and ledger.asset = positions.asset
    and ledger.side = positions.side
left join
    pending on ledger.account_id = pending.account_id and ledger.asset = pending.asset and ledger.side = pending.side
where
    coalesce(ledger.quantity, bignumeric '0') - coalesce(pending.quantity, bignumeric '0')
    != coalesce(positions.quantity, bignumeric '0')

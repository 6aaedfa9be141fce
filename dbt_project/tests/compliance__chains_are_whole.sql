-- A row that was removed, inserted or exchanged breaks the chain of hashes: what auditors read would not be what was
-- recorded. `ballast compliance verify-ledger` says whether PostgreSQL or the copy is wrong.
with
    links as (
        select 'case_events' as chain, sequence, previous_hash, row_hash
        from {{ ref("stg_compliance__case_events") }}
        union all
        select 'decisions' as chain, sequence, previous_hash, row_hash
        from {{ ref("stg_compliance__decisions") }}
    ),

    neighbours as (
        select
            *,
            lag(sequence) over (partition by chain order by sequence) as sequence_before,
            lag(row_hash) over (partition by chain order by sequence) as hash_before
        from links
    )

select chain, sequence, sequence_before
from neighbours
where sequence_before is not null and (sequence != sequence_before + 1 or previous_hash != hash_before)

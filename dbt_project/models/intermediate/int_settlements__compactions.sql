{{ config(materialized="table", group="settlements") }}

with
    positions as (select * from {{ ref("int_settlements__positions_compacted") }}),

    compactions as (
        select {{ current_time() }} as compacted_at, max(compacted_through) as compacted_through, count(*) as positions
        from positions
    )

select *
from compactions

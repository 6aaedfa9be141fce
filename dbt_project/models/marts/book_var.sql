{{
    config(
        tags=["daily"],
        materialized="incremental",
        incremental_strategy="merge",
        unique_key=["as_of_date", "confidence", "horizon_days", "method", "price_set_id"],
        partition_by={"field": "as_of_date", "data_type": "date", "granularity": "day"},
        cluster_by=["confidence"],
        on_schema_change="fail",
    )
}}

with
    historical_var as (select * from {{ ref("int_risk__historical_var") }} where portfolio_kind = 'book'),

    book_var as (
        select
            as_of_date,
            method,
            estimator,
            confidence,
            horizon_days,
            window_observations,
            observations,
            tail_observations,
            var_usd,
            es_usd,
            reason,
            price_set_id,
            is_simulated,
            '{{ var("code_version") }}' as code_version,
            {{ current_time() }} as computed_at
        from historical_var
    )

select *
from book_var

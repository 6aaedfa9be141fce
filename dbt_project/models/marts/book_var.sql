{{
    config(
        tags=["daily"],
        materialized="incremental",
        incremental_strategy="merge",
        unique_key=[
            "as_of_date",
            "confidence",
            "horizon_days",
            "window_observations",
            "method",
            "price_set_id",
        ],
        partition_by={"field": "as_of_date", "data_type": "date", "granularity": "day"},
        cluster_by=["method"],
        on_schema_change="fail",
        post_hook="{{ delete_rows_of_earlier_builds() }}",
    )
}}

with
    value_at_risk as (select * from {{ ref("int_risk__value_at_risk") }} where portfolio_kind = 'book'),

    book_var as (
        select
            as_of_date,
            method,
            estimator,
            confidence,
            horizon_days,
            horizon_rule,
            window_observations,
            observations,
            tail_observations,
            var_usd,
            es_usd,
            var_lower_usd,
            var_upper_usd,
            es_lower_usd,
            es_upper_usd,
            interval_method,
            interval_confidence,
            is_fallback,
            reason,
            price_set_id,
            is_simulated,
            seed,
            '{{ var("code_version") }}' as code_version,
            {{ current_time() }} as computed_at
        from value_at_risk
    )

select *
from book_var

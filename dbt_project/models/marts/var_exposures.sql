{{
    config(
        tags=["daily"],
        materialized="incremental",
        incremental_strategy="merge",
        unique_key=["account_id", "asset", "as_of_date", "price_set_id"],
        partition_by={"field": "as_of_date", "data_type": "date", "granularity": "day"},
        cluster_by=["account_id"],
        on_schema_change="fail",
        post_hook="{{ delete_rows_of_earlier_builds() }}",
    )
}}

with
    exposures as (select * from {{ ref("int_risk__exposures_as_of") }}),

    var_exposures as (
        select
            account_id,
            asset,
            as_of_date,
            price_set_id,
            net_quantity,
            close_usd,
            net_exposure_usd,
            '{{ var("code_version") }}' as code_version,
            {{ current_time() }} as computed_at
        from exposures
    )

select *
from var_exposures

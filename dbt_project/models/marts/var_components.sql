{{
    config(
        tags=["daily"],
        materialized="incremental",
        incremental_strategy="merge",
        unique_key=["part_kind", "part_id", "as_of_date", "confidence", "horizon_days", "method", "price_set_id"],
        partition_by={"field": "as_of_date", "data_type": "date", "granularity": "day"},
        cluster_by=["part_kind", "part_id"],
        on_schema_change="fail",
        post_hook="{{ delete_rows_of_earlier_builds() }}",
    )
}}

{%- set window = var("var_standard_window") %}

with
    exposures as (select * from {{ ref("int_risk__portfolio_exposures") }}),

    historical_var as (
        select *
        from {{ ref("int_risk__historical_var") }}
        where portfolio_kind = 'book' and horizon_days = 1 and window_observations = {{ window }}
    ),

    component_losses as (select * from {{ ref("int_risk__component_losses") }}),

    component_removals as (select * from {{ ref("int_risk__component_removals") }}),

    parts as (
        select 'asset' as part_kind, asset as part_id, as_of_date, price_set_id, net_exposure_usd as exposure_usd
        from exposures
        where portfolio_kind = 'book'
        union all
        select
            'account' as part_kind,
            portfolio_id as part_id,
            as_of_date,
            price_set_id,
            if(countif(net_exposure_usd is null) > 0, null, sum(net_exposure_usd)) as exposure_usd
        from exposures
        where portfolio_kind = 'account'
        group by portfolio_id, as_of_date, price_set_id
    ),

    joined as (
        select
            parts.part_kind,
            parts.part_id,
            parts.as_of_date,
            parts.price_set_id,
            parts.exposure_usd,
            historical_var.confidence,
            historical_var.tail_observations,
            historical_var.observations,
            historical_var.is_simulated,
            historical_var.reason,
            historical_var.var_usd,
            historical_var.es_usd,
            if(historical_var.reason is null, component_losses.component_var_usd, null) as component_var_usd,
            if(historical_var.reason is null, component_losses.component_es_usd, null) as component_es_usd,
            if(
                historical_var.reason is null, historical_var.var_usd - component_removals.var_without_usd, null
            ) as incremental_var_usd,
            if(historical_var.reason is null, component_removals.standalone_var_usd, null) as standalone_var_usd
        from parts
        inner join
            historical_var
            on parts.as_of_date = historical_var.as_of_date
            and parts.price_set_id = historical_var.price_set_id
        left join
            component_losses
            on parts.part_kind = component_losses.part_kind
            and parts.part_id = component_losses.part_id
            and historical_var.confidence = component_losses.confidence
        left join
            component_removals
            on parts.part_kind = component_removals.part_kind
            and parts.part_id = component_removals.part_id
            and historical_var.confidence = component_removals.confidence
    ),

    var_components as (
        select
            part_kind,
            part_id,
            as_of_date,
            'historical_simulation' as method,
            'kth_worst_loss' as estimator,
            confidence,
            1 as horizon_days,
            {{ window }} as window_observations,
            observations,
            tail_observations,
            exposure_usd,
            component_var_usd,
            component_es_usd,
            safe_divide(component_var_usd, exposure_usd) as marginal_var_ratio,
            incremental_var_usd,
            standalone_var_usd,
            var_usd as book_var_usd,
            es_usd as book_es_usd,
            case
                when reason is not null
                then reason
                when component_var_usd is not null and incremental_var_usd is null
                then
                    'increment not computed: not among the {{ var("var_incremental_accounts") }} accounts that add most'
            end as reason,
            price_set_id,
            is_simulated,
            '{{ var("code_version") }}' as code_version,
            {{ current_time() }} as computed_at
        from joined
    )

select *
from var_components

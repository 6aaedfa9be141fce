{{ config(tags=["daily"], materialized="view") }}

{%- set figures = [
    "var_usd",
    "es_usd",
    "var_lower_usd",
    "var_upper_usd",
    "es_lower_usd",
    "es_upper_usd",
] %}
{%- set interval_confidence_bp = var("var_interval_confidence_bp") %}

with
    historical_var as (select * from {{ ref("int_risk__historical_var") }}),

    method_estimates as (select * from {{ source("risk", "var_method_estimates") }}),

    as_of as (select as_of_date, price_set_id from historical_var group by as_of_date, price_set_id),

    current_estimates as (
        select method_estimates.*
        from method_estimates
        inner join
            as_of
            on method_estimates.as_of_date = as_of.as_of_date
            and method_estimates.price_set_id = as_of.price_set_id
    ),

    resampled as (select * from current_estimates where method = 'historical_simulation'),

    -- Computed here; only the interval of Expected Shortfall, a bootstrap, comes from the other table.
    historical as (
        select
            historical_var.portfolio_kind,
            historical_var.portfolio_id,
            historical_var.as_of_date,
            'historical_simulation' as method,
            'kth_worst_loss' as estimator,
            historical_var.confidence,
            historical_var.horizon_days,
            if(historical_var.horizon_days = 1, 'one_day', 'overlapping_returns') as horizon_rule,
            historical_var.window_observations,
            historical_var.observations,
            historical_var.tail_observations,
            historical_var.var_usd,
            historical_var.es_usd,
            historical_var.var_lower_usd,
            historical_var.var_upper_usd,
            if(historical_var.reason is null, resampled.es_lower_usd, null) as es_lower_usd,
            if(historical_var.reason is null, resampled.es_upper_usd, null) as es_upper_usd,
            'order_statistics' as interval_method,
            {{ confidence_literal(interval_confidence_bp) }} as interval_confidence,
            false as is_fallback,
            historical_var.reason,
            historical_var.price_set_id,
            historical_var.is_simulated,
            cast(null as int64) as seed
        from historical_var
        left join
            resampled
            on historical_var.portfolio_kind = resampled.portfolio_kind
            and historical_var.portfolio_id = resampled.portfolio_id
            and historical_var.as_of_date = resampled.as_of_date
            and historical_var.price_set_id = resampled.price_set_id
            and historical_var.confidence = resampled.confidence
            and historical_var.horizon_days = resampled.horizon_days
            and historical_var.window_observations = resampled.window_observations
    ),

    others as (
        select
            portfolio_kind,
            portfolio_id,
            as_of_date,
            method,
            estimator,
            confidence,
            horizon_days,
            horizon_rule,
            window_observations,
            observations,
            tail_observations,
            {{ figures | join(",\n            ") }},
            interval_method,
            interval_confidence,
            is_fallback,
            reason,
            price_set_id,
            is_simulated,
            seed
        from current_estimates
        where method != 'historical_simulation'
    ),

    value_at_risk as (
        select *
        from historical
        union all
        select *
        from others
    )

select *
from value_at_risk

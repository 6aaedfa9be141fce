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

    -- A normal method that has a figure where historical simulation has none stands in for it.
    others as (
        select
            current_estimates.portfolio_kind,
            current_estimates.portfolio_id,
            current_estimates.as_of_date,
            current_estimates.method,
            current_estimates.estimator,
            current_estimates.confidence,
            current_estimates.horizon_days,
            current_estimates.horizon_rule,
            current_estimates.window_observations,
            current_estimates.observations,
            current_estimates.tail_observations,
            {% for figure in figures %} current_estimates.{{ figure }}, {% endfor %}
            current_estimates.interval_method,
            current_estimates.interval_confidence,
            current_estimates.method in ('delta_normal', 'ewma_delta_normal')
            and current_estimates.var_usd is not null
            and historical_var.reason is not null as is_fallback,
            if(
                current_estimates.method in ('delta_normal', 'ewma_delta_normal'),
                coalesce(current_estimates.reason, historical_var.reason),
                current_estimates.reason
            ) as reason,
            current_estimates.price_set_id,
            current_estimates.is_simulated,
            current_estimates.seed
        from current_estimates
        left join
            historical_var
            on current_estimates.portfolio_kind = historical_var.portfolio_kind
            and current_estimates.portfolio_id = historical_var.portfolio_id
            and current_estimates.confidence = historical_var.confidence
            and current_estimates.horizon_days = historical_var.horizon_days
            and current_estimates.window_observations = historical_var.window_observations
        where current_estimates.method != 'historical_simulation'
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

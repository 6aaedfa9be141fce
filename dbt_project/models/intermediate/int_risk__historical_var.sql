{{ config(tags=["daily"], materialized="table", cluster_by=["portfolio_id"]) }}

with
    portfolio_coverage as (select * from {{ ref("int_risk__portfolio_coverage") }}),

    historical_tails as (select * from {{ ref("int_risk__historical_tails") }}),

    confidence_levels as (
        {% for window in var("var_windows") %}
            {% set last_window = loop.last %}
            {% for bp in var("var_confidences_bp") %}
                select
                    {{ window }} as window_observations,
                    {{ confidence_literal(bp) }} as confidence,
                    {{ tail_observations(window, bp) }} as tail_observations
                {% if not (last_window and loop.last) %}
                    union all
                {% endif %}
            {% endfor %}
        {% endfor %}
    ),

    placed as (
        select
            historical_tails.portfolio_kind,
            historical_tails.portfolio_id,
            historical_tails.horizon_days,
            historical_tails.window_observations,
            confidence_levels.confidence,
            confidence_levels.tail_observations,
            {% for column in ["var", "tail_loss", "var_lower", "var_upper"] %}
                case
                    {% for bp in var("var_confidences_bp") %}
                        when confidence_levels.confidence = {{ confidence_literal(bp) }}
                        then historical_tails.{{ column }}_{{ bp }}_usd
                    {% endfor %}
                end as {{ column }}_usd
                {{- "," if not loop.last }}
            {% endfor %}
        from historical_tails
        inner join confidence_levels on historical_tails.window_observations = confidence_levels.window_observations
    ),

    historical_var as (
        select
            portfolio_coverage.portfolio_kind,
            portfolio_coverage.portfolio_id,
            portfolio_coverage.as_of_date,
            portfolio_coverage.price_set_id,
            portfolio_coverage.is_simulated,
            portfolio_coverage.horizon_days,
            portfolio_coverage.window_observations,
            portfolio_coverage.observations,
            portfolio_coverage.reason,
            placed.confidence,
            placed.tail_observations,
            if(portfolio_coverage.reason is null, placed.var_usd, null) as var_usd,
            if(
                portfolio_coverage.reason is null,
                -- The mean of losses that are all alike may miss them by a rounding error.
                greatest(
                    cast(cast(placed.tail_loss_usd as float64) / placed.tail_observations as numeric), placed.var_usd
                ),
                null
            ) as es_usd,
            if(portfolio_coverage.reason is null, placed.var_lower_usd, null) as var_lower_usd,
            if(portfolio_coverage.reason is null, placed.var_upper_usd, null) as var_upper_usd
        from portfolio_coverage
        inner join
            placed
            on portfolio_coverage.portfolio_kind = placed.portfolio_kind
            and portfolio_coverage.portfolio_id = placed.portfolio_id
            and portfolio_coverage.horizon_days = placed.horizon_days
            and portfolio_coverage.window_observations = placed.window_observations
    )

select *
from historical_var

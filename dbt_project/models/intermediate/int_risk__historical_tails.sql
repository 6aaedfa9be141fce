{{ config(tags=["daily"], materialized="table", cluster_by=["portfolio_id"]) }}

-- depends_on: {{ ref("int_risk__asset_coverage") }}
-- depends_on: {{ ref("int_risk__exposures_as_of") }}
{%- set assets = scenario_assets() %}

with
    exposures as (select * from {{ ref("int_risk__exposure_vectors") }}),

    scenarios as (select * from {{ ref("int_risk__scenario_matrix") }}),

    {% for days in var("var_horizons_days") %}
        {% for window in var("var_windows") %}
            losses_{{ days }}d_{{ window }} as (
                select
                    exposures.portfolio_key,
                    - (
                        {% for asset in assets %}
                            {{- " + " if not loop.first }}exposures.{{ asset | lower }}_usd
                            * scenarios.{{ asset | lower }}_return
                        {%- else %}0.0
                        {%- endfor %}
                    ) as loss
                from exposures
                cross join scenarios
                where scenarios.horizon_days = {{ days }} and scenarios.scenario_age_days < {{ window }}
            ),

            worst_{{ days }}d_{{ window }} as (
                select
                    portfolio_key,
                    -- Exact from here on, so that no sum depends on its order.
                    cast(loss as numeric) as loss_usd,
                    row_number() over (partition by portfolio_key order by loss desc) as loss_rank
                from losses_{{ days }}d_{{ window }}
                qualify loss_rank <= {{ deepest_rank(window) }}
            ),

            tails_{{ days }}d_{{ window }} as (
                select
                    portfolio_key,
                    {{ days }} as horizon_days,
                    {{ window }} as window_observations
                    {%- for bp in var("var_confidences_bp") %}
                        {%- set ranks = tail_ranks(window, bp) %},
                        max(if(loss_rank = {{ ranks.tail }}, loss_usd, null)) as var_{{ bp }}_usd,
                        sum(if(loss_rank <= {{ ranks.tail }}, loss_usd, null)) as tail_loss_{{ bp }}_usd,
                        {% if ranks.lower is none %} cast(null as numeric)
                        {% else %} max(if(loss_rank = {{ ranks.lower }}, loss_usd, null))
                        {% endif %} as var_lower_{{ bp }}_usd,
                        {% if ranks.upper is none %} cast(null as numeric)
                        {% else %} max(if(loss_rank = {{ ranks.upper }}, loss_usd, null))
                        {% endif %} as var_upper_{{ bp }}_usd
                    {%- endfor %}
                from worst_{{ days }}d_{{ window }}
                group by portfolio_key
            ),
        {% endfor %}
    {% endfor %}

    collected as (
        {% for days in var("var_horizons_days") %}
            {% set last_horizon = loop.last %}
            {% for window in var("var_windows") %}
                select *
                from tails_{{ days }}d_{{ window }}
                {% if not (last_horizon and loop.last) %}
                    union all
                {% endif %}
            {% endfor %}
        {% endfor %}
    ),

    historical_tails as (
        select exposures.portfolio_kind, exposures.portfolio_id, collected.*
        from collected
        inner join exposures on collected.portfolio_key = exposures.portfolio_key
    )

select *
from historical_tails

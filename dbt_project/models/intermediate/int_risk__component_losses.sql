{{ config(tags=["daily"], materialized="table", cluster_by=["part_id"]) }}

-- depends_on: {{ ref("int_risk__asset_coverage") }}
-- depends_on: {{ ref("int_risk__exposures_as_of") }}
{%- set assets = scenario_assets() %}
{%- set window = var("var_standard_window") %}

with
    exposures as (select * from {{ ref("int_risk__portfolio_exposures") }}),

    exposure_vectors as (select * from {{ ref("int_risk__exposure_vectors") }} where portfolio_kind = 'account'),

    scenario_matrix as (select * from {{ ref("int_risk__scenario_matrix") }} where horizon_days = 1),

    scenarios as (select * from {{ ref("int_risk__scenarios") }} where horizon_days = 1),

    book_tail as (
        select scenario_date, loss_rank
        from {{ ref("int_risk__book_scenarios") }}
        where loss_rank <= {{ tail_observations(window, var("var_confidences_bp") | min) }}
    ),

    asset_pnl as (
        select
            'asset' as part_kind,
            exposures.asset as part_id,
            book_tail.loss_rank,
            -- As in the matrix, a return that is not there counts as nothing: the book holds nothing, or has a reason.
            cast(
                cast(exposures.net_exposure_usd as float64) * coalesce(scenarios.simple_return, 0.0) as numeric
            ) as pnl_usd
        from exposures
        inner join scenarios on exposures.asset = scenarios.asset
        inner join book_tail on scenarios.scenario_date = book_tail.scenario_date
        where exposures.portfolio_kind = 'book'
    ),

    account_pnl as (
        select
            'account' as part_kind,
            exposure_vectors.portfolio_id as part_id,
            book_tail.loss_rank,
            cast(
                {% for asset in assets %}
                    {{- " + " if not loop.first }}exposure_vectors.{{ asset | lower }}_usd
                    * scenario_matrix.{{ asset | lower }}_return
                {%- else %}0.0
                {%- endfor %} as numeric
            ) as pnl_usd
        from exposure_vectors
        cross join scenario_matrix
        inner join book_tail on scenario_matrix.scenario_date = book_tail.scenario_date
    ),

    pnl as (
        select part_kind, part_id, loss_rank, pnl_usd
        from asset_pnl
        union all
        select part_kind, part_id, loss_rank, pnl_usd
        from account_pnl
    ),

    component_losses as (
        {% for bp in var("var_confidences_bp") %}
            {% set tail = tail_observations(window, bp) %}
            select
                part_kind,
                part_id,
                {{ confidence_literal(bp) }} as confidence,
                - max(if(loss_rank = {{ tail }}, pnl_usd, null)) as component_var_usd,
                cast(
                    - cast(sum(if(loss_rank <= {{ tail }}, pnl_usd, null)) as float64) / {{ tail }} as numeric
                ) as component_es_usd
            from pnl
            group by part_kind, part_id
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )

select *
from component_losses

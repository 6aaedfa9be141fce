{{ config(tags=["daily"], materialized="table", cluster_by=["part_id"]) }}

-- depends_on: {{ ref("int_risk__asset_coverage") }}
-- depends_on: {{ ref("int_risk__exposures_as_of") }}
{%- set assets = scenario_assets() %}
{%- set window = var("var_standard_window") %}

with
    exposures as (select * from {{ ref("int_risk__portfolio_exposures") }} where portfolio_kind = 'book'),

    exposure_vectors as (select * from {{ ref("int_risk__exposure_vectors") }} where portfolio_kind = 'account'),

    scenario_matrix as (select * from {{ ref("int_risk__scenario_matrix") }} where horizon_days = 1),

    scenarios as (select * from {{ ref("int_risk__scenarios") }} where horizon_days = 1),

    book_scenarios as (select * from {{ ref("int_risk__book_scenarios") }}),

    component_losses as (select * from {{ ref("int_risk__component_losses") }}),

    -- Each account of a large book changes little: its removal is computed for those that add most.
    chosen as (
        select part_id
        from component_losses
        where part_kind = 'account' and confidence = {{ confidence_literal(var("var_confidences_bp") | min) }}
        qualify row_number() over (order by component_es_usd desc, part_id) <= {{ var("var_incremental_accounts") }}
    ),

    part_pnl as (
        select
            'asset' as part_kind,
            exposures.asset as part_id,
            book_scenarios.pnl as book_pnl,
            -- As in the matrix, a return that is not there counts as nothing: the book holds nothing, or has a reason.
            cast(exposures.net_exposure_usd as float64) * coalesce(scenarios.simple_return, 0.0) as pnl
        from exposures
        inner join scenarios on exposures.asset = scenarios.asset
        inner join book_scenarios on scenarios.scenario_date = book_scenarios.scenario_date
        union all
        select
            'account' as part_kind,
            exposure_vectors.portfolio_id as part_id,
            book_scenarios.pnl as book_pnl,
            {% for asset in assets %}
                {{- " + " if not loop.first }}exposure_vectors.{{ asset | lower }}_usd
                * scenario_matrix.{{ asset | lower }}_return
            {%- else %} 0.0
            {%- endfor %} as pnl
        from exposure_vectors
        inner join chosen on exposure_vectors.portfolio_id = chosen.part_id
        cross join scenario_matrix
        inner join book_scenarios on scenario_matrix.scenario_date = book_scenarios.scenario_date
    ),

    ranked as (
        select
            part_kind,
            part_id,
            book_pnl - pnl as pnl_without,
            pnl as pnl_alone,
            row_number() over (partition by part_kind, part_id order by book_pnl - pnl) as rank_without,
            row_number() over (partition by part_kind, part_id order by pnl) as rank_alone
        from part_pnl
    ),

    component_removals as (
        {% for bp in var("var_confidences_bp") %}
            {% set tail = tail_observations(window, bp) %}
            select
                part_kind,
                part_id,
                {{ confidence_literal(bp) }} as confidence,
                - max(if(rank_without = {{ tail }}, cast(pnl_without as numeric), null)) as var_without_usd,
                - max(if(rank_alone = {{ tail }}, cast(pnl_alone as numeric), null)) as standalone_var_usd
            from ranked
            group by part_kind, part_id
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )

select *
from component_removals

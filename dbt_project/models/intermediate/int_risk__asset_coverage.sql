{{ config(tags=["daily"], materialized="table") }}

with
    scenarios as (select * from {{ ref("int_risk__scenarios") }}),

    windows as ({{ rows_of("window_observations", var("var_windows")) }}),

    counted as (
        select
            scenarios.asset,
            scenarios.horizon_days,
            windows.window_observations,
            countif(scenarios.simple_return is not null) as observations,
            countif(scenarios.simple_return != 0) as moves
        from scenarios
        inner join windows on scenarios.scenario_age_days < windows.window_observations
        group by scenarios.asset, scenarios.horizon_days, windows.window_observations
    ),

    asset_coverage as (
        select
            asset,
            horizon_days,
            window_observations,
            observations,
            case
                when observations < window_observations
                then
                    concat(
                        asset,
                        ' has ',
                        cast(observations as string),
                        ' of ',
                        cast(window_observations as string),
                        ' returns'
                    )
                when moves = 0
                then concat(asset, ' never moved in ', cast(observations as string), ' returns')
            end as problem
        from counted
    )

select *
from asset_coverage

{{ config(meta={"dagster": {"ref": {"name": "stress_scenarios"}}}) }}

-- A shock under a scenario or version that does not exist would silently count for nothing, and a rule that says two
-- things, or a fall of more than everything, would count for the wrong thing.
with
    scenarios as (select * from {{ ref("stress_scenarios") }}),

    shocks as (
        select scenario_id, version, asset as applies_to, shock, measure = 'assumed' as is_assumed, true as is_clear
        from {{ ref("stress_shocks") }}
        union all
        select
            scenario_id,
            version,
            asset_class as applies_to,
            shock,
            cast(null as bool) as is_assumed,
            (shock is null) = (nullif(proxy_asset, '') is not null and multiplier > 0)
            and (shock is null or multiplier is null) as is_clear
        from {{ ref("stress_class_shocks") }}
    )

select scenario_id, version, 'dates' as wrong
from scenarios
where
    (kind = 'historical' and coalesce(start_date >= end_date, true))
    or (kind != 'historical' and (start_date is not null or end_date is not null))
union all
select shocks.scenario_id, shocks.version, shocks.applies_to as wrong
from shocks
left join scenarios on shocks.scenario_id = scenarios.scenario_id and shocks.version = scenarios.version
where
    scenarios.scenario_id is null
    or not shocks.is_clear
    or shocks.shock < -1
    or shocks.is_assumed = (scenarios.kind = 'historical')

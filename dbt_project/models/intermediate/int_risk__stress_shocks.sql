{{ config(tags=["daily"], materialized="table", cluster_by=["scenario_id"]) }}

with
    exposures as (select * from {{ ref("int_risk__exposures_as_of") }}),

    closes as (select * from {{ ref("stg_market__daily_closes") }}),

    reference_assets as (select * from {{ ref("stg_reference__assets") }}),

    scenarios as (select * from {{ ref("stg_reference__stress_scenarios") }}),

    listed_shocks as (select * from {{ ref("stress_shocks") }}),

    class_shocks as (select * from {{ ref("stress_class_shocks") }}),

    held as (
        select as_of_date, price_set_id, asset, logical_or(close_usd is null) as is_unpriced
        from exposures
        group by as_of_date, price_set_id, asset
    ),

    -- A proxy's shock is needed where nobody holds the proxy, too.
    assets as (
        select asset
        from held
        union distinct
        select proxy_asset as asset
        from class_shocks
        where nullif(proxy_asset, '') is not null
    ),

    -- What the simulator made up is not what happened on that day.
    real_closes as (select asset, price_date, close_usd from closes where not is_simulated),

    from_closes as (
        select
            scenarios.scenario_id,
            starts.asset,
            starts.close_usd as start_close_usd,
            ends.close_usd as end_close_usd,
            cast((ends.close_usd - starts.close_usd) / starts.close_usd as numeric) as shock
        from scenarios
        inner join real_closes as starts on scenarios.start_date = starts.price_date
        inner join real_closes as ends on scenarios.end_date = ends.price_date and starts.asset = ends.asset
    ),

    named as (
        select
            scenarios.scenario_id,
            scenarios.scenario_version,
            scenarios.kind,
            assets.asset,
            if(listed_shocks.measure = 'intraday_low', null, from_closes.start_close_usd) as start_close_usd,
            if(listed_shocks.measure = 'intraday_low', null, from_closes.end_close_usd) as end_close_usd,
            case
                when listed_shocks.measure = 'intraday_low' or from_closes.shock is null
                then listed_shocks.shock
                else from_closes.shock
            end as shock,
            case
                when listed_shocks.measure = 'intraday_low'
                then 'recorded'
                when from_closes.shock is not null
                then 'closes'
                when listed_shocks.measure = 'assumed'
                then 'assumed'
                when listed_shocks.shock is not null
                then 'recorded'
            end as shock_source
        from scenarios
        cross join assets
        left join
            listed_shocks
            on scenarios.scenario_id = listed_shocks.scenario_id
            and scenarios.scenario_version = listed_shocks.version
            and assets.asset = listed_shocks.asset
        left join from_closes on scenarios.scenario_id = from_closes.scenario_id and assets.asset = from_closes.asset
    ),

    classed as (
        select *, case when is_stablecoin then 'stablecoin' when not is_stablecoin then 'volatile' end as asset_class
        from reference_assets
    ),

    ruled as (
        select
            held.as_of_date,
            held.price_set_id,
            held.is_unpriced,
            named.scenario_id,
            named.scenario_version,
            named.kind,
            named.asset,
            named.start_close_usd,
            named.end_close_usd,
            named.shock as named_shock,
            named.shock_source,
            classed.asset_class,
            class_shocks.shock as class_shock,
            nullif(class_shocks.proxy_asset, '') as proxy_asset,
            cast(proxies.shock * class_shocks.multiplier as numeric) as proxy_shock
        from held
        inner join named on held.asset = named.asset
        left join classed on held.asset = classed.asset
        left join
            class_shocks
            on named.scenario_id = class_shocks.scenario_id
            and named.scenario_version = class_shocks.version
            and classed.asset_class = class_shocks.asset_class
        left join
            named as proxies on named.scenario_id = proxies.scenario_id and class_shocks.proxy_asset = proxies.asset
    ),

    -- A price cannot fall below nothing, however large the multiplier.
    resolved as (
        select *, coalesce(named_shock, class_shock, if(proxy_shock < numeric '-1', numeric '-1', proxy_shock)) as shock
        from ruled
    ),

    stress_shocks as (
        select
            resolved.as_of_date,
            resolved.price_set_id,
            resolved.scenario_id,
            resolved.scenario_version,
            resolved.kind,
            resolved.asset,
            resolved.asset_class,
            resolved.shock,
            case
                when resolved.shock is null
                then null
                when resolved.named_shock is not null
                then resolved.shock_source
                when resolved.kind = 'historical'
                then 'proxy'
                else 'assumed'
            end as shock_source,
            if(resolved.named_shock is null, resolved.proxy_asset, null) as proxy_asset,
            resolved.start_close_usd,
            resolved.end_close_usd,
            coalesce(as_of_closes.is_simulated, false) as is_simulated,
            case
                when resolved.is_unpriced
                then concat('no close of ', resolved.asset, ' on ', cast(resolved.as_of_date as string))
                when resolved.shock is not null
                then null
                when resolved.asset_class is null
                then concat('no shock of ', resolved.asset, ', which asset_reference does not list')
                when resolved.proxy_asset is not null
                then concat('no shock of ', resolved.proxy_asset, ', the proxy of ', resolved.asset)
                else concat('no shock of ', resolved.asset)
            end as reason
        from resolved
        left join
            closes as as_of_closes
            on resolved.asset = as_of_closes.asset
            and resolved.as_of_date = as_of_closes.price_date
    )

select *
from stress_shocks

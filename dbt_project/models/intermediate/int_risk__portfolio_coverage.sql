{{ config(tags=["daily"], materialized="table", cluster_by=["portfolio_id"]) }}

with
    exposures as (select * from {{ ref("int_risk__portfolio_exposures") }}),

    -- What is worth nothing, be it dust or netted in the book, can lose nothing: its history is not asked for.
    held as (select * from exposures where net_exposure_usd is null or net_exposure_usd != 0),

    coverage as (select * from {{ ref("int_risk__asset_coverage") }}),

    scenarios as (select * from {{ ref("int_risk__scenarios") }}),

    horizons as ({{ rows_of("horizon_days", var("var_horizons_days")) }}),

    windows as ({{ rows_of("window_observations", var("var_windows")) }}),

    questions as (select horizons.horizon_days, windows.window_observations from horizons cross join windows),

    simulated_assets as (select asset, logical_or(is_simulated) as is_simulated from scenarios group by asset),

    portfolios as (
        select
            exposures.portfolio_kind,
            exposures.portfolio_id,
            exposures.as_of_date,
            exposures.price_set_id,
            logical_or(
                coalesce(simulated_assets.is_simulated, false) and coalesce(exposures.net_exposure_usd != 0, true)
            ) as is_simulated
        from exposures
        left join simulated_assets on exposures.asset = simulated_assets.asset
        group by exposures.portfolio_kind, exposures.portfolio_id, exposures.as_of_date, exposures.price_set_id
    ),

    -- Few assets lack something, so that the join below is small however large the book is.
    held_assets as (
        select asset, as_of_date, logical_or(net_exposure_usd is null) as is_unvalued
        from held
        group by asset, as_of_date
    ),

    asset_problems as (
        select
            held_assets.asset,
            questions.horizon_days,
            questions.window_observations,
            coalesce(coverage.observations, 0) as observations,
            case
                when coverage.asset is null
                then concat('no closes of ', held_assets.asset)
                when held_assets.is_unvalued
                then concat('no close of ', held_assets.asset, ' on ', cast(held_assets.as_of_date as string))
                else coverage.problem
            end as problem
        from held_assets
        cross join questions
        left join
            coverage
            on held_assets.asset = coverage.asset
            and questions.horizon_days = coverage.horizon_days
            and questions.window_observations = coverage.window_observations
    ),

    portfolio_problems as (
        select
            held.portfolio_kind,
            held.portfolio_id,
            asset_problems.horizon_days,
            asset_problems.window_observations,
            min(asset_problems.observations) as observations,
            string_agg(asset_problems.problem, '; ' order by held.asset) as reason
        from held
        inner join asset_problems on held.asset = asset_problems.asset and asset_problems.problem is not null
        group by held.portfolio_kind, held.portfolio_id, asset_problems.horizon_days, asset_problems.window_observations
    ),

    portfolio_coverage as (
        select
            portfolios.portfolio_kind,
            portfolios.portfolio_id,
            portfolios.as_of_date,
            portfolios.price_set_id,
            portfolios.is_simulated,
            questions.horizon_days,
            questions.window_observations,
            coalesce(portfolio_problems.observations, questions.window_observations) as observations,
            portfolio_problems.reason
        from portfolios
        cross join questions
        left join
            portfolio_problems
            on portfolios.portfolio_kind = portfolio_problems.portfolio_kind
            and portfolios.portfolio_id = portfolio_problems.portfolio_id
            and questions.horizon_days = portfolio_problems.horizon_days
            and questions.window_observations = portfolio_problems.window_observations
    )

select *
from portfolio_coverage

{{ config(tags=["daily"], materialized="table") }}

{%- set window = var("var_window_observations") %}

with
    account_exposures as (select * from {{ ref("int_risk__exposures_as_of") }}),

    scenarios as (select * from {{ ref("int_risk__scenarios") }}),

    confidence_levels as ({{ confidence_levels() }}),

    exposures as (
        select
            'account' as portfolio_kind, account_id as portfolio_id, as_of_date, price_set_id, asset, net_exposure_usd
        from account_exposures
        union all
        -- One account's exposure that cannot be valued leaves the book's unknown as well.
        select
            'book' as portfolio_kind,
            'book' as portfolio_id,
            as_of_date,
            price_set_id,
            asset,
            if(countif(net_exposure_usd is null) > 0, null, sum(net_exposure_usd)) as net_exposure_usd
        from account_exposures
        group by as_of_date, price_set_id, asset
    ),

    coverage as (
        select asset, countif(simple_return is not null) as observations, logical_or(is_simulated) as is_simulated
        from scenarios
        group by asset
    ),

    portfolios as (
        select
            exposures.portfolio_kind,
            exposures.portfolio_id,
            exposures.as_of_date,
            exposures.price_set_id,
            coalesce(min(coalesce(coverage.observations, 0)), 0) as observations,
            logical_or(coalesce(coverage.is_simulated, false)) as is_simulated,
            string_agg(
                case
                    when coverage.asset is null
                    then concat('no closes of ', exposures.asset)
                    when exposures.net_exposure_usd is null
                    then concat('no close of ', exposures.asset, ' on ', cast(exposures.as_of_date as string))
                    when coverage.observations < {{ window }}
                    then
                        concat(
                            exposures.asset, ' has ', cast(coverage.observations as string), ' of {{ window }} returns'
                        )
                end,
                '; '
                order by exposures.asset
            ) as reason
        from exposures
        left join coverage on exposures.asset = coverage.asset
        group by exposures.portfolio_kind, exposures.portfolio_id, exposures.as_of_date, exposures.price_set_id
    ),

    scenario_pnl as (
        select
            exposures.portfolio_kind,
            exposures.portfolio_id,
            scenarios.scenario_date,
            sum(cast(exposures.net_exposure_usd as float64) * scenarios.simple_return) as pnl_usd
        from exposures
        inner join
            portfolios
            on exposures.portfolio_kind = portfolios.portfolio_kind
            and exposures.portfolio_id = portfolios.portfolio_id
        inner join scenarios on exposures.asset = scenarios.asset
        where portfolios.reason is null
        group by exposures.portfolio_kind, exposures.portfolio_id, scenarios.scenario_date
    ),

    ranked as (
        select
            portfolio_kind,
            portfolio_id,
            pnl_usd,
            row_number() over (partition by portfolio_kind, portfolio_id order by pnl_usd, scenario_date) as loss_rank
        from scenario_pnl
    ),

    -- k-th worst loss, and the mean of the k worst.
    tails as (
        select
            ranked.portfolio_kind,
            ranked.portfolio_id,
            confidence_levels.confidence,
            - max(ranked.pnl_usd) as var_usd,
            - avg(ranked.pnl_usd) as es_usd
        from ranked
        inner join confidence_levels on ranked.loss_rank <= confidence_levels.tail_observations
        group by ranked.portfolio_kind, ranked.portfolio_id, confidence_levels.confidence
    ),

    historical_var as (
        select
            portfolios.portfolio_kind,
            portfolios.portfolio_id,
            portfolios.as_of_date,
            'historical_simulation' as method,
            'kth_worst_loss' as estimator,
            confidence_levels.confidence,
            1 as horizon_days,
            {{ window }} as window_observations,
            portfolios.observations,
            confidence_levels.tail_observations,
            round(cast(tails.var_usd as numeric), 2) as var_usd,
            round(cast(tails.es_usd as numeric), 2) as es_usd,
            portfolios.reason,
            portfolios.price_set_id,
            portfolios.is_simulated
        from portfolios
        cross join confidence_levels
        left join
            tails
            on portfolios.portfolio_kind = tails.portfolio_kind
            and portfolios.portfolio_id = tails.portfolio_id
            and confidence_levels.confidence = tails.confidence
    )

select *
from historical_var

{{ config(tags=["daily"], materialized="view") }}

with
    exposures as (select * from {{ ref("var_exposures") }} where net_quantity != 0),

    asset_returns as (select * from {{ ref("int_risk__asset_returns") }}),

    -- The day after a forecast is over once the closes in force reach it.
    as_of as (select max(as_of_date) as as_of_date from asset_returns),

    moved as (
        select
            exposures.account_id,
            exposures.as_of_date,
            exposures.price_set_id,
            date_add(exposures.as_of_date, interval 1 day) as pnl_date,
            cast(exposures.net_exposure_usd as float64) * asset_returns.return_1d as pnl_usd
        from exposures
        cross join as_of
        left join
            asset_returns
            on exposures.asset = asset_returns.asset
            and date_add(exposures.as_of_date, interval 1 day) = asset_returns.price_date
        where exposures.as_of_date < as_of.as_of_date
    ),

    realised_pnl as (
        select
            'account' as portfolio_kind,
            account_id as portfolio_id,
            as_of_date,
            price_set_id,
            pnl_date,
            if(countif(pnl_usd is null) > 0, null, sum(cast(pnl_usd as numeric))) as pnl_usd
        from moved
        group by account_id, as_of_date, price_set_id, pnl_date
        union all
        select
            'book' as portfolio_kind,
            'book' as portfolio_id,
            as_of_date,
            price_set_id,
            pnl_date,
            if(countif(pnl_usd is null) > 0, null, sum(cast(pnl_usd as numeric))) as pnl_usd
        from moved
        group by as_of_date, price_set_id, pnl_date
    )

select *
from realised_pnl

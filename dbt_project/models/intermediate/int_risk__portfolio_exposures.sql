{{ config(tags=["daily"], materialized="table", cluster_by=["portfolio_id"]) }}

with
    exposures as (select * from {{ ref("int_risk__exposures_as_of") }}),

    account_exposures as (
        select
            'account' as portfolio_kind, account_id as portfolio_id, as_of_date, price_set_id, asset, net_exposure_usd
        from exposures
        where net_quantity != 0
    ),

    -- One account's exposure that cannot be valued leaves the book's unknown as well.
    book_exposures as (
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

    portfolio_exposures as (
        select portfolio_kind, portfolio_id, as_of_date, price_set_id, asset, net_exposure_usd
        from account_exposures
        union all
        select portfolio_kind, portfolio_id, as_of_date, price_set_id, asset, net_exposure_usd
        from book_exposures
    )

select *
from portfolio_exposures

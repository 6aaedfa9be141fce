{{ config(tags=["daily"], materialized="table", cluster_by=["account_id"]) }}

with
    events as (select * from {{ ref("int_settlements__events_deduped") }}),

    closes as (select * from {{ ref("int_risk__asset_returns") }}),

    as_of as (select price_set_id, as_of_date from closes group by price_set_id, as_of_date),

    positions as (
        select
            as_of.as_of_date,
            as_of.price_set_id,
            events.account_id,
            events.asset,
            sum(if(events.side = 'collateral', events.signed_quantity, bignumeric '0')) as collateral_quantity,
            sum(if(events.side = 'borrow', events.signed_quantity, bignumeric '0')) as borrow_quantity
        from events
        cross join as_of
        where events.occurred_at < timestamp(date_add(as_of.as_of_date, interval 1 day))
        group by as_of.as_of_date, as_of.price_set_id, events.account_id, events.asset
    ),

    netted as (select *, collateral_quantity - borrow_quantity as net_quantity from positions),

    exposures as (
        select
            netted.as_of_date,
            netted.price_set_id,
            netted.account_id,
            netted.asset,
            netted.collateral_quantity,
            netted.borrow_quantity,
            netted.net_quantity,
            closes.close_usd,
            cast(netted.collateral_quantity * closes.close_usd as numeric) as collateral_usd,
            cast(netted.borrow_quantity * closes.close_usd as numeric) as borrow_usd,
            cast(netted.net_quantity * closes.close_usd as numeric) as net_exposure_usd
        from netted
        left join closes on netted.asset = closes.asset and netted.as_of_date = closes.price_date
        where netted.collateral_quantity != 0 or netted.borrow_quantity != 0
    )

select *
from exposures

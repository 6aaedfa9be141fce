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
            sum(if(events.side = 'collateral', events.signed_quantity, - events.signed_quantity)) as net_quantity
        from events
        cross join as_of
        where events.occurred_at < timestamp(date_add(as_of.as_of_date, interval 1 day))
        group by as_of.as_of_date, as_of.price_set_id, events.account_id, events.asset
    ),

    exposures as (
        select
            positions.as_of_date,
            positions.price_set_id,
            positions.account_id,
            positions.asset,
            positions.net_quantity,
            closes.close_usd,
            cast(positions.net_quantity * closes.close_usd as numeric) as net_exposure_usd
        from positions
        left join closes on positions.asset = closes.asset and positions.as_of_date = closes.price_date
        where positions.net_quantity != 0
    )

select *
from exposures

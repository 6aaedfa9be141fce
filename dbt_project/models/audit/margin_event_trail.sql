{{ config(materialized="view") }}

with
    margin_events as (select * from {{ source("risk", "margin_events") }}),

    publications as (select * from {{ source("risk", "margin_event_publications") }}),

    prices as (
        select *
        from {{ ref("stg_market__prices") }}
        qualify row_number() over (partition by price_id order by ingested_at, message_id) = 1
    ),

    readings as (
        select *
        from {{ ref("stg_market__price_ticks") }}
        qualify row_number() over (partition by input_id order by ingested_at, message_id) = 1
    ),

    settlements as (
        select *
        from {{ ref("stg_settlements__events") }}
        qualify row_number() over (partition by event_id order by ingested_at, message_id) = 1
    ),

    price_ids as (
        select margin_events.margin_event_id, price_id
        from margin_events
        cross join unnest(split(margin_events.price_ids, ',')) as price_id
    ),

    price_evidence as (
        select
            price_ids.margin_event_id,
            'price' as evidence_kind,
            prices.price_id as evidence_id,
            prices.asset,
            cast(null as string) as movement,
            cast(null as bignumeric) as signed_quantity,
            prices.price_usd,
            prices.sources as evidence_source,
            prices.observed_at as evidence_at,
            prices.ingested_at as evidence_ingested_at,
            prices.message_id as evidence_message_id
        from price_ids
        inner join prices on price_ids.price_id = prices.price_id
    ),

    reading_evidence as (
        select
            price_ids.margin_event_id,
            'reading' as evidence_kind,
            readings.input_id as evidence_id,
            readings.asset,
            if(
                readings.is_used, 'used', concat('not used: ', coalesce(readings.exclusion_code, 'unknown'))
            ) as movement,
            cast(null as bignumeric) as signed_quantity,
            cast(readings.price_usd as numeric) as price_usd,
            concat(readings.source, ':', readings.reference) as evidence_source,
            coalesce(readings.observed_at, readings.received_at) as evidence_at,
            readings.ingested_at as evidence_ingested_at,
            readings.message_id as evidence_message_id
        from price_ids
        inner join readings on price_ids.price_id = readings.price_id
    ),

    settlement_evidence as (
        select
            margin_events.margin_event_id,
            'settlement' as evidence_kind,
            settlements.event_id as evidence_id,
            settlements.asset,
            concat(settlements.side, ' ', settlements.kind) as movement,
            settlements.signed_quantity,
            cast(null as numeric) as price_usd,
            concat(settlements.chain, ':', settlements.tx_hash) as evidence_source,
            settlements.occurred_at as evidence_at,
            settlements.ingested_at as evidence_ingested_at,
            settlements.message_id as evidence_message_id
        from margin_events
        inner join settlements on margin_events.account_id = settlements.account_id
        where settlements.ingested_at <= margin_events.detected_at
    ),

    evidence as (
        select *
        from price_evidence
        union all
        select *
        from reading_evidence
        union all
        select *
        from settlement_evidence
    ),

    published as (select margin_event_id, min(published_at) as published_at from publications group by margin_event_id),

    margin_event_trail as (
        select
            margin_events.margin_event_id,
            margin_events.account_id,
            margin_events.severity,
            margin_events.health_pct,
            margin_events.threshold_pct,
            margin_events.collateral_usd,
            margin_events.borrow_usd,
            margin_events.detected_at,
            published.published_at,
            evidence.evidence_kind,
            evidence.evidence_id,
            evidence.asset,
            evidence.movement,
            evidence.signed_quantity,
            evidence.price_usd,
            evidence.evidence_source,
            evidence.evidence_at,
            evidence.evidence_ingested_at,
            evidence.evidence_message_id,
            margin_events.is_simulated
        from margin_events
        inner join evidence on margin_events.margin_event_id = evidence.margin_event_id
        left join published on margin_events.margin_event_id = published.margin_event_id
    )

select *
from margin_event_trail

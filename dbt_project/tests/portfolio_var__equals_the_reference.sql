-- Historical simulation is computed twice, in SQL and by the reference in Python. Where the two differ by more than
-- rounding, one of them is wrong. Days for which the reference was not computed, or not in time, are not compared.
with
    marts as (
        select
            'account' as portfolio_kind,
            account_id as portfolio_id,
            as_of_date,
            price_set_id,
            horizon_days,
            window_observations,
            confidence,
            method,
            var_usd,
            es_usd
        from {{ ref("portfolio_var") }}
        union all
        select
            'book' as portfolio_kind,
            'book' as portfolio_id,
            as_of_date,
            price_set_id,
            horizon_days,
            window_observations,
            confidence,
            method,
            var_usd,
            es_usd
        from {{ ref("book_var") }}
    ),

    reference as (
        select *
        from {{ source("risk", "var_method_estimates") }}
        where method = 'historical_simulation' and not starts_with(coalesce(reason, ''), 'not computed')
    )

select
    marts.portfolio_kind,
    marts.portfolio_id,
    marts.as_of_date,
    marts.horizon_days,
    marts.window_observations,
    marts.confidence,
    marts.var_usd,
    reference.var_usd as reference_var_usd
from marts
inner join
    reference
    on marts.portfolio_kind = reference.portfolio_kind
    and marts.portfolio_id = reference.portfolio_id
    and marts.as_of_date = reference.as_of_date
    and marts.price_set_id = reference.price_set_id
    and marts.horizon_days = reference.horizon_days
    and marts.window_observations = reference.window_observations
    and marts.confidence = reference.confidence
    and marts.method = reference.method
where
    marts.as_of_date = (select max(as_of_date) from marts)
    and (
        (marts.var_usd is null) != (reference.var_usd is null)
        or abs(marts.var_usd - reference.var_usd) > numeric '0.00000001' + abs(marts.var_usd) * numeric '0.000000001'
        or abs(marts.es_usd - reference.es_usd) > numeric '0.00000001' + abs(marts.es_usd) * numeric '0.000000001'
    )

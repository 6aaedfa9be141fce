"""The SQL of features: one definition for the transaction at hand and for all transactions of a window.

`targets` says which transactions; everything after it is the same. All windows end with the target's `occurred_at`,
include the target itself, and go by `occurred_at`, so that late and unordered events count where they belong: a window
of 24 h is (at - 24 h, at]. What has moved nothing (blocked, rejected) counts as an attempt in counts and sums and is
left out of flows. Interest and seizures are the desk's own bookings and are no activity of a customer.
"""

from __future__ import annotations

from sqlalchemy import text

_ONE = """
    targets as (
        select
            cast(:transaction_id as text) as transaction_id, cast(:account_id as text) as account_id,
            cast(:direction as text) as direction, cast(:kind as text) as kind, cast(:side as text) as side,
            cast(:amount_usd as numeric) as amount_usd, cast(:address as text) as counterparty_address,
            cast(:occurred_at as timestamptz) as occurred_at
    ),
"""

_WINDOW = """
    targets as (
        select
            transaction_id, account_id, direction, kind, side, amount_usd, counterparty_address, occurred_at,
            asset, quantity, counterparty_country, chain, decision, policy_version, features
        from compliance.transaction_logs
        where
            occurred_at > :since and occurred_at <= :until
            and account_id >= :after_account
            and (
                account_id > :after_account
                or occurred_at < :after_at
                or (occurred_at = :after_at and transaction_id > :after_id)
            )
        order by account_id, occurred_at desc, transaction_id
        limit :max_rows
    ),
"""

_BODY = """
    mixers as materialized (select unnest(cast(:mixers as text[])) as address)

select
    target.*, activity.*, lifetime.*, customer.*, exposure.*, exists (select 1 from mixers) as has_mixer_list
from targets as target
cross join lateral (
    with
        movements as (
            select
                logs.occurred_at, logs.direction, logs.kind, logs.amount_usd, logs.counterparty_address,
                logs.decision is null or logs.decision not in ('blocked', 'rejected') as has_moved
            from compliance.transaction_logs as logs
            where
                logs.account_id = target.account_id
                and logs.occurred_at > target.occurred_at - interval '31 days'
                and logs.occurred_at <= target.occurred_at
                and logs.transaction_id != target.transaction_id
                and logs.kind = any(cast(:kinds as text[]))
            union all
            select
                target.occurred_at, target.direction, target.kind, target.amount_usd, target.counterparty_address, true
            where target.kind = any(cast(:kinds as text[]))
        ),

        history as materialized (
            select
                *,
                occurred_at > target.occurred_at - interval '1 hour' as in_1h,
                occurred_at > target.occurred_at - interval '24 hours' as in_24h,
                occurred_at > target.occurred_at - interval '7 days' as in_7d,
                occurred_at > target.occurred_at - interval '30 days' as in_30d,
                direction = 'in' as is_in,
                floor(extract(epoch from target.occurred_at - occurred_at) / 86400) as days_before,
                min(occurred_at) filter (
                    where
                        direction = 'in' and has_moved
                        and occurred_at > target.occurred_at - interval '24 hours'
                ) over () as first_in_at
            from movements
        ),

        days as (
            select
                sum(amount_usd) as amount_usd, count(*) as movements, count(*) - count(amount_usd) as unpriced
            from history
            where days_before between 1 and 30
            group by days_before
        ),

        bands as (
            select
                bands.limit_usd,
                count(*) filter (where history.in_24h) as count_24h,
                coalesce(sum(history.amount_usd) filter (where history.in_24h), 0) as sum_24h_usd,
                count(history.amount_usd) as count_7d,
                coalesce(sum(history.amount_usd), 0) as sum_7d_usd
            from unnest(cast(:limits_usd as numeric[])) as bands (limit_usd)
            left join history
                on history.in_7d and history.direction = target.direction
                and history.amount_usd >= bands.limit_usd * cast(:band_from_pct as numeric) / 100
                and history.amount_usd < bands.limit_usd
            group by bands.limit_usd
        ),

        senders as (
            select
                bool_or(is_in and in_7d) as is_sender,
                bool_or(not in_7d) as is_known
            from history
            where counterparty_address is not null
            group by counterparty_address
        )

    select
        count(*) filter (where in_1h) as count_1h,
        count(*) filter (where in_24h) as count_24h,
        count(*) filter (where in_7d) as count_7d,
        count(*) filter (where in_30d) as count_30d,
        coalesce(sum(amount_usd) filter (where in_24h), 0) as amount_24h_usd,
        coalesce(sum(amount_usd) filter (where in_7d), 0) as amount_7d_usd,
        count(*) filter (where in_24h and amount_usd is null) as unpriced_24h,
        count(*) filter (where in_7d and amount_usd is null) as unpriced_7d,
        (select coalesce(sum(movements), 0) from days) as history_count_30d,
        (select coalesce(sum(unpriced), 0) from days) as history_unpriced_30d,
        (
            select percentile_disc(0.95) within group (order by amount_usd) from days where amount_usd is not null
        ) as p95_daily_30d_usd,
        coalesce(sum(amount_usd) filter (where in_24h and is_in and has_moved), 0) as inflow_24h_usd,
        coalesce(
            sum(amount_usd) filter (where in_24h and not is_in and has_moved and occurred_at >= first_in_at), 0
        ) as outflow_24h_usd,
        count(*) filter (where in_24h and is_in and has_moved and amount_usd is null) as inflow_unpriced_24h,
        count(*) filter (where in_24h and not is_in and has_moved and amount_usd is null) as outflow_unpriced_24h,
        coalesce(sum(amount_usd) filter (where in_24h and kind = 'deposit' and has_moved), 0) as collateral_in_24h_usd,
        coalesce(
            sum(amount_usd) filter (where in_24h and kind = 'withdrawal' and has_moved), 0
        ) as collateral_out_24h_usd,
        coalesce(sum(amount_usd) filter (where in_24h and kind = 'draw' and has_moved), 0) as drawn_24h_usd,
        (select count(*) from senders where is_sender) as senders_7d,
        (select count(*) from senders where is_sender and not is_known) as new_senders_7d,
        count(*) filter (where in_7d and is_in and counterparty_address is null) as senders_unknown_7d,
        count(*) filter (
            where in_7d and amount_usd > 0 and mod(amount_usd, cast(:modulus_usd as numeric)) = 0
        ) as round_count_7d,
        max(occurred_at) filter (
            where kind = 'draw' and has_moved and counterparty_address != target.counterparty_address
        ) as draw_other_wallet_at,
        max(occurred_at) filter (
            where kind = 'draw' and has_moved
            and (counterparty_address is null or target.counterparty_address is null)
        ) as draw_unknown_wallet_at,
        (
            select
                coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'limit_usd', cast(limit_usd as text),
                            'count_24h', count_24h, 'sum_24h_usd', cast(sum_24h_usd as text),
                            'count_7d', count_7d, 'sum_7d_usd', cast(sum_7d_usd as text)
                        )
                        order by limit_usd
                    ),
                    '[]'
                )
            from bands
        ) as bands
    from history
) as activity
cross join lateral (
    select
        (
            select max(logs.occurred_at)
            from compliance.transaction_logs as logs
            where
                logs.account_id = target.account_id and logs.occurred_at <= target.occurred_at
                and logs.transaction_id != target.transaction_id and logs.kind = any(cast(:kinds as text[]))
        ) as last_activity_at,
        exists (
            select 1
            from compliance.transaction_logs as logs
            where
                logs.account_id = target.account_id and logs.occurred_at <= target.occurred_at
                and logs.transaction_id != target.transaction_id and logs.kind = 'deposit'
                and (logs.decision is null or logs.decision not in ('blocked', 'rejected'))
        ) as has_prior_deposit
) as lifetime
cross join lateral (
    select min(created_at) as customer_since, min(declared_profile_usd) as declared_profile_usd
    from compliance.users
    where account_id = target.account_id
) as customer
cross join lateral (
    with
        sharing as materialized (
            select logs.account_id
            from compliance.transaction_logs as logs
            where
                exists (select 1 from mixers)
                and logs.counterparty_address = target.counterparty_address
                and logs.occurred_at > target.occurred_at - interval '90 days'
                and logs.occurred_at <= target.occurred_at
            order by logs.occurred_at desc, logs.transaction_id
            limit :hub_rows
        ),

        sharers as materialized (
            select account_id, count(*) over () as in_all
            from (select account_id from sharing union select target.account_id) as united
        ),

        -- An address that very many accounts share is a service (an exchange): what others did there says nothing.
        neighbours as materialized (
            select account_id
            from sharers
            where in_all <= :hub_accounts or account_id = target.account_id
        ),

        flagged as (
            select theirs.amount_usd
            from neighbours
            cross join lateral (
                select logs.amount_usd, logs.counterparty_address
                from compliance.transaction_logs as logs
                where
                    exists (select 1 from mixers)
                    and logs.account_id = neighbours.account_id
                    and logs.occurred_at > target.occurred_at - interval '90 days'
                    and logs.occurred_at <= target.occurred_at
                    and logs.transaction_id != target.transaction_id
                -- Read account by account: there are few accounts, and mixers may have many rows.
                offset 0
            ) as theirs
            -- `is true` keeps this a look-up in a hash: as a join, a prepared plan walks all mixers for each row.
            where (theirs.counterparty_address in (select address from mixers)) is true
        )

    select
        target.counterparty_address in (select address from mixers) as is_mixer,
        (select coalesce(max(in_all), 0) from sharers) > :hub_accounts as is_hub,
        count(*) as mixer_one_hop_count,
        coalesce(sum(amount_usd), 0) as mixer_one_hop_usd
    from flagged
) as exposure
"""

ONE = text("with" + _ONE + _BODY)
WINDOW = text("with" + _WINDOW + _BODY + "order by target.account_id, target.occurred_at desc, target.transaction_id")

# What the active lists call a mixer; read when another version becomes active, and given to the statements above.
MIXERS = text(
    """
    select distinct wallets.address
    from compliance.list_versions as versions
    inner join compliance.list_wallets as wallets using (list_version_id)
    inner join compliance.list_entries as entries using (list_version_id, entry_id)
    where versions.state = 'active' and entries.topics && cast(:topics as text[])
    order by wallets.address
    """
)

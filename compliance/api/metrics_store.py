"""The numbers of compliance now, in one statement over PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, text

_METRICS = text(
    """
    select json_build_object(
        'kyc_by_state', (
            select coalesce(json_object_agg(k.state, k.cases), '{}'::json)
            from (
                select state, count(*) as cases from compliance.kyc_cases where created_at >= :since group by state
            ) as k
        ),
        'kyc_times', (
            select json_build_object(
                'decided', count(*),
                'median_s', percentile_cont(0.5) within group (order by extract(epoch from decided_at - submitted_at)),
                'p95_s', percentile_cont(0.95) within group (order by extract(epoch from decided_at - submitted_at)),
                'within_target', count(*) filter (
                    where decided_at - submitted_at <= make_interval(secs => cast(:target_s as double precision))
                )
            )
            from compliance.kyc_cases
            where created_at >= :since and submitted_at is not null and decided_at is not null
        ),
        'kyc_waiting', (
            select json_build_object('cases', count(*), 'oldest_at', min(submitted_at))
            from compliance.kyc_cases
            where submitted_at is not null and decided_at is null and state in ('submitted', 'in_review')
        ),
        'cases', (
            select coalesce(json_agg(c), '[]'::json)
            from (
                select
                    kind,
                    count(*) as open,
                    count(*) filter (where assignee is null) as unassigned,
                    count(*) filter (where state = 'awaiting_approval') as awaiting_approval,
                    count(*) filter (where state = 'escalated') as escalated,
                    count(*) filter (where sla_due_at < :now) as sla_breached,
                    min(opened_at) as oldest_at,
                    min(sla_due_at) as next_due_at
                from compliance.cases
                where state != 'closed'
                group by kind
            ) as c
        ),
        'undecided', (
            select json_build_object('transactions', count(*), 'oldest_at', min(received_at))
            from compliance.transaction_logs
            where decision is null
        ),
        'unpublished', (
            select json_build_object('transactions', count(*), 'oldest_at', min(decided_at))
            from compliance.transaction_logs
            where published_at is null and event is not null and decision in ('accepted', 'released')
        ),
        'held', (
            select json_build_object('transactions', count(*), 'oldest_at', min(received_at))
            from compliance.transaction_logs
            where decision in ('review', 'blocked')
        ),
        'outbox', (
            select json_build_object('events', count(*), 'oldest_at', min(created_at))
            from compliance.outbox
            where published_at is null
        ),
        'lists', (
            select coalesce(json_agg(l order by l.list_name), '[]'::json)
            from (
                select
                    named.list_name,
                    active.list_version_id,
                    active.entries,
                    active.wallets,
                    active.published_on,
                    active.loaded_at,
                    (
                        select count(*)
                        from compliance.list_versions as r
                        where
                            r.list_name = named.list_name
                            and r.state = 'refused'
                            and r.loaded_at > coalesce(active.loaded_at, '-infinity')
                    ) as refused_since
                from (select distinct list_name from compliance.list_versions) as named
                left join compliance.list_versions as active
                    on active.list_name = named.list_name and active.state = 'active'
            ) as l
        ),
        'providers', (
            select coalesce(json_agg(p order by p.provider), '[]'::json)
            from (
                select
                    provider,
                    count(*) as answers,
                    count(*) filter (where verdict = 'error') as errors,
                    max(received_at) filter (where verdict != 'error') as last_answer_at,
                    max(received_at) filter (where verdict = 'error') as last_error_at
                from compliance.kyc_checks
                where received_at >= :providers_since and source in ('create', 'poll')
                group by provider
            ) as p
        ),
        'ledger', (
            select coalesce(json_object_agg(chain, sequence), '{}'::json) from compliance.chain_heads
        )
    )
    """
)


def read_metrics(
    connection: Connection, now: datetime, since: datetime, providers_since: datetime, target_s: float
) -> dict[str, Any]:
    """Counts and oldest times, by part; the KYC funnel holds cases created since then."""
    parameters = {"now": now, "since": since, "providers_since": providers_since, "target_s": target_s}
    return cast(dict[str, Any], connection.execute(_METRICS, parameters).scalar_one())

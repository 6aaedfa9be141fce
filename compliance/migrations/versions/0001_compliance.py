"""Customers, KYC, screening, transaction monitoring, cases, and the hash-chained record of what was decided."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Customers. Personal data is one sealed document a row; equality is searched by keyed hashes.
    """
    create table compliance.users (
        user_id text primary key,
        reference text not null unique,
        account_id text,
        kind text not null check (kind in ('person', 'company')),
        country text check (country ~ '^[A-Z]{2}$'),
        pii_sealed bytea not null,
        pii_key_id text not null,
        pii_wrapped_key bytea not null,
        name_hash text not null,
        email_hash text,
        document_hash text,
        declared_profile_usd numeric(38, 9),
        kyc_state text not null default 'none',
        kyc_expires_at timestamptz,
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
    """,
    "create index ix_users_account on compliance.users (account_id)",
    "create index ix_users_name on compliance.users (name_hash)",
    "create index ix_users_email on compliance.users (email_hash)",
    "create index ix_users_document on compliance.users (document_hash)",
    # Verification of identity: a case is one attempt to verify one customer.
    """
    create table compliance.kyc_cases (
        kyc_case_id text primary key,
        user_id text not null references compliance.users (user_id),
        state text not null check (
            state in ('created', 'pending', 'submitted', 'in_review', 'approved', 'declined', 'expired', 'failed')
        ),
        state_reason text,
        provider text,
        provider_reference text,
        idempotency_key text not null unique,
        submitted_at timestamptz,
        decided_at timestamptz,
        expires_at timestamptz,
        next_poll_at timestamptz,
        polls integer not null default 0,
        policy_version text not null,
        version integer not null default 1,
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
    """,
    "create index ix_kyc_cases_user on compliance.kyc_cases (user_id, created_at desc)",
    "create index ix_kyc_cases_poll on compliance.kyc_cases (next_poll_at) where next_poll_at is not null",
    "create unique index uq_kyc_cases_reference on compliance.kyc_cases (provider, provider_reference)",
    # What was asked of providers and what they answered, redacted.
    """
    create table compliance.kyc_checks (
        check_id text primary key,
        kyc_case_id text not null references compliance.kyc_cases (kyc_case_id),
        provider text not null,
        source text not null check (source in ('create', 'poll', 'webhook', 'manual')),
        external_id text,
        provider_status text,
        verdict text not null check (verdict in ('approved', 'declined', 'pending', 'review', 'expired', 'failed', 'error')),
        occurred_at timestamptz,
        received_at timestamptz not null,
        payload jsonb not null default '{}'::jsonb
    )
    """,
    "create index ix_kyc_checks_case on compliance.kyc_checks (kyc_case_id, received_at)",
    # Lists: a load is a version; the newest active one of a list is searched.
    """
    create table compliance.list_versions (
        list_version_id text primary key,
        list_name text not null,
        content_hash text not null,
        state text not null check (state in ('loading', 'active', 'superseded', 'refused')),
        reason text,
        entries integer not null default 0,
        names integer not null default 0,
        wallets integer not null default 0,
        added integer not null default 0,
        changed integer not null default 0,
        removed integer not null default 0,
        published_on date,
        loaded_at timestamptz not null
    )
    """,
    "create unique index uq_list_versions_active on compliance.list_versions (list_name) where state = 'active'",
    """
    create table compliance.list_entries (
        list_version_id text not null references compliance.list_versions (list_version_id),
        entry_id text not null,
        entry_hash text not null,
        kind text not null,
        topics text[] not null,
        names jsonb not null,
        details jsonb not null,
        constraint list_entries_pkey primary key (list_version_id, entry_id)
    )
    """,
    """
    create table compliance.list_wallets (
        list_version_id text not null references compliance.list_versions (list_version_id),
        address text not null,
        entry_id text not null,
        asset_label text,
        constraint list_wallets_pkey primary key (list_version_id, address, entry_id)
    )
    """,
    "create index ix_list_wallets_address on compliance.list_wallets (address)",
    # Screenings of customers, names and wallets, with every hit.
    """
    create table compliance.screenings (
        screening_id text primary key,
        subject_kind text not null check (subject_kind in ('user', 'name', 'wallet')),
        user_id text,
        subject_hash text not null,
        outcome text not null check (outcome in ('clear', 'hit', 'error')),
        reason text,
        list_versions jsonb not null,
        policy_version text not null,
        trigger text not null,
        screened_at timestamptz not null
    )
    """,
    "create index ix_screenings_user on compliance.screenings (user_id, screened_at desc)",
    """
    create table compliance.screening_hits (
        hit_id text primary key,
        screening_id text not null references compliance.screenings (screening_id),
        user_id text,
        list_name text not null,
        list_version_id text not null,
        entry_id text not null,
        entry_hash text not null,
        score numeric(6, 5) not null,
        rank integer not null,
        reasons jsonb not null,
        state text not null check (state in ('open', 'cleared', 'confirmed', 'remembered')),
        case_id text,
        decided_at timestamptz,
        decided_by text,
        decision_reason text,
        cleared_until timestamptz
    )
    """,
    "create index ix_screening_hits_user on compliance.screening_hits (user_id, list_name, entry_id)",
    "create index ix_screening_hits_screening on compliance.screening_hits (screening_id)",
    "create index ix_screening_hits_case on compliance.screening_hits (case_id) where state = 'open'",
    # Transactions that were looked at: each reaches a terminal decision.
    """
    create table compliance.transaction_logs (
        transaction_id text primary key,
        account_id text not null,
        direction text not null check (direction in ('in', 'out')),
        kind text not null,
        side text not null,
        asset text not null,
        quantity numeric(76, 38) not null,
        amount_usd numeric(38, 9),
        counterparty_address text,
        counterparty_country text,
        chain text not null,
        occurred_at timestamptz not null,
        received_at timestamptz not null,
        decision text check (decision in ('accepted', 'review', 'blocked', 'released', 'rejected')),
        decision_reason text,
        decided_at timestamptz,
        policy_version text,
        list_versions jsonb,
        features jsonb,
        event jsonb,
        published_at timestamptz,
        is_settled_unasked boolean not null default false,
        case_id text
    )
    """,
    # Both hold what features read, so that the history of an account is one place and not a page for each row.
    "create index ix_transaction_logs_account on compliance.transaction_logs (account_id, occurred_at desc)"
    " include (transaction_id, direction, kind, amount_usd, counterparty_address, decision)",
    "create index ix_transaction_logs_counterparty on compliance.transaction_logs (counterparty_address, occurred_at)"
    " include (account_id, transaction_id)",
    "create index ix_transaction_logs_undecided on compliance.transaction_logs (received_at) where decision is null",
    "create index ix_transaction_logs_unpublished on compliance.transaction_logs (decided_at)"
    " where published_at is null and event is not null and decision in ('accepted', 'released')",
    """
    create table compliance.aml_alerts (
        alert_id text primary key,
        transaction_id text not null,
        account_id text not null,
        rule_id text not null,
        outcome text not null check (outcome in ('hit', 'error', 'insufficient_history')),
        severity text not null check (severity in ('low', 'medium', 'high', 'block')),
        evidence jsonb not null,
        policy_version text not null,
        is_shadow boolean not null default false,
        case_id text,
        raised_at timestamptz not null
    )
    """,
    "create index ix_aml_alerts_account on compliance.aml_alerts (account_id, raised_at desc)",
    "create index ix_aml_alerts_transaction on compliance.aml_alerts (transaction_id)",
    # Work of officers.
    """
    create table compliance.cases (
        case_id text primary key,
        kind text not null check (kind in ('kyc', 'screening', 'aml')),
        subject_id text not null,
        account_id text,
        user_id text,
        title text not null,
        state text not null check (state in ('open', 'assigned', 'awaiting_approval', 'escalated', 'closed')),
        priority text not null check (priority in ('low', 'normal', 'high', 'urgent')),
        assignee text,
        proposal jsonb,
        outcome text,
        sla_due_at timestamptz not null,
        opened_at timestamptz not null,
        closed_at timestamptz,
        version integer not null default 1
    )
    """,
    "create index ix_cases_queue on compliance.cases (state, sla_due_at)",
    # Only of closed ones: in the order of all, those that are open come last, behind every closed one.
    "create index ix_cases_closed on compliance.cases (sla_due_at, case_id) where state = 'closed'",
    "create index ix_cases_account on compliance.cases (account_id)",
    "create index ix_cases_user on compliance.cases (user_id)",
    "create index ix_cases_subject on compliance.cases (subject_id)",
    "create unique index uq_cases_open_subject on compliance.cases (kind, subject_id) where state != 'closed'",
    # Append-only and chained: `hash` covers the row and the hash of the row before in its chain.
    """
    create table compliance.case_events (
        sequence bigint primary key,
        event_id text not null unique,
        case_id text not null,
        at timestamptz not null,
        actor text not null,
        role text not null,
        kind text not null,
        body jsonb not null,
        previous_hash text not null,
        hash text not null unique
    )
    """,
    "create index ix_case_events_case on compliance.case_events (case_id, sequence)",
    "create index ix_case_events_overdue on compliance.case_events (case_id)"
    " where kind = 'overdue' or (kind = 'escalated' and role = 'system')",
    """
    create table compliance.decisions (
        sequence bigint primary key,
        decision_id text not null unique,
        subject_kind text not null,
        subject_id text not null,
        outcome text not null,
        reason text not null,
        actor text not null,
        policy_version text not null,
        list_versions jsonb not null,
        evidence jsonb not null,
        at timestamptz not null,
        previous_hash text not null,
        hash text not null unique
    )
    """,
    "create index ix_decisions_subject on compliance.decisions (subject_kind, subject_id, sequence)",
    """
    create table compliance.chain_heads (
        chain text primary key check (chain in ('case_events', 'decisions')),
        sequence bigint not null,
        hash text not null
    )
    """,
    "insert into compliance.chain_heads (chain, sequence, hash) values"
    " ('case_events', 0, repeat('0', 64)), ('decisions', 0, repeat('0', 64))",
    # Events for `compliance.events.v1` that Pub/Sub does not have yet, or has had.
    """
    create table compliance.outbox (
        event_id text primary key,
        message jsonb not null,
        created_at timestamptz not null,
        published_at timestamptz
    )
    """,
    "create index ix_outbox_waiting on compliance.outbox (created_at) where published_at is null",
    # Webhooks of providers, once each.
    """
    create table compliance.provider_events (
        provider text not null,
        event_id text not null,
        kyc_case_id text,
        kind text not null,
        occurred_at timestamptz,
        received_at timestamptz not null,
        constraint provider_events_pkey primary key (provider, event_id)
    )
    """,
    # How far the warehouse has followed each table.
    """
    create table compliance.mirror_progress (
        stream text primary key,
        position text not null,
        mirrored_at timestamptz
    )
    """,
    """
    create function compliance.refuse_change() returns trigger language plpgsql as $$
    begin
        raise exception '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op
            using errcode = 'restrict_violation';
    end
    $$
    """,
    *(
        f"create trigger {table}_append_only before update or delete or truncate on compliance.{table}"
        " for each statement execute function compliance.refuse_change()"
        for table in ("case_events", "decisions", "policies", "kyc_checks")
    ),
)

_POLICIES = """
    create table compliance.policies (
        policy_version text primary key,
        name text not null,
        content_hash text not null unique,
        content text not null,
        effective_from timestamptz not null,
        recorded_at timestamptz not null
    )
"""


def upgrade() -> None:
    op.execute(_POLICIES)
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("The record of compliance is evidence and is not dropped by a migration.")

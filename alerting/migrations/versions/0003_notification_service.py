"""Events beside notifications, a queue of what is pending, contacts, preferences, escalations and callbacks."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # What happened, once; notifications refer to it.
    """
    create table alerting.events (
        event_id text primary key,
        topic text not null,
        kind text not null,
        rule text not null,
        account_id text,
        owner text not null,
        severity text not null,
        episode_id text not null,
        sequence bigint not null,
        payload jsonb not null,
        detected_at timestamptz not null,
        received_at timestamptz not null
    )
    """,
    """
    insert into alerting.events
        (event_id, topic, kind, rule, account_id, owner, severity, episode_id, sequence, payload, detected_at, received_at)
    select distinct on (margin_event_id)
        margin_event_id, 'alerts.margin.v1', 'margin', 'margin', account_id, account_id, severity, episode_id,
        coalesce((payload ->> 'transition_number')::bigint, 1), payload, detected_at, created_at
    from alerting.notifications
    order by margin_event_id, created_at
    """,
    "create index ix_events_received on alerting.events (received_at)",
    # The queue: one row for each notification that has not ended.
    """
    create table alerting.pending (
        notification_id text primary key,
        channel text not null,
        due_at timestamptz not null,
        attempts integer not null default 0,
        claim_token uuid,
        claimed_until timestamptz,
        is_unknown boolean not null default false,
        ordering_key text,
        sequence bigint not null
    ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)
    """,
    "create index ix_pending_channel_due on alerting.pending (channel, due_at)",
    "create index ix_pending_ordering on alerting.pending (ordering_key, sequence) where ordering_key is not null",
    """
    insert into alerting.pending
        (notification_id, channel, due_at, attempts, claim_token, claimed_until, is_unknown, sequence)
    select notification_id, channel, next_attempt_at, attempts, claim_token, claimed_until, attempts > 0,
        coalesce((payload ->> 'transition_number')::bigint, 1)
    from alerting.notifications
    where terminal_state is null
    """,
    "alter table alerting.notifications rename column margin_event_id to event_id",
    "alter table alerting.notifications rename constraint uq_notifications_event_channel_recipient to uq_notifications_key",
    "alter table alerting.notifications drop constraint ck_notifications_due_unless_terminal",
    "alter table alerting.notifications drop constraint ck_notifications_terminal_state",
    "drop index alerting.ix_notifications_due",
    "drop index alerting.ix_notifications_account_created",
    """
    alter table alerting.notifications
        drop column payload,
        drop column claim_token,
        drop column claimed_until,
        drop column attempts,
        drop column next_attempt_at,
        alter column account_id drop not null,
        add column rule text not null default 'margin',
        add column fingerprint text,
        add column provider_message_id text,
        add column digest_id text,
        add constraint ck_notifications_terminal_state
            check (terminal_state in ('accepted', 'delivered', 'failed', 'suppressed')),
        set (fillfactor = 80)
    """,
    "create index ix_notifications_account on alerting.notifications (account_id, created_at desc)",
    "create index ix_notifications_digest on alerting.notifications (digest_id) where digest_id is not null",
    "alter table alerting.notification_states drop constraint fk_notification_states_notification",
    "alter table alerting.notification_states drop constraint ck_notification_states_state",
    "alter table alerting.notification_states drop constraint notification_states_pkey",
    """
    alter table alerting.notification_states
        add constraint ck_notification_states_state check
            (state in ('planned', 'claimed', 'sent', 'accepted', 'delivered', 'failed', 'suppressed')),
        add column txid bigint not null default (pg_current_xact_id()::text)::bigint,
        add constraint notification_states_pkey primary key (txid, state_id)
    """,
    # History may go only after it stands in the warehouse, and never before the retention has passed.
    """
    create table alerting.mirror_progress (
        stream text primary key,
        txid bigint not null default 0,
        row_id bigint not null default 0,
        mirrored_at timestamptz
    )
    """,
    """
    create function alerting.refuse_early_delete() returns trigger language plpgsql as $$
    declare
        reached alerting.mirror_progress%rowtype;
    begin
        select * into reached from alerting.mirror_progress where stream = tg_table_name;
        if not found or old.txid >= reached.txid then
            raise exception '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op
                using errcode = 'restrict_violation';
        end if;
        return old;
    end
    $$
    """,
    "drop trigger notification_states_append_only on alerting.notification_states",
    """
    create trigger notification_states_append_only
        before update or truncate on alerting.notification_states
        for each statement execute function alerting.refuse_change()
    """,
    """
    create trigger notification_states_kept
        before delete on alerting.notification_states
        for each row execute function alerting.refuse_early_delete()
    """,
    # Who is reached, and how. `owner` is an account, or a team of the desk as 'team:risk'.
    """
    create table alerting.contacts (
        contact_id text primary key,
        owner text not null,
        channel text not null,
        origin text not null,
        role text not null,
        position integer not null,
        address_sealed bytea not null,
        address_hint text not null,
        fingerprint text not null,
        secret_sealed bytea,
        previous_secret_sealed bytea,
        previous_secret_until timestamptz,
        severities text[],
        status text not null,
        status_reason text,
        verified_at timestamptz,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        constraint ck_contacts_channel check (channel in ('email', 'sms', 'webhook')),
        constraint ck_contacts_origin check (origin in ('preference', 'registered')),
        constraint ck_contacts_role check (role in ('primary', 'fallback')),
        constraint ck_contacts_status check (status in ('pending', 'verified', 'disabled', 'removed'))
    )
    """,
    "create index ix_contacts_owner on alerting.contacts (owner)",
    "create index ix_contacts_fingerprint on alerting.contacts (fingerprint)",
    """
    create table alerting.preferences (
        owner text primary key,
        locale text not null,
        time_zone text not null,
        quiet_start time,
        quiet_end time,
        digest_minutes integer,
        updated_at timestamptz not null,
        constraint ck_preferences_quiet check ((quiet_start is null) = (quiet_end is null)),
        constraint ck_preferences_digest check (digest_minutes between 1 and 1440)
    )
    """,
    """
    create table alerting.preference_changes (
        change_id bigint generated always as identity,
        owner text not null,
        at timestamptz not null,
        action text not null,
        changed_by text not null,
        reason text not null,
        before jsonb,
        after jsonb,
        txid bigint not null default (pg_current_xact_id()::text)::bigint,
        constraint preference_changes_pkey primary key (txid, change_id)
    )
    """,
    "create index ix_preference_changes_owner on alerting.preference_changes (owner, at desc)",
    """
    create trigger preference_changes_append_only
        before update or delete or truncate on alerting.preference_changes
        for each statement execute function alerting.refuse_change()
    """,
    """
    create table alerting.verifications (
        verification_id text primary key,
        contact_id text not null references alerting.contacts (contact_id),
        created_at timestamptz not null,
        expires_at timestamptz not null,
        failures integer not null default 0,
        used_at timestamptz
    )
    """,
    "create index ix_verifications_contact on alerting.verifications (contact_id, created_at desc)",
    """
    create table alerting.silences (
        silence_id text primary key,
        owner text not null,
        severities text[] not null,
        starts_at timestamptz not null,
        ends_at timestamptz not null,
        reason text not null,
        created_by text not null,
        created_at timestamptz not null,
        constraint ck_silences_order check (starts_at < ends_at)
    )
    """,
    "create index ix_silences_owner on alerting.silences (owner, ends_at)",
    # What is known of a recipient's rate, of a provider's ceiling, and of events that nobody has accepted yet.
    """
    create table alerting.recipient_buckets (
        channel text not null,
        fingerprint text not null,
        tokens numeric(10, 3) not null,
        at timestamptz not null,
        constraint recipient_buckets_pkey primary key (channel, fingerprint)
    ) with (fillfactor = 70)
    """,
    """
    create table alerting.channel_ceilings (
        channel text primary key,
        free_at timestamptz not null
    ) with (fillfactor = 50)
    """,
    """
    create table alerting.escalations (
        event_id text primary key,
        account_id text,
        episode_id text not null,
        step integer not null default 0,
        due_at timestamptz not null,
        closed_at timestamptz,
        outcome text
    ) with (fillfactor = 80)
    """,
    "create index ix_escalations_due on alerting.escalations (due_at) where closed_at is null",
    "create index ix_escalations_open on alerting.escalations (account_id, episode_id) where closed_at is null",
    """
    create table alerting.acknowledgements (
        notification_id text primary key,
        event_id text not null,
        at timestamptz not null,
        acknowledged_by text not null,
        note text
    )
    """,
    "create index ix_acknowledgements_event on alerting.acknowledgements (event_id)",
    """
    create table alerting.callbacks (
        callback_id text primary key,
        provider text not null,
        notification_id text,
        kind text not null,
        occurred_at timestamptz,
        received_at timestamptz not null,
        detail text
    )
    """,
    "create index ix_callbacks_received on alerting.callbacks (received_at)",
    "create index ix_callbacks_notification on alerting.callbacks (notification_id)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("The notification ledger is evidence and is not dropped by a migration.")

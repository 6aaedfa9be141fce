"""The notification ledger: what is to be sent, and an append-only history of what happened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.Text(), primary_key=True),
        sa.Column("margin_event_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("episode_id", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claim_token", postgresql.UUID(as_uuid=True)),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("terminal_state", sa.Text()),
        sa.UniqueConstraint("margin_event_id", "channel", "recipient", name="uq_notifications_event_channel_recipient"),
        sa.CheckConstraint(
            "terminal_state in ('accepted', 'failed', 'suppressed')", name="ck_notifications_terminal_state"
        ),
        sa.CheckConstraint(
            "(terminal_state is null) = (next_attempt_at is not null)", name="ck_notifications_due_unless_terminal"
        ),
        schema="alerting",
    )
    op.create_index(
        "ix_notifications_due",
        "notifications",
        ["next_attempt_at"],
        schema="alerting",
        postgresql_where=sa.text("terminal_state is null"),
    )
    op.create_index(
        "ix_notifications_account_created", "notifications", ["account_id", sa.text("created_at desc")], schema="alerting"
    )
    op.create_index("ix_notifications_created", "notifications", [sa.text("created_at desc")], schema="alerting")
    op.create_table(
        "notification_states",
        sa.Column("state_id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("notification_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds_since_detected", sa.Numeric(14, 3), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("provider_message_id", sa.Text()),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["alerting.notifications.notification_id"], name="fk_notification_states_notification"
        ),
        sa.CheckConstraint(
            "state in ('planned', 'claimed', 'sent', 'accepted', 'failed', 'suppressed')",
            name="ck_notification_states_state",
        ),
        schema="alerting",
    )
    op.create_index(
        "ix_notification_states_notification", "notification_states", ["notification_id", "state_id"], schema="alerting"
    )
    op.execute(
        """
        create function alerting.refuse_change() returns trigger language plpgsql as $$
        begin
            raise exception '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op
                using errcode = 'restrict_violation';
        end
        $$
        """
    )
    op.execute(
        """
        create trigger notification_states_append_only
            before update or delete or truncate on alerting.notification_states
            for each statement execute function alerting.refuse_change()
        """
    )


def downgrade() -> None:
    raise RuntimeError("The notification ledger is evidence and is not dropped by a migration.")

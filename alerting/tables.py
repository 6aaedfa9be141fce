"""The tables of PostgreSQL schema `alerting`."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

SCHEMA = "alerting"


class NotificationState(StrEnum):
    """A step in the life of a notification; accepted, failed (when final) and suppressed end it."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    SENT = "sent"
    ACCEPTED = "accepted"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


metadata = MetaData(schema=SCHEMA)

notifications = Table(
    "notifications",
    metadata,
    Column("notification_id", Text, primary_key=True),
    Column("margin_event_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("episode_id", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("detected_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("claim_token", UUID(as_uuid=True)),
    Column("claimed_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("terminal_state", Text),
    UniqueConstraint("margin_event_id", "channel", "recipient", name="uq_notifications_event_channel_recipient"),
    CheckConstraint("terminal_state in ('accepted', 'failed', 'suppressed')", name="ck_notifications_terminal_state"),
    CheckConstraint(
        "(terminal_state is null) = (next_attempt_at is not null)", name="ck_notifications_due_unless_terminal"
    ),
    Index("ix_notifications_due", "next_attempt_at", postgresql_where=text("terminal_state is null")),
    Index("ix_notifications_account_created", "account_id", text("created_at desc")),
    Index("ix_notifications_created", text("created_at desc")),
)

notification_states = Table(
    "notification_states",
    metadata,
    Column("state_id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "notification_id",
        Text,
        ForeignKey(notifications.c.notification_id, name="fk_notification_states_notification"),
        nullable=False,
    ),
    Column("state", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("seconds_since_detected", Numeric(14, 3), nullable=False),
    Column("detail", Text),
    Column("provider_message_id", Text),
    CheckConstraint(
        "state in ('planned', 'claimed', 'sent', 'accepted', 'failed', 'suppressed')",
        name="ck_notification_states_state",
    ),
    Index("ix_notification_states_notification", "notification_id", "state_id"),
)

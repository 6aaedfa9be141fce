"""The tables of PostgreSQL schema `alerting`: events, notifications and their history, and what is pending."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

SCHEMA = "alerting"
CURRENT_TXID = text("(pg_current_xact_id()::text)::bigint")


class NotificationState(StrEnum):
    """A step in the life of a notification; suppressed, failed (when final), accepted and delivered end it."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    SENT = "sent"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


TERMINAL_STATES = (
    NotificationState.ACCEPTED,
    NotificationState.DELIVERED,
    NotificationState.FAILED,
    NotificationState.SUPPRESSED,
)

metadata = MetaData(schema=SCHEMA)


def time_column(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


# What happened, once; `owner` is the account or the team of the desk whose people are told.
events = Table(
    "events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("account_id", Text),
    Column("owner", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("episode_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("payload", JSONB, nullable=False),
    time_column("detected_at"),
    time_column("received_at"),
    Index("ix_events_received", "received_at"),
)

# One event for one recipient of one channel. The event's id fixes account, rule, severity and episode.
notifications = Table(
    "notifications",
    metadata,
    Column("notification_id", Text, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("account_id", Text),
    Column("severity", Text, nullable=False),
    Column("episode_id", Text, nullable=False),
    time_column("detected_at"),
    time_column("created_at"),
    Column("terminal_state", Text),
    Column("rule", Text, nullable=False, server_default=text("'margin'")),
    Column("fingerprint", Text),
    Column("provider_message_id", Text),
    Column("digest_id", Text),
    UniqueConstraint("event_id", "channel", "recipient", name="uq_notifications_key"),
    CheckConstraint(
        "terminal_state in ('accepted', 'delivered', 'failed', 'suppressed')", name="ck_notifications_terminal_state"
    ),
    Index("ix_notifications_account", "account_id", text("created_at desc")),
    Index("ix_notifications_created", text("created_at desc")),
    Index("ix_notifications_digest", "digest_id", postgresql_where=text("digest_id is not null")),
)

# The queue: one row for each notification that has not ended. `is_unknown`: an attempt may have arrived.
# Of the same `ordering_key`, the row with the lowest `sequence` goes first.
pending = Table(
    "pending",
    metadata,
    Column("notification_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    time_column("due_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("claim_token", UUID(as_uuid=True)),
    time_column("claimed_until", nullable=True),
    Column("is_unknown", Boolean, nullable=False, server_default=text("false")),
    Column("ordering_key", Text),
    Column("sequence", BigInteger, nullable=False),
    Index("ix_pending_channel_due", "channel", "due_at"),
    Index("ix_pending_ordering", "ordering_key", "sequence", postgresql_where=text("ordering_key is not null")),
)

# `txid` is the transaction that wrote the row: a reader that follows it behind the oldest open one misses nothing.
notification_states = Table(
    "notification_states",
    metadata,
    Column("state_id", BigInteger, Identity(always=True), nullable=False),
    Column("notification_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    time_column("at"),
    Column("seconds_since_detected", Numeric(14, 3), nullable=False),
    Column("detail", Text),
    Column("provider_message_id", Text),
    Column("txid", BigInteger, nullable=False, server_default=CURRENT_TXID),
    PrimaryKeyConstraint("txid", "state_id", name="notification_states_pkey"),
    CheckConstraint(
        "state in ('planned', 'claimed', 'sent', 'accepted', 'delivered', 'failed', 'suppressed')",
        name="ck_notification_states_state",
    ),
    Index("ix_notification_states_notification", "notification_id", "state_id"),
)

# How far the append-only tables stand in the warehouse.
mirror_progress = Table(
    "mirror_progress",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("txid", BigInteger, nullable=False, server_default=text("0")),
    Column("row_id", BigInteger, nullable=False, server_default=text("0")),
    time_column("mirrored_at", nullable=True),
)

recipient_buckets = Table(
    "recipient_buckets",
    metadata,
    Column("channel", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("tokens", Numeric(10, 3), nullable=False),
    time_column("at"),
    PrimaryKeyConstraint("channel", "fingerprint", name="recipient_buckets_pkey"),
)

channel_ceilings = Table(
    "channel_ceilings", metadata, Column("channel", Text, primary_key=True), time_column("free_at")
)

# Events that somebody must accept in time; `step` counts the fallbacks that were tried.
escalations = Table(
    "escalations",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("account_id", Text),
    Column("episode_id", Text, nullable=False),
    Column("step", Integer, nullable=False, server_default=text("0")),
    time_column("due_at"),
    time_column("closed_at", nullable=True),
    Column("outcome", Text),
    Index("ix_escalations_due", "due_at", postgresql_where=text("closed_at is null")),
    Index("ix_escalations_open", "account_id", "episode_id", postgresql_where=text("closed_at is null")),
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("notification_id", Text, primary_key=True),
    Column("event_id", Text, nullable=False),
    time_column("at"),
    Column("acknowledged_by", Text, nullable=False),
    Column("note", Text),
    Index("ix_acknowledgements_event", "event_id"),
)

# What providers reported later, once each.
callbacks = Table(
    "callbacks",
    metadata,
    Column("callback_id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("notification_id", Text),
    Column("kind", Text, nullable=False),
    time_column("occurred_at", nullable=True),
    time_column("received_at"),
    Column("detail", Text),
    Index("ix_callbacks_received", "received_at"),
    Index("ix_callbacks_notification", "notification_id"),
)

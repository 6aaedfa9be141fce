"""The tables of schema `alerting` that say who is reached: contacts, preferences, verifications, silences."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Time,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from alerting.tables import CURRENT_TXID, metadata, time_column

# `address_sealed` is sealed for the place 'contact:<contact_id>', the secrets for 'contact-secret:<contact_id>';
# `address_hint` is masked and may be shown. `origin` registered: known from onboarding, used while the account has no
# verified contact of its own choice.
contacts = Table(
    "contacts",
    metadata,
    Column("contact_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("address_sealed", LargeBinary, nullable=False),
    Column("address_hint", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("secret_sealed", LargeBinary),
    Column("previous_secret_sealed", LargeBinary),
    time_column("previous_secret_until", nullable=True),
    Column("severities", ARRAY(Text)),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    time_column("verified_at", nullable=True),
    time_column("created_at"),
    time_column("updated_at"),
    CheckConstraint("channel in ('email', 'sms', 'webhook')", name="ck_contacts_channel"),
    CheckConstraint("origin in ('preference', 'registered')", name="ck_contacts_origin"),
    CheckConstraint("role in ('primary', 'fallback')", name="ck_contacts_role"),
    CheckConstraint("status in ('pending', 'verified', 'disabled', 'removed')", name="ck_contacts_status"),
    Index("ix_contacts_owner", "owner"),
    Index("ix_contacts_fingerprint", "fingerprint"),
)

preferences = Table(
    "preferences",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("locale", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("quiet_start", Time),
    Column("quiet_end", Time),
    Column("digest_minutes", Integer),
    time_column("updated_at"),
    CheckConstraint("(quiet_start is null) = (quiet_end is null)", name="ck_preferences_quiet"),
    CheckConstraint("digest_minutes between 1 and 1440", name="ck_preferences_digest"),
)

# Append-only; `before` and `after` hold masked addresses and no secrets.
preference_changes = Table(
    "preference_changes",
    metadata,
    Column("change_id", BigInteger, Identity(always=True), nullable=False),
    Column("owner", Text, nullable=False),
    time_column("at"),
    Column("action", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("txid", BigInteger, nullable=False, server_default=CURRENT_TXID),
    PrimaryKeyConstraint("txid", "change_id", name="preference_changes_pkey"),
    Index("ix_preference_changes_owner", "owner", text("at desc")),
)

# A proof of ownership under way. Its code is not stored: it follows from the id and the sealing key.
verifications = Table(
    "verifications",
    metadata,
    Column("verification_id", Text, primary_key=True),
    Column(
        "contact_id",
        Text,
        ForeignKey("alerting.contacts.contact_id", name="verifications_contact_id_fkey"),
        nullable=False,
    ),
    time_column("created_at"),
    time_column("expires_at"),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    time_column("used_at", nullable=True),
    Index("ix_verifications_contact", "contact_id", text("created_at desc")),
)

silences = Table(
    "silences",
    metadata,
    Column("silence_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("severities", ARRAY(Text), nullable=False),
    time_column("starts_at"),
    time_column("ends_at"),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    time_column("created_at"),
    CheckConstraint("starts_at < ends_at", name="ck_silences_order"),
    Index("ix_silences_owner", "owner", "ends_at"),
)

"""SQL of preferences; every function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from alerting.contact_tables import contacts, preference_changes, preferences, silences, verifications
from alerting.preferences.model import (
    Contact,
    ContactChannel,
    ContactOrigin,
    ContactRole,
    ContactStatus,
    OwnerSettings,
    Silence,
)

_LOCK = text("select pg_advisory_xact_lock(hashtextextended('alerting.preferences.' || :owner, 0))")


def lock_owner(connection: Connection, owner: str) -> None:
    """Let one transaction at a time change what belongs to the owner."""
    connection.execute(_LOCK, {"owner": owner})


def contacts_of(connection: Connection, owner: str, origin: ContactOrigin) -> list[Contact]:
    """The owner's contacts that were not removed, in their order."""
    c = contacts.c
    statement = (
        select(contacts)
        .where(c.owner == owner, c.origin == origin, c.status != ContactStatus.REMOVED)
        .order_by(c.position, c.contact_id)
    )
    return [_contact(row) for row in connection.execute(statement)]


def contact_of(connection: Connection, contact_id: str) -> Contact | None:
    """The contact, also if it was removed."""
    row = connection.execute(select(contacts).where(contacts.c.contact_id == contact_id)).one_or_none()
    return _contact(row) if row is not None else None


def contacts_with_address(connection: Connection, owner: str, fingerprint: str) -> int:
    """How many contacts the owner ever had at this address."""
    c = contacts.c
    statement = select(func.count()).where(c.owner == owner, c.fingerprint == fingerprint)
    return int(connection.execute(statement).scalar_one())


def insert_contact(connection: Connection, values: Mapping[str, Any]) -> None:
    """Store a new contact."""
    connection.execute(insert(contacts).values(**values))


def update_contact(connection: Connection, contact_id: str, at: datetime, **changes: Any) -> None:
    """Change columns of a contact."""
    connection.execute(update(contacts).where(contacts.c.contact_id == contact_id).values(**changes, updated_at=at))


def secret_of(connection: Connection, contact_id: str) -> bytes | None:
    """The sealed secret that signs the contact's webhooks now."""
    found: bytes | None = connection.execute(
        select(contacts.c.secret_sealed).where(contacts.c.contact_id == contact_id)
    ).scalar_one()
    return found


def settings_of(connection: Connection, owner: str) -> tuple[OwnerSettings, datetime | None]:
    """How the owner wants to be told, and since when; the defaults and None where nothing was set."""
    row = connection.execute(select(preferences).where(preferences.c.owner == owner)).one_or_none()
    if row is None:
        return OwnerSettings(), None
    return OwnerSettings(row.locale, row.time_zone, row.quiet_start, row.quiet_end, row.digest_minutes), row.updated_at


def put_settings(connection: Connection, owner: str, settings: OwnerSettings, at: datetime) -> None:
    """Store how the owner wants to be told."""
    values = {
        "locale": settings.locale,
        "time_zone": settings.time_zone,
        "quiet_start": settings.quiet_start,
        "quiet_end": settings.quiet_end,
        "digest_minutes": settings.digest_minutes,
        "updated_at": at,
    }
    statement = upsert(preferences).values(owner=owner, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["owner"], set_=values))


def append_change(
    connection: Connection,
    owner: str,
    at: datetime,
    action: str,
    changed_by: str,
    reason: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Append to the audit history; `before` and `after` hold masked addresses and no secrets."""
    connection.execute(
        insert(preference_changes).values(
            owner=owner, at=at, action=action, changed_by=changed_by, reason=reason, before=before, after=after
        )
    )


def changes_page(
    connection: Connection, owner: str, after: tuple[datetime, int] | None, max_rows: int
) -> Sequence[Row[Any]]:
    """The owner's changes, newest first, behind the place `after`."""
    c = preference_changes.c
    statement = select(preference_changes).where(c.owner == owner)
    if after is not None:
        statement = statement.where(tuple_(c.at, c.change_id) < after)
    return connection.execute(statement.order_by(c.at.desc(), c.change_id.desc()).limit(max_rows)).all()


def last_change_at(connection: Connection, owner: str, action: str) -> datetime | None:
    """When the owner's last change of this kind happened."""
    c = preference_changes.c
    statement = select(func.max(c.at)).where(c.owner == owner, c.action == action)
    found: datetime | None = connection.execute(statement).scalar_one()
    return found


def insert_verification(
    connection: Connection, verification_id: str, contact_id: str, at: datetime, expires_at: datetime
) -> None:
    """Store a verification that begins."""
    connection.execute(
        insert(verifications).values(
            verification_id=verification_id, contact_id=contact_id, created_at=at, expires_at=expires_at, failures=0
        )
    )


def verifications_since(connection: Connection, fingerprint: str, since: datetime) -> int:
    """How many verifications went to this address later than `since`, whoever asked for them."""
    v = verifications.c
    statement = (
        select(func.count())
        .select_from(verifications.join(contacts, contacts.c.contact_id == v.contact_id))
        .where(contacts.c.fingerprint == fingerprint, v.created_at > since)
    )
    return int(connection.execute(statement).scalar_one())


def verification_count(connection: Connection, contact_id: str) -> int:
    """How many verifications the contact ever had."""
    statement = select(func.count()).where(verifications.c.contact_id == contact_id)
    return int(connection.execute(statement).scalar_one())


def open_verifications(connection: Connection, contact_id: str, now: datetime, max_failures: int) -> list[str]:
    """Verifications of the contact that a code can still end, the newest first."""
    v = verifications.c
    statement = (
        select(v.verification_id)
        .where(v.contact_id == contact_id, v.expires_at > now, v.used_at.is_(None), v.failures < max_failures)
        .order_by(v.created_at.desc(), v.verification_id)
    )
    return list(connection.execute(statement).scalars())


def verification_of(connection: Connection, verification_id: str) -> Row[Any] | None:
    """One verification."""
    statement = select(verifications).where(verifications.c.verification_id == verification_id)
    return connection.execute(statement).one_or_none()


def count_failure(connection: Connection, verification_ids: Sequence[str]) -> int:
    """Count a wrong code against each of them; returns the most failures that one of them has now."""
    v = verifications.c
    statement = update(verifications).where(v.verification_id.in_(verification_ids)).values(failures=v.failures + 1)
    return max(connection.execute(statement.returning(v.failures)).scalars())


def use_verification(connection: Connection, verification_id: str, at: datetime) -> None:
    """Mark a verification as used."""
    v = verifications.c
    connection.execute(update(verifications).where(v.verification_id == verification_id).values(used_at=at))


def insert_silence(connection: Connection, silence: Silence) -> None:
    """Store a silence."""
    connection.execute(
        insert(silences).values(
            silence_id=silence.silence_id,
            owner=silence.owner,
            severities=list(silence.severities),
            starts_at=silence.starts_at,
            ends_at=silence.ends_at,
            reason=silence.reason,
            created_by=silence.created_by,
            created_at=silence.created_at,
        )
    )


def silences_of(connection: Connection, owner: str, ending_after: datetime | None, max_rows: int) -> list[Silence]:
    """The owner's silences, the last to end first; with `ending_after` only those that end later."""
    c = silences.c
    statement = select(silences).where(c.owner == owner).order_by(c.ends_at.desc(), c.silence_id).limit(max_rows)
    if ending_after is not None:
        statement = statement.where(c.ends_at > ending_after)
    return [_silence(row) for row in connection.execute(statement)]


def silence_of(connection: Connection, owner: str, silence_id: str) -> Silence | None:
    """One silence of the owner."""
    c = silences.c
    row = connection.execute(select(silences).where(c.owner == owner, c.silence_id == silence_id)).one_or_none()
    return _silence(row) if row is not None else None


def set_silence_times(connection: Connection, silence_id: str, starts_at: datetime, ends_at: datetime) -> None:
    """Change when a silence holds."""
    statement = update(silences).where(silences.c.silence_id == silence_id)
    connection.execute(statement.values(starts_at=starts_at, ends_at=ends_at))


def _contact(row: Row[Any]) -> Contact:
    return Contact(
        contact_id=row.contact_id,
        owner=row.owner,
        channel=ContactChannel(row.channel),
        origin=ContactOrigin(row.origin),
        role=ContactRole(row.role),
        position=row.position,
        hint=row.address_hint,
        fingerprint=row.fingerprint,
        severities=tuple(row.severities) if row.severities is not None else None,
        status=ContactStatus(row.status),
        status_reason=row.status_reason,
        verified_at=row.verified_at,
        previous_secret_until=row.previous_secret_until,
    )


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        silence_id=row.silence_id,
        owner=row.owner,
        severities=tuple(row.severities),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
    )

"""Rules of preferences: what a caller asks for becomes contacts, in one transaction with its audit record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from alerting.errors import ContactConflictError, ContactNotFoundError, PreferencesInvalidError
from alerting.preferences import store
from alerting.preferences.addresses import CheckedAddress, check_address
from alerting.preferences.codes import address_place, new_secret, secret_place
from alerting.preferences.model import (
    Contact,
    ContactChannel,
    ContactOrigin,
    ContactStatus,
    Context,
    OwnerSettings,
    Silence,
    WantedContact,
    WantedPreferences,
)
from alerting.preferences.registered import RegisteredContact, Registration, register_contacts
from alerting.preferences.settings_rules import check_contacts, checked_settings
from alerting.preferences.verification import begin_verification
from infra.runtime.ids import stable_id

__all__ = [
    "OwnerPreferences",
    "RegisteredContact",
    "Registration",
    "contact_for_change",
    "described",
    "read_preferences",
    "register_contacts",
    "rotate_secret",
    "set_preferences",
]

PREVIOUS_SECRET_LIFE = timedelta(hours=24)
MAX_SHOWN_SILENCES = 200


@dataclass(frozen=True, slots=True)
class OwnerPreferences:
    """All that is known of how an owner is told; `secrets` holds those made just now, by contact id."""

    owner: str
    settings: OwnerSettings
    updated_at: datetime | None
    contacts: Sequence[Contact]
    registered: Sequence[Contact]
    silences: Sequence[Silence]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A wanted contact: one that is there, or a new address."""

    wanted: WantedContact
    fingerprint: str
    current: Contact | None = None
    address: CheckedAddress | None = None


def read_preferences(context: Context, owner: str) -> OwnerPreferences:
    """Contacts, settings and the silences that hold now."""
    with context.engine.connect() as connection:
        return _read(connection, owner, context.clock.now())


def set_preferences(context: Context, owner: str, wanted: WantedPreferences) -> OwnerPreferences:
    """Replace contacts and settings; new addresses are sent a verification, repeating it changes nothing.

    An address that was there keeps its id and its verification. Raises `PreferencesInvalidError` or
    `VerificationLimitError`; nothing is stored or sent then.
    """
    settings = checked_settings(wanted.settings)
    check_contacts(owner, wanted.contacts)
    now = context.clock.now()
    with context.engine.begin() as connection:
        store.lock_owner(connection, owner)
        current = store.contacts_of(connection, owner, ContactOrigin.PREFERENCE)
        stored, updated_at = store.settings_of(connection, owner)
        resolved = _resolve(context, wanted.contacts, current)
        before = described(stored, current)
        secrets: dict[str, str] = {}
        for position, item in enumerate(resolved):
            if item.current is not None:
                _keep(connection, item.current, item.wanted, position, now)
            elif item.address is not None:
                secrets |= _add(context, connection, owner, item, item.address, position, now)
        kept = {item.current.contact_id for item in resolved if item.current is not None}
        for contact in current:
            if contact.contact_id not in kept:
                store.update_contact(connection, contact.contact_id, now, status=ContactStatus.REMOVED)
        if updated_at is None or settings != stored:
            store.put_settings(connection, owner, settings, now)
        after = described(settings, store.contacts_of(connection, owner, ContactOrigin.PREFERENCE))
        if updated_at is None or before != after:
            store.append_change(connection, owner, now, "preferences_set", wanted.set_by, wanted.reason, before, after)
        return _read(connection, owner, now, secrets)


def rotate_secret(context: Context, owner: str, contact_id: str, changed_by: str, reason: str) -> tuple[Contact, str]:
    """The webhook with a new secret, which is told this one time; the one until now stays valid for 24 h."""
    now = context.clock.now()
    secret = new_secret()
    with context.engine.begin() as connection:
        contact = contact_for_change(connection, owner, contact_id)
        if contact.channel is not ContactChannel.WEBHOOK or contact.origin is not ContactOrigin.PREFERENCE:
            raise ContactConflictError("Only a webhook has a secret; this contact is none.")
        store.update_contact(
            connection,
            contact_id,
            now,
            previous_secret_sealed=store.secret_of(connection, contact_id),
            previous_secret_until=now + PREVIOUS_SECRET_LIFE,
            secret_sealed=context.sealer.seal(secret, secret_place(contact_id)),
        )
        after = {"contact": contact_view(contact), "previous_secret_until": (now + PREVIOUS_SECRET_LIFE).isoformat()}
        store.append_change(
            connection, owner, now, "secret_rotated", changed_by, reason, {"contact": contact_view(contact)}, after
        )
        return contact_for_change(connection, owner, contact_id), secret


def contact_for_change(connection: Connection, owner: str, contact_id: str) -> Contact:
    """The owner's contact, with the owner locked; raises `ContactNotFoundError`."""
    store.lock_owner(connection, owner)
    contact = store.contact_of(connection, contact_id)
    if contact is None or contact.owner != owner or contact.status is ContactStatus.REMOVED:
        raise ContactNotFoundError("There is no such contact; read alert-preferences for those that there are.")
    return contact


def described(settings: OwnerSettings, contacts: Sequence[Contact]) -> dict[str, Any]:
    """Preferences as the audit history holds them."""
    start, end = settings.quiet_start, settings.quiet_end
    quiet = {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}"} if start is not None and end is not None else None
    return {
        "locale": settings.locale,
        "time_zone": settings.time_zone,
        "quiet_hours": quiet,
        "digest_minutes": settings.digest_minutes,
        "contacts": [contact_view(contact) for contact in contacts],
    }


def contact_view(contact: Contact) -> dict[str, Any]:
    """A contact as the audit history holds it."""
    return {
        "contact_id": contact.contact_id,
        "channel": contact.channel.value,
        "hint": contact.hint,
        "role": contact.role.value,
        "severities": list(contact.severities) if contact.severities is not None else None,
        "status": contact.status.value,
    }


def _resolve(context: Context, wanted: Sequence[WantedContact], current: Sequence[Contact]) -> list[_Resolved]:
    by_id = {contact.contact_id: contact for contact in current}
    by_fingerprint = {contact.fingerprint: contact for contact in current}
    found: list[_Resolved] = []
    for index, item in enumerate(wanted):
        if item.channel is None or item.address is None:
            kept = by_id.get(item.contact_id or "")
            if kept is None:
                raise PreferencesInvalidError(f"contacts[{index}].contact_id is none of this owner's contacts.")
            found.append(_Resolved(item, kept.fingerprint, kept))
            continue
        try:
            address = check_address(item.channel, item.address, context.networks)
        except PreferencesInvalidError as error:
            raise PreferencesInvalidError(f"contacts[{index}].address: {error.message}") from None
        fingerprint = address.fingerprint(context.sealer)
        found.append(_Resolved(item, fingerprint, by_fingerprint.get(fingerprint), address))
    if len({item.fingerprint for item in found}) < len(found):
        raise PreferencesInvalidError("The same address stands in contacts twice; name it once.")
    return found


def _keep(connection: Connection, contact: Contact, wanted: WantedContact, position: int, now: datetime) -> None:
    as_wanted = (wanted.role, wanted.severities, position)
    if as_wanted != (contact.role, contact.severities, contact.position):
        severities = list(wanted.severities) if wanted.severities is not None else None
        store.update_contact(
            connection, contact.contact_id, now, role=wanted.role, severities=severities, position=position
        )


def _add(
    context: Context,
    connection: Connection,
    owner: str,
    item: _Resolved,
    address: CheckedAddress,
    position: int,
    now: datetime,
) -> dict[str, str]:
    """Store a new contact and begin its verification; returns its secret by its id, if it has one."""
    earlier = store.contacts_with_address(connection, owner, item.fingerprint)
    contact_id = stable_id("con", owner, item.fingerprint, earlier)
    secret = new_secret() if address.channel is ContactChannel.WEBHOOK else None
    store.insert_contact(
        connection,
        {
            "contact_id": contact_id,
            "owner": owner,
            "channel": address.channel,
            "origin": ContactOrigin.PREFERENCE,
            "role": item.wanted.role,
            "position": position,
            "address_sealed": context.sealer.seal(address.text, address_place(contact_id)),
            "address_hint": address.hint,
            "fingerprint": item.fingerprint,
            "secret_sealed": context.sealer.seal(secret, secret_place(contact_id)) if secret else None,
            "severities": list(item.wanted.severities) if item.wanted.severities is not None else None,
            "status": ContactStatus.PENDING,
            "created_at": now,
            "updated_at": now,
        },
    )
    begin_verification(connection, owner, contact_id, address.channel, item.fingerprint, now)
    return {contact_id: secret} if secret else {}


def _read(
    connection: Connection, owner: str, now: datetime, secrets: Mapping[str, str] | None = None
) -> OwnerPreferences:
    settings, updated_at = store.settings_of(connection, owner)
    silences = store.silences_of(connection, owner, now, MAX_SHOWN_SILENCES)
    return OwnerPreferences(
        owner=owner,
        settings=settings,
        updated_at=updated_at,
        contacts=store.contacts_of(connection, owner, ContactOrigin.PREFERENCE),
        registered=store.contacts_of(connection, owner, ContactOrigin.REGISTERED),
        silences=[each for each in silences if each.starts_at <= now],
        secrets=secrets or {},
    )

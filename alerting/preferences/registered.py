"""Contacts that onboarding knows: told while an owner has no verified contact of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, text

from alerting.errors import PreferencesInvalidError
from alerting.preferences.addresses import CheckedAddress, check_address
from alerting.preferences.codes import address_place
from alerting.preferences.model import ContactChannel
from alerting.preferences.settings_rules import checked_locale, checked_time_zone
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id
from infra.runtime.sealing import Sealer

CHUNK = 2000

_LOCK = text(
    """
    select pg_advisory_xact_lock(hashtextextended('alerting.preferences.' || owner, 0))
    from (select distinct unnest(cast(:owner as text[])) as owner order by owner) as sorted
    """
)
_CURRENT = text(
    """
    select owner, contact_id, channel, address_hint
    from alerting.contacts
    where owner = any(cast(:owner as text[])) and origin = 'registered' and status <> 'removed'
    """
)
# One that was removed comes back under its id; a disabled one stays so, because its provider refuses it.
_STORE = text(
    """
    insert into alerting.contacts
        (contact_id, owner, channel, origin, role, position, address_sealed, address_hint, fingerprint, status,
        verified_at, created_at, updated_at)
    select
        contact_id, owner, channel, 'registered', 'primary', position, address_sealed, address_hint, fingerprint,
        'verified', cast(:now as timestamptz), cast(:now as timestamptz), cast(:now as timestamptz)
    from unnest(
        cast(:contact_id as text[]), cast(:owner as text[]), cast(:channel as text[]), cast(:position as integer[]),
        cast(:address_sealed as bytea[]), cast(:address_hint as text[]), cast(:fingerprint as text[])
    ) as given (contact_id, owner, channel, position, address_sealed, address_hint, fingerprint)
    order by contact_id
    on conflict (contact_id) do update
    set status = 'verified', status_reason = null, verified_at = excluded.verified_at, updated_at = excluded.updated_at
    where contacts.status = 'removed'
    """
)
_REMOVE = text(
    """
    update alerting.contacts set status = 'removed', updated_at = cast(:now as timestamptz)
    where contact_id = any(cast(:contact_id as text[]))
    """
)
_SETTINGS = text(
    """
    insert into alerting.preferences (owner, locale, time_zone, updated_at)
    select owner, locale, time_zone, cast(:now as timestamptz)
    from unnest(cast(:owner as text[]), cast(:locale as text[]), cast(:time_zone as text[])) as given
        (owner, locale, time_zone)
    order by owner
    on conflict do nothing
    """
)
_CHANGES = text(
    """
    insert into alerting.preference_changes (owner, at, action, changed_by, reason, before, after)
    select owner, cast(:now as timestamptz), 'contact_registered', :changed_by, :reason, before, after
    from unnest(cast(:owner as text[]), cast(:before as jsonb[]), cast(:after as jsonb[])) as given
        (owner, before, after)
    """
)


@dataclass(frozen=True, slots=True)
class RegisteredContact:
    """What onboarding knows of an owner; addresses are not shown by `repr`."""

    owner: str
    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    locale: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Registration:
    """How many owners were changed or were as given already, and why others were refused, by owner."""

    changed: int = 0
    unchanged: int = 0
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Row:
    contact_id: str
    owner: str
    position: int
    fingerprint: str
    address: CheckedAddress


@dataclass(frozen=True, slots=True)
class _Checked:
    owner: str
    rows: tuple[_Row, ...]
    locale: str
    time_zone: str


def register_contacts(
    engine: Engine,
    sealer: Sealer,
    clock: Clock,
    contacts: Sequence[RegisteredContact],
    *,
    changed_by: str = "onboarding",
    reason: str = "known from onboarding",
) -> Registration:
    """Make these the registered contacts of their owners, in chunks of one transaction each.

    Repeating it changes nothing. The last entry of an owner counts. An owner whose data cannot be used is refused,
    and keeps what it has. Locale and time zone hold where the owner has set none.
    """
    by_owner = {contact.owner: contact for contact in contacts}
    changed = unchanged = 0
    refused: dict[str, str] = {}
    for chunk in _chunks(by_owner.values()):
        checked: list[_Checked] = []
        for contact in chunk:
            try:
                checked.append(_check(sealer, contact))
            except PreferencesInvalidError as error:
                refused[contact.owner] = error.message
        with engine.begin() as connection:
            count = _register(connection, sealer, clock.now(), checked, changed_by, reason) if checked else 0
        changed += count
        unchanged += len(checked) - count
    return Registration(changed, unchanged, refused)


def _chunks(contacts: Iterable[RegisteredContact]) -> Iterator[list[RegisteredContact]]:
    remaining = iter(contacts)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def _check(sealer: Sealer, contact: RegisteredContact) -> _Checked:
    given = [(ContactChannel.EMAIL, contact.email), (ContactChannel.SMS, contact.phone)]
    rows: list[_Row] = []
    for channel, address in given:
        if address is not None:
            checked = check_address(channel, address)
            fingerprint = checked.fingerprint(sealer)
            contact_id = stable_id("con", contact.owner, "registered", fingerprint)
            rows.append(_Row(contact_id, contact.owner, len(rows), fingerprint, checked))
    if not rows:
        raise PreferencesInvalidError("There is neither a mail address nor a phone number.")
    return _Checked(contact.owner, tuple(rows), checked_locale(contact.locale), checked_time_zone(contact.time_zone))


def _register(
    connection: Connection, sealer: Sealer, now: datetime, checked: Sequence[_Checked], changed_by: str, reason: str
) -> int:
    owners = sorted(item.owner for item in checked)
    connection.execute(_LOCK, {"owner": owners})
    current: dict[str, dict[str, dict[str, str]]] = {}
    for row in connection.execute(_CURRENT, {"owner": owners}):
        shown = {"contact_id": row.contact_id, "channel": row.channel, "hint": row.address_hint}
        current.setdefault(row.owner, {})[row.contact_id] = shown
    changing = [item for item in checked if set(current.get(item.owner, {})) != {row.contact_id for row in item.rows}]
    connection.execute(
        _SETTINGS,
        {
            "now": now,
            "owner": [item.owner for item in checked],
            "locale": [item.locale for item in checked],
            "time_zone": [item.time_zone for item in checked],
        },
    )
    if not changing:
        return 0
    wanted = [row for item in changing for row in item.rows if row.contact_id not in current.get(item.owner, {})]
    kept = {row.contact_id for item in changing for row in item.rows}
    gone = [key for item in changing for key in current.get(item.owner, {}) if key not in kept]
    if gone:
        connection.execute(_REMOVE, {"now": now, "contact_id": gone})
    if wanted:
        connection.execute(_STORE, {"now": now} | _columns(sealer, wanted))
    connection.execute(
        _CHANGES,
        {
            "now": now,
            "changed_by": changed_by,
            "reason": reason,
            "owner": [item.owner for item in changing],
            "before": [_json(list(current.get(item.owner, {}).values())) for item in changing],
            "after": [_json([_shown(row) for row in item.rows]) for item in changing],
        },
    )
    return len(changing)


def _columns(sealer: Sealer, rows: Sequence[_Row]) -> dict[str, list[Any]]:
    return {
        "contact_id": [row.contact_id for row in rows],
        "owner": [row.owner for row in rows],
        "channel": [row.address.channel.value for row in rows],
        "position": [row.position for row in rows],
        "address_sealed": [sealer.seal(row.address.text, address_place(row.contact_id)) for row in rows],
        "address_hint": [row.address.hint for row in rows],
        "fingerprint": [row.fingerprint for row in rows],
    }


def _shown(row: _Row) -> dict[str, str]:
    return {"contact_id": row.contact_id, "channel": row.address.channel.value, "hint": row.address.hint}


def _json(registered: list[dict[str, str]]) -> str:
    return json.dumps({"registered_contacts": registered})

"""Customers: created once a reference, found by account, their personal data sealed in one document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from compliance.errors import ComplianceInputError
from compliance.pii import PersonalData, document_key, email_key, name_key, open_user, seal_user
from infra.runtime.clock import Clock, as_utc
from infra.runtime.envelope import Envelope, Sealed
from infra.runtime.ids import stable_id

KINDS = frozenset({"person", "company"})
KYC_STATES = frozenset(
    {"none", "created", "pending", "submitted", "in_review", "approved", "declined", "expired", "failed"}
)
ROWS_PER_REWRAP = 100
# What the column holds.
MAX_PROFILE_USD = Decimal(10) ** 29
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class NewUser:
    """A customer to create; `reference` is the id that the customer has elsewhere, and no personal data."""

    reference: str
    kind: str
    personal: PersonalData = field(repr=False)
    account_id: str | None = None
    country: str | None = None
    declared_profile_usd: Decimal | None = None

    @property
    def user_id(self) -> str:
        """Follows from the reference."""
        return stable_id("usr", self.reference)


@dataclass(frozen=True, slots=True)
class User:
    """A customer with personal data, which no repr shows."""

    user_id: str
    reference: str
    account_id: str | None
    kind: str
    country: str | None
    personal: PersonalData = field(repr=False)
    declared_profile_usd: Decimal | None
    kyc_state: str
    kyc_expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


_INSERT = text(
    """
    insert into compliance.users
        (user_id, reference, account_id, kind, country, pii_sealed, pii_key_id, pii_wrapped_key, name_hash, email_hash,
        document_hash, declared_profile_usd, created_at, updated_at)
    select
        user_id, reference, account_id, kind, country, decode(pii_sealed, 'hex'), pii_key_id,
        decode(pii_wrapped_key, 'hex'), name_hash, email_hash, document_hash, declared_profile_usd,
        cast(:now as timestamptz), cast(:now as timestamptz)
    from jsonb_to_recordset(cast(:rows as jsonb)) as given (
        user_id text, reference text, account_id text, kind text, country text, pii_sealed text, pii_key_id text,
        pii_wrapped_key text, name_hash text, email_hash text, document_hash text, declared_profile_usd numeric
    )
    order by user_id
    on conflict do nothing
    returning user_id
    """
)
_COLUMNS = """
    user_id, reference, account_id, kind, country, pii_sealed, pii_key_id, pii_wrapped_key, declared_profile_usd,
    kyc_state, kyc_expires_at, created_at, updated_at
"""
_IDENTITY = ("account_id", "kind", "country", "name_hash", "email_hash", "document_hash")
_KNOWN = text(
    """
    select user_id, account_id, kind, country, name_hash, email_hash, document_hash
    from compliance.users
    where user_id = any(cast(:user_ids as text[]))
    """
)
_READ = text(f"select {_COLUMNS} from compliance.users where user_id = :user_id")  # noqa: S608 - a constant
_READ_AFTER = text(
    f"select {_COLUMNS} from compliance.users"  # noqa: S608 - a constant
    " where user_id > :after order by user_id limit :max_rows"
)
_OF_ACCOUNT = text(
    "select user_id from compliance.users where account_id = :account_id order by created_at, user_id limit 1"
)
_SET_KYC = text(
    """
    update compliance.users
    set kyc_state = :state, kyc_expires_at = :expires_at, updated_at = :at
    where user_id = :user_id
    """
)
_OLD_KEYS = text(
    """
    select user_id, pii_key_id, pii_wrapped_key, pii_sealed
    from compliance.users
    where user_id > :after and pii_key_id != :active
    order by user_id
    limit :max_rows
    """
)
_REWRAP = text(
    """
    update compliance.users
    set pii_key_id = given.key_id, pii_wrapped_key = given.wrapped
    from unnest(
        cast(:user_ids as text[]), cast(:key_ids as text[]), cast(:wrapped as bytea[]), cast(:before as bytea[])
    ) as given (user_id, key_id, wrapped, before)
    where users.user_id = given.user_id and users.pii_wrapped_key = given.before
    """
)
_KEY_COUNTS = text("select pii_key_id, count(*) as rows from compliance.users group by pii_key_id order by pii_key_id")


def create_user(
    connection: Connection,
    envelope: Envelope,
    clock: Clock,
    reference: str,
    kind: str,
    personal: PersonalData,
    account_id: str | None = None,
    country: str | None = None,
    declared_profile_usd: Decimal | None = None,
) -> str:
    """The id of the customer of that reference, created unless it is there.

    Raises `ComplianceInputError` where the reference belongs to a customer of other data, or a value is not usable.
    """
    user = NewUser(reference, kind, personal, account_id, country, declared_profile_usd)
    create_users(connection, envelope, clock, [user])
    return user.user_id


def create_users(connection: Connection, envelope: Envelope, clock: Clock, users: Sequence[NewUser]) -> int:
    """Create those customers that are not there yet, in bulk, and return how many those were; as `create_user`."""
    by_id = {user.user_id: user for user in users}
    rows = {user_id: _identity(envelope, user) for user_id, user in by_id.items()}
    known = _known(connection, rows)
    missing = [user_id for user_id in rows if user_id not in known]
    created: set[str] = set()
    if missing:
        document = [rows[user_id] | _content(envelope, by_id[user_id]) for user_id in missing]
        values = {"rows": json.dumps(document, separators=(",", ":")), "now": clock.now()}
        created = set(connection.execute(_INSERT, values).scalars())
        # What another transaction created meanwhile is compared as well.
        known |= _known(connection, {user_id: rows[user_id] for user_id in missing if user_id not in created})
    for user_id, found in known.items():
        wrong = [name for name in _IDENTITY if found[name] != rows[user_id][name]]
        if wrong:
            raise ComplianceInputError(
                f"{user_id} is there with another {', '.join(wrong)}: one reference is one customer."
            )
    return len(created)


def read_user(connection: Connection, envelope: Envelope, user_id: str) -> User:
    """The customer with personal data; raises `ComplianceInputError` where there is none of that id."""
    row = connection.execute(_READ, {"user_id": user_id}).mappings().one_or_none()
    if row is None:
        raise ComplianceInputError(f"There is no customer {user_id[:80]!r}.")
    return _user(envelope, row)


def read_users(connection: Connection, envelope: Envelope, after: str = "", limit: int = 1_000) -> list[User]:
    """Up to `limit` customers in order of id, those after `after`: for work on all of them in chunks."""
    rows = connection.execute(_READ_AFTER, {"after": after, "max_rows": limit}).mappings()
    return [_user(envelope, row) for row in rows]


def user_of_account(connection: Connection, account_id: str) -> str | None:
    """The id of the account's customer, the first one where there are several; None: unknown."""
    found: str | None = connection.execute(_OF_ACCOUNT, {"account_id": account_id}).scalar_one_or_none()
    return found


def set_kyc_state(connection: Connection, user_id: str, state: str, expires_at: datetime | None, at: datetime) -> None:
    """Set how far the customer's verification is; raises `ComplianceInputError` for unknown states and customers."""
    if state not in KYC_STATES:
        raise ComplianceInputError(f"{str(state)[:40]!r} is no state of verification: {', '.join(sorted(KYC_STATES))}.")
    values = {
        "user_id": user_id,
        "state": str(state),
        "expires_at": as_utc(expires_at) if expires_at is not None else None,
        "at": as_utc(at),
    }
    if connection.execute(_SET_KYC, values).rowcount == 0:
        raise ComplianceInputError(f"There is no customer {user_id[:80]!r}.")


def rewrap_users(engine: Engine, envelope: Envelope, chunk: int = ROWS_PER_REWRAP) -> int:
    """Wrap the data keys of all customers by the ring's active key; returns how many rows were changed.

    It reads no personal data. A row that changes meanwhile is left for the next run; a run that ends early is
    continued by the next one. Raises `UnsealError` at a row whose key does not open.
    """
    active = envelope.ring.active_key_id
    changed, after = 0, ""
    while True:
        with engine.connect() as connection:
            rows = connection.execute(_OLD_KEYS, {"after": after, "active": active, "max_rows": chunk}).all()
        if not rows:
            return changed
        wrapped = [envelope.rewrap(Sealed(row.pii_key_id, row.pii_wrapped_key, row.pii_sealed)) for row in rows]
        values = {
            "user_ids": [row.user_id for row in rows],
            "key_ids": [each.key_id for each in wrapped],
            "wrapped": [each.wrapped_key for each in wrapped],
            "before": [row.pii_wrapped_key for row in rows],
        }
        with engine.begin() as connection:
            changed += connection.execute(_REWRAP, values).rowcount
        after = rows[-1].user_id


def key_counts(connection: Connection) -> Mapping[str, int]:
    """How many customers' data keys each key wraps."""
    return {row.pii_key_id: int(row.rows) for row in connection.execute(_KEY_COUNTS)}


def _known(connection: Connection, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    if not rows:
        return {}
    found = connection.execute(_KNOWN, {"user_ids": sorted(rows)}).mappings()
    return {row["user_id"]: dict(row) for row in found}


def _identity(envelope: Envelope, user: NewUser) -> dict[str, Any]:
    if not user.reference or len(user.reference) > 200:
        raise ComplianceInputError("A customer's reference has 1 to 200 characters.")
    if user.kind not in KINDS:
        raise ComplianceInputError(f"{user.user_id}: a customer is a {' or a '.join(sorted(KINDS))}.")
    if user.country is not None and not _COUNTRY.fullmatch(user.country):
        raise ComplianceInputError(f"{user.user_id}: the country is two capitals (ISO 3166-1).")
    profile = user.declared_profile_usd
    if profile is not None and not (profile.is_finite() and 0 <= profile < MAX_PROFILE_USD):
        raise ComplianceInputError(f"{user.user_id}: the declared profile is an amount of at least 0 USD.")
    personal = user.personal
    email, number = personal.email, personal.document_number
    return {
        "user_id": user.user_id,
        "reference": user.reference,
        "account_id": user.account_id,
        "kind": user.kind,
        "country": user.country,
        "name_hash": envelope.blind_hash("name", name_key(personal.name)),
        "email_hash": envelope.blind_hash("email", email_key(email)) if email else None,
        "document_hash": envelope.blind_hash("document", document_key(number)) if number else None,
        "declared_profile_usd": format(profile, "f") if profile is not None else None,
    }


def _content(envelope: Envelope, user: NewUser) -> dict[str, str]:
    sealed = seal_user(envelope, user.user_id, user.personal)
    return {
        "pii_sealed": sealed.sealed.hex(),
        "pii_key_id": sealed.key_id,
        "pii_wrapped_key": sealed.wrapped_key.hex(),
    }


def _user(envelope: Envelope, row: Mapping[Any, Any]) -> User:
    sealed = Sealed(row["pii_key_id"], bytes(row["pii_wrapped_key"]), bytes(row["pii_sealed"]))
    return User(
        user_id=row["user_id"],
        reference=row["reference"],
        account_id=row["account_id"],
        kind=row["kind"],
        country=row["country"],
        personal=open_user(envelope, row["user_id"], sealed),
        declared_profile_usd=row["declared_profile_usd"],
        kyc_state=row["kyc_state"],
        kyc_expires_at=row["kyc_expires_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )

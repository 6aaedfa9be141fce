"""Proof that an address belongs to whom it was given for: a code is sent there and comes back.

A code is derived from the verification's id when it is sent. It ends after 15 minutes (SMS) or 24 hours, or by five
wrong answers; an address gets at most five an hour, whoever asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from alerting import ledger
from alerting.errors import (
    ContactConflictError,
    ContactNotFoundError,
    VerificationCodeError,
    VerificationEndedError,
    VerificationLimitError,
)
from alerting.notices import Kind
from alerting.preferences import store
from alerting.preferences.codes import is_code
from alerting.preferences.model import (
    Contact,
    ContactChannel,
    ContactOrigin,
    ContactStatus,
    Context,
    account_of,
)
from infra.runtime.ids import stable_id

SMS_LIFE = timedelta(minutes=15)
TOKEN_LIFE = timedelta(hours=24)
MAX_FAILURES = 5
MAX_AN_HOUR = 5


class TokenState(StrEnum):
    """What a token in an address is worth."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    USED = "used"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token's worth; owner, mask and locale are None for an unknown one."""

    state: TokenState
    owner: str | None = None
    hint: str | None = None
    locale: str | None = None


def begin_verification(
    connection: Connection, owner: str, contact_id: str, channel: ContactChannel, fingerprint: str, now: datetime
) -> None:
    """Store a verification and its notification; raises `VerificationLimitError` after five within an hour."""
    if store.verifications_since(connection, fingerprint, now - timedelta(hours=1)) >= MAX_AN_HOUR:
        raise VerificationLimitError(
            f"This address got {MAX_AN_HOUR} verifications within an hour; use the last one, or wait."
        )
    verification_id = stable_id("ver", contact_id, store.verification_count(connection, contact_id))
    expires_at = now + (SMS_LIFE if channel is ContactChannel.SMS else TOKEN_LIFE)
    store.insert_verification(connection, verification_id, contact_id, now, expires_at)
    payload = {"verification_id": verification_id, "expires_at": expires_at.isoformat()}
    event = ledger.AlertEvent.internal(Kind.VERIFICATION, verification_id, owner, account_of(owner), payload, now)
    planned = ledger.PlannedNotification(verification_id, channel.value, contact_id, fingerprint=fingerprint)
    ledger.store(connection, [event], [planned], now)


def send_verification(context: Context, owner: str, contact_id: str) -> Contact:
    """Send one more verification; a contact that its provider refused becomes pending again.

    Raises `ContactConflictError` for a verified contact and `VerificationLimitError`.
    """
    now = context.clock.now()
    with context.engine.begin() as connection:
        contact = _own_contact(connection, owner, contact_id)
        if contact.status is ContactStatus.VERIFIED:
            raise ContactConflictError("The contact is verified already; nothing is to be sent.")
        if contact.status is ContactStatus.DISABLED:
            _enable(connection, contact, now)
        begin_verification(connection, owner, contact_id, contact.channel, contact.fingerprint, now)
        return store.contact_of(connection, contact_id) or contact


def verify(context: Context, owner: str, contact_id: str, code: str) -> Contact:
    """The contact, verified by its code; a verified one is returned as it is.

    Raises `VerificationEndedError` where nothing is under way and `VerificationCodeError` for a wrong code, which is
    counted.
    """
    now = context.clock.now()
    with context.engine.begin() as connection:
        contact = _own_contact(connection, owner, contact_id)
        if contact.status is ContactStatus.VERIFIED:
            return contact
        under_way = store.open_verifications(connection, contact_id, now, MAX_FAILURES)
        matching = [each for each in under_way if is_code(context.sealer, each, contact.channel, code)]
        if matching:
            return _confirm(connection, contact, matching[0], now, f"contact {contact_id}", "its code was given")
        failures = store.count_failure(connection, under_way) if under_way else None
    # Raised behind the transaction, so that the failure stays counted.
    if failures is None:
        raise VerificationEndedError("No verification is under way; send a new one by send-verification.")
    raise VerificationCodeError(
        "The code is not the one that was sent; "
        + ("send a new one by send-verification." if failures >= MAX_FAILURES else "try again.")
    )


def read_token(context: Context, token: str) -> TokenView:
    """What the token is worth; changes nothing, because scanners of mail follow links."""
    with context.engine.connect() as connection:
        return _token(context, connection, token)[0]


def confirm_token(context: Context, token: str) -> TokenView:
    """Verify the contact that the token was sent to."""
    now = context.clock.now()
    with context.engine.begin() as connection:
        view, contact = _token(context, connection, token)
        if contact is None:
            return view
        # Once more behind the lock: another press of the button may have come first.
        store.lock_owner(connection, contact.owner)
        view, contact = _token(context, connection, token)
        if contact is None or view.state is not TokenState.OPEN:
            return view
        verification_id = token.partition(".")[0]
        _confirm(connection, contact, verification_id, now, f"contact {contact.contact_id}", "its link was confirmed")
        return TokenView(TokenState.CONFIRMED, view.owner, view.hint, view.locale)


def _token(context: Context, connection: Connection, token: str) -> tuple[TokenView, Contact | None]:
    verification_id = token.partition(".")[0]
    found = store.verification_of(connection, verification_id) if "\x00" not in token else None
    contact = store.contact_of(connection, found.contact_id) if found is not None else None
    if found is None or contact is None or not _is_token(context, verification_id, contact, token):
        return TokenView(TokenState.UNKNOWN), None
    if found.used_at is not None:
        state = TokenState.USED
    elif (
        found.expires_at <= context.clock.now()
        or found.failures >= MAX_FAILURES
        or contact.status is ContactStatus.REMOVED
    ):
        state = TokenState.EXPIRED
    else:
        state = TokenState.OPEN
    locale = store.settings_of(connection, contact.owner)[0].locale
    return TokenView(state, contact.owner, contact.hint, locale), contact


def _is_token(context: Context, verification_id: str, contact: Contact, token: str) -> bool:
    """Whether the token is the code; six digits are none, because they can be guessed."""
    return contact.channel is not ContactChannel.SMS and is_code(
        context.sealer, verification_id, contact.channel, token
    )


def _own_contact(connection: Connection, owner: str, contact_id: str) -> Contact:
    store.lock_owner(connection, owner)
    contact = store.contact_of(connection, contact_id)
    is_there = contact is not None and contact.owner == owner and contact.status is not ContactStatus.REMOVED
    if contact is None or not is_there or contact.origin is not ContactOrigin.PREFERENCE:
        raise ContactNotFoundError("There is no such contact; read alert-preferences for those that there are.")
    return contact


def _enable(connection: Connection, contact: Contact, now: datetime) -> None:
    """Nothing is sent to a disabled contact, so that it has to be pending before it can prove that it works again."""
    store.update_contact(
        connection, contact.contact_id, now, status=ContactStatus.PENDING, status_reason=None, verified_at=None
    )
    shown = {"contact_id": contact.contact_id, "channel": contact.channel.value, "hint": contact.hint}
    before = shown | {"status": contact.status.value, "status_reason": contact.status_reason}
    after = shown | {"status": ContactStatus.PENDING.value}
    reason = "a new verification was asked for"
    store.append_change(connection, contact.owner, now, "contact_enabled", "api", reason, before, after)


def _confirm(
    connection: Connection, contact: Contact, verification_id: str, now: datetime, changed_by: str, reason: str
) -> Contact:
    store.use_verification(connection, verification_id, now)
    if contact.status is not ContactStatus.VERIFIED:
        store.update_contact(
            connection, contact.contact_id, now, status=ContactStatus.VERIFIED, status_reason=None, verified_at=now
        )
        shown = {"contact_id": contact.contact_id, "channel": contact.channel.value, "hint": contact.hint}
        before = shown | {"status": contact.status.value}
        after = shown | {"status": ContactStatus.VERIFIED.value}
        store.append_change(connection, contact.owner, now, "contact_verified", changed_by, reason, before, after)
    return store.contact_of(connection, contact.contact_id) or contact

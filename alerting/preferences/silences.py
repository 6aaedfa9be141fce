"""Silences: an account asks not to be told of some severities for a while; never of a liquidation."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from alerting.compliance_events import ComplianceSeverity
from alerting.errors import SilenceInvalidError, SilenceNotFoundError
from alerting.events import Severity
from alerting.preferences import store
from alerting.preferences.model import Context, Silence, severities_of

LONGEST = timedelta(days=30)
NEVER_SILENCED = frozenset({Severity.LIQUIDATION.value, ComplianceSeverity.CRITICAL.value})
MAX_LISTED = 200
_INSTANT = timedelta(microseconds=1)


def create_silence(
    context: Context,
    owner: str,
    severities: frozenset[str],
    starts_at: datetime | None,
    ends_at: datetime,
    reason: str,
    created_by: str,
) -> Silence:
    """Begin a silence, now or later; raises `SilenceInvalidError`."""
    now = context.clock.now()
    begins = max(starts_at or now, now)
    if severities & NEVER_SILENCED:
        raise SilenceInvalidError("A liquidation can never be silenced; leave it out of severities.")
    if not severities_of(owner).issuperset(severities):
        known = ", ".join(sorted(severities_of(owner) - NEVER_SILENCED))
        raise SilenceInvalidError(f"severities holds what is no severity; choose from {known}.")
    if ends_at <= begins:
        raise SilenceInvalidError("ends_at is not later than the silence begins; give a later time.")
    if ends_at - begins > LONGEST or begins - now > LONGEST:
        raise SilenceInvalidError("A silence lasts at most 30 days and begins within 30; give an earlier time.")
    silence = Silence(
        f"sil_{uuid.uuid4().hex}", owner, tuple(sorted(severities)), begins, ends_at, reason, created_by, now
    )
    with context.engine.begin() as connection:
        store.lock_owner(connection, owner)
        store.insert_silence(connection, silence)
        store.append_change(connection, owner, now, "silence_created", created_by, reason, None, _described(silence))
    return silence


def list_silences(context: Context, owner: str, *, include_ended: bool) -> list[Silence]:
    """Silences that hold now or later, with `include_ended` the newest of all."""
    ending_after = None if include_ended else context.clock.now()
    with context.engine.connect() as connection:
        return store.silences_of(connection, owner, ending_after, MAX_LISTED)


def end_silence(context: Context, owner: str, silence_id: str, ended_by: str, reason: str) -> Silence:
    """End a silence now; one that has ended stays as it is. Raises `SilenceNotFoundError`."""
    now = context.clock.now()
    with context.engine.begin() as connection:
        store.lock_owner(connection, owner)
        silence = store.silence_of(connection, owner, silence_id)
        if silence is None:
            raise SilenceNotFoundError("The account has no such silence; list those that there are.")
        if silence.ends_at <= now:
            return silence
        # One that has not begun yet never holds: a silence must end later than it begins.
        store.set_silence_times(connection, silence_id, min(silence.starts_at, now - _INSTANT), now)
        ended = store.silence_of(connection, owner, silence_id) or silence
        store.append_change(
            connection, owner, now, "silence_ended", ended_by, reason, _described(silence), _described(ended)
        )
        return ended


def _described(silence: Silence) -> dict[str, object]:
    return {
        "silence_id": silence.silence_id,
        "severities": list(silence.severities),
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
    }

"""What planning reads and writes beside the ledger: preferences, what was told, buckets, digests, escalations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from alerting.ledger import AlertEvent
from alerting.policy import INHIBITED_BY_LIQUIDATION, PEOPLE_CHANNELS
from alerting.policy_model import Bucket, Preferences, Recipient, Rules, Silence, Told

_LOCK = text(
    "select pg_advisory_xact_lock(hashtextextended(owner, 0))"
    " from (select distinct unnest(cast(:owners as text[])) as owner order by owner) as sorted"
)
_RECIPIENTS = text(
    """
    select contact_id, owner, channel, role, position, origin, fingerprint, severities
    from alerting.contacts
    where owner = any(cast(:owners as text[])) and status = 'verified'
    order by owner, position, contact_id
    """
)
_PREFERENCES = text(
    """
    select owner, time_zone, quiet_start, quiet_end, digest_minutes
    from alerting.preferences
    where owner = any(cast(:owners as text[]))
    """
)
_SILENCES = text(
    """
    select owner, silence_id, severities, starts_at, ends_at
    from alerting.silences
    where owner = any(cast(:owners as text[])) and starts_at <= :now and ends_at > :now
    """
)
# A failed one was not told; what went into a digest will be.
_TOLD = text(
    """
    select account_id, channel, recipient, rule, severity, episode_id, created_at
    from alerting.notifications
    where
        account_id = any(cast(:accounts as text[]))
        and created_at >= :since
        and channel = any(cast(:channels as text[]))
        and (terminal_state is null or terminal_state in ('accepted', 'delivered') or digest_id is not null)
    """
)
_PAGED = text(
    """
    select distinct episode_id
    from alerting.notifications
    where
        account_id = any(cast(:accounts as text[]))
        and episode_id = any(cast(:episodes as text[]))
        and channel = 'pagerduty'
        and (terminal_state is null or terminal_state in ('accepted', 'delivered'))
    """
)
_BUCKETS = text(
    """
    select channel, fingerprint, tokens, at
    from alerting.recipient_buckets
    inner join unnest(cast(:channels as text[]), cast(:fingerprints as text[])) as given (channel, fingerprint)
        using (channel, fingerprint)
    order by channel, fingerprint
    for update of recipient_buckets
    """
)
_KEEP_BUCKETS = text(
    """
    insert into alerting.recipient_buckets (channel, fingerprint, tokens, at)
    select *
    from unnest(
        cast(:channels as text[]), cast(:fingerprints as text[]), cast(:tokens as numeric[]),
        cast(:ats as timestamptz[])
    ) as given (channel, fingerprint, tokens, at)
    order by channel, fingerprint
    on conflict (channel, fingerprint) do update set tokens = excluded.tokens, at = excluded.at
    """
)
_INHIBITED = text(
    """
    select pending.notification_id, worse.event_id
    from unnest(cast(:accounts as text[]), cast(:episodes as text[]), cast(:event_ids as text[]))
        as worse (account_id, episode_id, event_id)
    inner join alerting.notifications
        on worse.account_id = notifications.account_id and worse.episode_id = notifications.episode_id
    inner join alerting.pending on notifications.notification_id = pending.notification_id
    where
        notifications.severity = any(cast(:severities as text[]))
        and notifications.channel = any(cast(:channels as text[]))
    """
)
_CLOSE_ESCALATIONS = text(
    """
    update alerting.escalations
    set closed_at = :now, outcome = given.outcome
    from unnest(cast(:accounts as text[]), cast(:episodes as text[]), cast(:outcomes as text[]))
        as given (account_id, episode_id, outcome)
    where
        escalations.closed_at is null
        and escalations.account_id = given.account_id
        and escalations.episode_id = given.episode_id
    """
)
_OPEN_ESCALATIONS = text(
    """
    insert into alerting.escalations (event_id, account_id, episode_id, due_at)
    select event_id, account_id, episode_id, due_at
    from unnest(cast(:event_ids as text[]), cast(:due_at as timestamptz[])) as given (event_id, due_at)
    inner join alerting.events using (event_id)
    order by event_id
    on conflict do nothing
    """
)


@dataclass(slots=True)
class Circumstances:
    """What is known of the owners of a batch of events."""

    preferences: dict[str, Preferences] = field(default_factory=dict)
    told: dict[str, list[Told]] = field(default_factory=dict)
    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)
    paged: set[str] = field(default_factory=set)


def lock_owners(connection: Connection, owners: Iterable[str]) -> None:
    """Let one worker at a time plan for each owner, until the transaction ends."""
    connection.execute(_LOCK, {"owners": sorted(set(owners))})


def read_circumstances(
    connection: Connection, events: Sequence[AlertEvent], rules: Rules, now: datetime
) -> Circumstances:
    """Preferences, what was told lately, buckets and pages of all owners of the events, in a few statements."""
    owners = sorted({event.owner for event in events})
    accounts = sorted({event.account_id for event in events if event.account_id is not None})
    found = Circumstances(preferences=read_preferences(connection, owners, now))
    values: dict[str, Any] = {
        "accounts": accounts,
        "since": now - rules.repeat_window,
        "channels": sorted(PEOPLE_CHANNELS),
        "episodes": sorted({event.episode_id for event in events if event.severity == "recovered"}),
    }
    for row in connection.execute(_TOLD, values):
        found.told.setdefault(row.account_id, []).append(
            Told(row.channel, row.recipient, row.rule, row.severity, row.episode_id, row.created_at)
        )
    if values["episodes"]:
        found.paged = set(connection.execute(_PAGED, values).scalars())
    found.buckets = _read_buckets(connection, found.preferences.values(), rules, now)
    return found


def read_preferences(connection: Connection, owners: Sequence[str], now: datetime) -> dict[str, Preferences]:
    """What each owner wants, with verified contacts and the silences of now; owners without any get the defaults."""
    values = {"owners": list(owners), "now": now}
    recipients: dict[str, list[Recipient]] = {}
    for row in connection.execute(_RECIPIENTS, values):
        recipients.setdefault(row.owner, []).append(
            Recipient(
                contact_id=row.contact_id,
                owner=row.owner,
                channel=row.channel,
                role=row.role,
                position=row.position,
                origin=row.origin,
                fingerprint=row.fingerprint,
                severities=None if row.severities is None else frozenset(row.severities),
            )
        )
    silences: dict[str, list[Silence]] = {}
    for row in connection.execute(_SILENCES, values):
        silences.setdefault(row.owner, []).append(
            Silence(row.silence_id, frozenset(row.severities), row.starts_at, row.ends_at)
        )
    wanted = {row.owner: row for row in connection.execute(_PREFERENCES, values)}
    return {
        owner: _preferences(wanted.get(owner), tuple(recipients.get(owner, ())), tuple(silences.get(owner, ())))
        for owner in owners
    }


def _preferences(row: Any, recipients: tuple[Recipient, ...], silences: tuple[Silence, ...]) -> Preferences:
    if row is None:
        return Preferences(recipients=recipients, silences=silences)
    return Preferences(recipients, row.time_zone, row.quiet_start, row.quiet_end, row.digest_minutes, silences)


def _read_buckets(
    connection: Connection, preferences: Iterable[Preferences], rules: Rules, now: datetime
) -> dict[tuple[str, str], Bucket]:
    keys = sorted(
        {
            (each.channel, each.fingerprint)
            for wanted in preferences
            for each in wanted.recipients
            if each.channel in PEOPLE_CHANNELS
        }
    )
    buckets = {key: Bucket(Decimal(rules.bucket_size), now) for key in keys}
    if keys:
        values = {"channels": [key[0] for key in keys], "fingerprints": [key[1] for key in keys]}
        for row in connection.execute(_BUCKETS, values):
            buckets[row.channel, row.fingerprint] = Bucket(row.tokens, row.at)
    return buckets


def keep_buckets(connection: Connection, buckets: Mapping[tuple[str, str], Bucket]) -> None:
    """Write the buckets that were used."""
    used = sorted((key, bucket) for key, bucket in buckets.items() if bucket.is_changed)
    if used:
        values = {
            "channels": [key[0] for key, _ in used],
            "fingerprints": [key[1] for key, _ in used],
            "tokens": [bucket.tokens for _, bucket in used],
            "ats": [bucket.at for _, bucket in used],
        }
        connection.execute(_KEEP_BUCKETS, values)


def inhibited_by(connection: Connection, liquidations: Sequence[AlertEvent]) -> dict[str, str]:
    """Pending warnings and calls of the episodes that these liquidations worsen, with the reason to end them."""
    if not liquidations:
        return {}
    values = {
        "accounts": [event.account_id for event in liquidations],
        "episodes": [event.episode_id for event in liquidations],
        "event_ids": [event.event_id for event in liquidations],
        "severities": list(INHIBITED_BY_LIQUIDATION),
        "channels": sorted(PEOPLE_CHANNELS),
    }
    return {
        row.notification_id: f"inhibited by liquidation {row.event_id}"
        for row in connection.execute(_INHIBITED, values)
    }


def close_escalations(connection: Connection, events: Sequence[AlertEvent], now: datetime) -> None:
    """A liquidation has an escalation of its own, and a recovery needs none: the episode's earlier ones end."""
    outcomes = {"liquidation": "superseded", "recovered": "recovered"}
    ending = [event for event in events if event.severity in outcomes and event.account_id is not None]
    if ending:
        values = {
            "accounts": [event.account_id for event in ending],
            "episodes": [event.episode_id for event in ending],
            "outcomes": [outcomes[event.severity] for event in ending],
            "now": now,
        }
        connection.execute(_CLOSE_ESCALATIONS, values)


def open_escalations(connection: Connection, due_at: Mapping[str, datetime]) -> None:
    """Note by when somebody must have accepted each event."""
    if due_at:
        keys = sorted(due_at)
        connection.execute(_OPEN_ESCALATIONS, {"event_ids": keys, "due_at": [due_at[key] for key in keys]})

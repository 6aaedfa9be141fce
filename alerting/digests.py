"""Which digest a held notification goes into: one that nobody has begun to send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from alerting.ledger import notification_id
from alerting.policy_model import Digest

# Windows after the wanted one in which a digest is looked for that nobody has begun to send.
DIGEST_WINDOWS = 20

# A digest that somebody has begun to send takes nothing more.
_OPEN_DIGESTS = text(
    """
    select notifications.event_id
    from alerting.pending
    inner join alerting.notifications using (notification_id)
    where
        notifications.event_id = any(cast(:event_ids as text[]))
        and pending.attempts = 0
        and pending.claimed_until is null
    order by notifications.event_id
    for update of pending
    """
)
_KNOWN_DIGESTS = text(
    """
    select event_id, notification_id
    from alerting.notifications
    where event_id = any(cast(:event_ids as text[]))
    """
)


def open_digests(
    connection: Connection, wanted: Iterable[Digest]
) -> tuple[dict[str, tuple[Digest, str]], list[Digest]]:
    """For each wanted digest one that still takes members, with its notification's id, and those that are to be made.

    The first is the wanted one, or the next window's where its sending has begun. Its row stays locked until the
    transaction ends, so that nobody begins meanwhile.
    """
    chosen: dict[str, tuple[Digest, str]] = {}
    new: dict[str, Digest] = {}

    def make(key: str, digest: Digest) -> None:
        made = new.setdefault(digest.event_id, digest)
        chosen[key] = (made, notification_id(made.event_id, made.channel, made.recipient.contact_id))

    trying = {digest.event_id: digest for digest in wanted}
    for _ in range(DIGEST_WINDOWS):
        if not trying:
            break
        values = {"event_ids": sorted({digest.event_id for digest in trying.values()})}
        known = digest_notifications(connection, values["event_ids"])
        is_open: set[str] = set(connection.execute(_OPEN_DIGESTS, values).scalars())
        later: dict[str, Digest] = {}
        for key, digest in trying.items():
            if digest.event_id not in known:
                make(key, digest)
            elif digest.event_id in is_open:
                chosen[key] = (digest, known[digest.event_id])
            else:
                later[key] = digest.following()
        trying = later
    for key, digest in trying.items():
        make(key, digest)
    return chosen, list(new.values())


def digest_notifications(connection: Connection, event_ids: Sequence[str]) -> dict[str, str]:
    """The notification of each digest that is recorded, by the digest's event id."""
    values = {"event_ids": list(event_ids)}
    return {row.event_id: row.notification_id for row in connection.execute(_KNOWN_DIGESTS, values)}

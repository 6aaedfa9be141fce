"""What officers decided about the same hit before: the same person, list entry, and content of the entry.

A clearance counts until its day, and only while the person is still known by the names that were screened then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from compliance.screening.model import Hit, HitState

HitKey = tuple[str, str, str]

_KNOWN = text(
    """
    select
        hits.hit_id, hits.list_name, hits.entry_id, hits.entry_hash, hits.state, hits.case_id, hits.decided_at,
        hits.decided_by, hits.decision_reason, hits.cleared_until, screenings.subject_hash
    from compliance.screening_hits as hits
    inner join compliance.screenings using (screening_id)
    inner join unnest(cast(:list_names as text[]), cast(:entry_ids as text[]), cast(:entry_hashes as text[]))
        as given (list_name, entry_id, entry_hash)
        on
            hits.list_name = given.list_name
            and hits.entry_id = given.entry_id
            and hits.entry_hash = given.entry_hash
    where hits.user_id = :user_id and hits.state != 'remembered'
    order by coalesce(hits.decided_at, screenings.screened_at), hits.hit_id
    """
)
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('compliance.screening:' || :user_id, 0))")
_FACTS = text(
    """
    select
        users.name_hash,
        (
            select case_id
            from compliance.cases
            where kind = 'screening' and subject_id = users.user_id and state != 'closed'
        ) as open_case_id
    from compliance.users
    where users.user_id = :user_id
    """
)


@dataclass(frozen=True, slots=True)
class Earlier:
    """The last word on a hit: an officer's decision, or that it still waits for one."""

    hit_id: str
    state: HitState
    case_id: str | None
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    cleared_until: datetime | None
    subject_hash: str

    def clears(self, now: datetime, subject_hash: str) -> bool:
        """Whether it is a clearance that counts now for a person of these names."""
        return (
            self.state is HitState.CLEARED
            and self.cleared_until is not None
            and self.cleared_until > now
            and self.subject_hash == subject_hash
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What is stored of a customer: the keyed hash of the name, and the open case of screening."""

    name_hash: str
    open_case_id: str | None


def lock_facts(connection: Connection, user_id: str) -> Facts:
    """The customer's facts; two screenings of a customer follow one another until the transaction ends.

    The customer's row is not locked: whoever holds the chain may wait for it, and appending comes after this.
    """
    connection.execute(_LOCK, {"user_id": user_id})
    row = connection.execute(_FACTS, {"user_id": user_id}).one()
    return Facts(row.name_hash, row.open_case_id)


def earlier_words(connection: Connection, user_id: str, hits: Sequence[Hit]) -> Mapping[HitKey, Earlier]:
    """The last word on each of the hits that was a hit of this person before."""
    if not hits:
        return {}
    values = {
        "user_id": user_id,
        "list_names": [hit.list_name for hit in hits],
        "entry_ids": [hit.entry_id for hit in hits],
        "entry_hashes": [hit.entry_hash for hit in hits],
    }
    found: dict[HitKey, Earlier] = {}
    for row in connection.execute(_KNOWN, values):
        found[(row.list_name, row.entry_id, row.entry_hash)] = Earlier(
            row.hit_id,
            HitState(row.state),
            row.case_id,
            row.decided_at,
            row.decided_by,
            row.decision_reason,
            row.cleared_until,
            row.subject_hash,
        )
    return found


def hit_key(hit: Hit) -> HitKey:
    """What makes two hits of one person the same."""
    return hit.list_name, hit.entry_id, hit.entry_hash

"""Hits of screenings as officers decide them, each with a decision in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, text

from compliance.chain import append_decision
from compliance.model import Actor

Verdict = Literal["cleared", "confirmed"]
_COLUMNS = """
    h.hit_id, h.screening_id, h.list_name, h.list_version_id, h.entry_id, h.entry_hash, h.score, h.state, h.case_id,
    s.policy_version
"""
_READ = f"""
    select {_COLUMNS}, e.topics
    from compliance.screening_hits as h
    inner join compliance.screenings as s on s.screening_id = h.screening_id
    left join compliance.list_entries as e on e.list_version_id = h.list_version_id and e.entry_id = h.entry_id
"""  # noqa: S608 -- the columns are a constant
_READ_HIT = text(f"{_READ} where h.hit_id = :hit_id")
_OPEN_OF_CASE = text(f"{_READ} where h.case_id = :case_id and h.state = 'open' order by h.hit_id for update of h")
# The same entry may have been found again while the case waited; one decision is for all of it.
_DECIDE = text(
    """
    update compliance.screening_hits
    set
        state = :state,
        decided_at = :at,
        decided_by = :decided_by,
        decision_reason = :reason,
        cleared_until = :cleared_until
    where
        state = 'open'
        and (
            hit_id = :hit_id
            or (case_id = :case_id and list_name = :list_name and entry_id = :entry_id and entry_hash = :entry_hash)
        )
    """
)


@dataclass(frozen=True, slots=True)
class StoredHit:
    """A hit; `topics` None where the list's entry is not known any more."""

    hit_id: str
    screening_id: str
    list_name: str
    list_version_id: str
    entry_id: str
    entry_hash: str
    score: Any
    state: str
    case_id: str | None
    policy_version: str
    topics: list[str] | None

    def needs_four_eyes(self, blocking: tuple[str, ...]) -> bool:
        """Whether two people must clear it: a sanction, or what cannot be told."""
        return self.topics is None or not set(self.topics).isdisjoint(blocking)


def read_hit(connection: Connection, hit_id: str) -> StoredHit | None:
    """The hit; None for one that is not there."""
    row = connection.execute(_READ_HIT, {"hit_id": hit_id}).mappings().one_or_none()
    return StoredHit(**row) if row is not None else None


def open_hits(connection: Connection, case_id: str) -> list[StoredHit]:
    """The hits of a case that nobody decided, held until the transaction ends."""
    return [StoredHit(**row) for row in connection.execute(_OPEN_OF_CASE, {"case_id": case_id}).mappings()]


def decide_hit(
    connection: Connection,
    hit: StoredHit,
    verdict: Verdict,
    actor: Actor,
    reason: str,
    at: datetime,
    cleared_until: datetime | None,
) -> bool:
    """Decide a hit that is open and record it; False for one that was decided before."""
    values = {
        "hit_id": hit.hit_id,
        "case_id": hit.case_id,
        "list_name": hit.list_name,
        "entry_id": hit.entry_id,
        "entry_hash": hit.entry_hash,
        "state": verdict,
        "at": at,
        "decided_by": actor.name,
        "reason": reason,
        "cleared_until": cleared_until,
    }
    if connection.execute(_DECIDE, values).rowcount == 0:
        return False
    append_decision(
        connection,
        subject_kind="screening_hit",
        subject_id=hit.hit_id,
        outcome=verdict,
        reason=reason,
        actor=actor,
        policy_version=hit.policy_version,
        list_versions={hit.list_name: hit.list_version_id},
        evidence={
            "screening_id": hit.screening_id,
            "entry_id": hit.entry_id,
            "entry_hash": hit.entry_hash,
            "score": hit.score,
            "case_id": hit.case_id,
            "cleared_until": cleared_until,
        },
        at=at,
    )
    return True

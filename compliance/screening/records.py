"""Stores a customer's screening: the screening, its hits, what was decided before, one case for what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from compliance.model import SYSTEM
from compliance.policy.model import Policy, PolicyScreening
from compliance.screening.exposure import HANDLING, is_exposure, is_recorded_only
from compliance.screening.hit_memory import Earlier, earlier_words, hit_key, lock_facts
from compliance.screening.model import (
    Hit,
    HitState,
    NameScreening,
    RecordedHit,
    ScreeningOutcome,
    ScreeningRecord,
)
from compliance.users import User
from infra.runtime.ids import stable_id

SCREENING_CASE = "screening"
_STORE = text(
    """
    insert into compliance.screenings
        (screening_id, subject_kind, user_id, subject_hash, outcome, reason, list_versions, policy_version, trigger,
        screened_at)
    values
        (:screening_id, 'user', :user_id, :subject_hash, :outcome, :reason, cast(:list_versions as jsonb),
        :policy_version, :trigger, :screened_at)
    on conflict do nothing
    """
)
_STORE_HITS = text(
    """
    insert into compliance.screening_hits
        (hit_id, screening_id, user_id, list_name, list_version_id, entry_id, entry_hash, score, rank, reasons, state,
        case_id, decided_at, decided_by, decision_reason, cleared_until)
    select
        hit_id, screening_id, user_id, list_name, list_version_id, entry_id, entry_hash, score, rank, reasons, state,
        case_id, decided_at, decided_by, decision_reason, cleared_until
    from jsonb_to_recordset(cast(:rows as jsonb)) as given (
        hit_id text, screening_id text, user_id text, list_name text, list_version_id text, entry_id text,
        entry_hash text, score numeric, rank integer, reasons jsonb, state text, case_id text, decided_at timestamptz,
        decided_by text, decision_reason text, cleared_until timestamptz
    )
    order by hit_id
    on conflict do nothing
    """
)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A hit with the state it begins in, and the earlier decision that it follows from."""

    hit_id: str
    hit: Hit
    state: HitState
    earlier: Earlier | None
    is_exposure: bool
    is_recorded_only: bool

    @property
    def is_new(self) -> bool:
        """Whether nobody has been told of it; what was only recorded before belongs to no case."""
        is_told = self.earlier is not None and self.earlier.state is HitState.OPEN and self.earlier.case_id is not None
        return self.state is HitState.OPEN and not self.is_recorded_only and not is_told

    @property
    def holds(self) -> bool:
        """Whether it keeps the customer from being clear."""
        return self.state is not HitState.REMEMBERED and not self.is_recorded_only


def record_user(
    connection: Connection,
    user: User,
    screening: NameScreening,
    policy: Policy,
    trigger: str,
    at: datetime,
) -> ScreeningRecord:
    """Store what was found in the caller's transaction; the same screening of the same time is stored once.

    Hits that wait for an officer already lead to no second case. Only what is new opens one, or is added to the open
    one. A clear outcome is appended to the record of decisions.
    """
    facts = lock_facts(connection, user.user_id)
    screening_id = stable_id(
        "scr", user.user_id, trigger, policy.version, json.dumps(dict(screening.list_versions), sort_keys=True), at
    )
    earlier = earlier_words(connection, user.user_id, screening.hits)
    judged = [
        _judge(screening_id, hit, earlier.get(hit_key(hit)), at, facts.name_hash, policy.screening)
        for hit in screening.hits
    ]
    outcome, reason = _outcome(screening, judged, policy.screening.limit)
    is_exposed = outcome is ScreeningOutcome.HIT and screening.reason is None and _is_confirmed_exposure(judged)
    if is_exposed:
        reason = "A politically exposed person, as an officer confirmed: an officer approves, no provider alone."
    judged = _shown(judged, policy.screening.limit)
    new = [each for each in judged if each.is_new]
    case_id = facts.open_case_id
    if new:
        case_id = _open_case(connection, user, screening_id, new, policy, at)
    values = {
        "screening_id": screening_id,
        "user_id": user.user_id,
        "subject_hash": facts.name_hash,
        "outcome": outcome.value,
        "reason": reason,
        "list_versions": json.dumps(dict(screening.list_versions)),
        "policy_version": policy.version,
        "trigger": trigger,
        "screened_at": at,
    }
    connection.execute(_STORE, values)
    recorded = [RecordedHit(each.hit_id, each.hit, each.state, _case_of(each, case_id)) for each in judged]
    if judged:
        rows = [_row(user.user_id, screening_id, each, _case_of(each, case_id)) for each in judged]
        connection.execute(_STORE_HITS, {"rows": json.dumps(rows)})
    if outcome is ScreeningOutcome.CLEAR:
        _decide_clear(connection, user, screening_id, screening, judged, reason, policy, at)
    is_hit = outcome is ScreeningOutcome.HIT
    return ScreeningRecord(
        screening_id,
        outcome,
        tuple(recorded),
        case_id if is_hit else None,
        screening.list_versions,
        reason,
        new_hits=len(new),
        is_exposed=is_exposed,
    )


def _judge(
    screening_id: str, hit: Hit, earlier: Earlier | None, at: datetime, subject_hash: str, policy: PolicyScreening
) -> _Judged:
    state = HitState.OPEN
    if earlier is not None and earlier.clears(at, subject_hash):
        state = HitState.REMEMBERED
    elif earlier is not None and earlier.state is HitState.CONFIRMED:
        state = HitState.CONFIRMED
    hit_id = stable_id("hit", screening_id, hit.list_name, hit.entry_id)
    return _Judged(hit_id, hit, state, earlier, is_exposure(hit.topics, policy), is_recorded_only(hit.topics, policy))


def _is_confirmed_exposure(judged: Sequence[_Judged]) -> bool:
    """Whether nothing holds the customer but that an officer confirmed who they are."""
    return all(each.is_exposure and each.state is HitState.CONFIRMED for each in judged if each.holds)


def _shown(judged: Sequence[_Judged], limit: int) -> list[_Judged]:
    """All that was decided before, and of what waits for an officer the likeliest."""
    waiting = {each.hit_id for each in [each for each in judged if each.state is HitState.OPEN][:limit]}
    return [each for each in judged if each.state is not HitState.OPEN or each.hit_id in waiting]


def _outcome(screening: NameScreening, judged: Sequence[_Judged], limit: int) -> tuple[ScreeningOutcome, str | None]:
    if screening.outcome is not ScreeningOutcome.HIT:
        return screening.outcome, screening.reason
    # More hits than are shown cannot all have been cleared by anybody.
    if screening.reason is None and not any(each.holds for each in judged):
        return ScreeningOutcome.CLEAR, _why_clear(judged)
    waiting = sum(each.state is HitState.OPEN and each.holds for each in judged)
    if screening.reason is None and waiting > limit:
        return ScreeningOutcome.HIT, f"{waiting} hits wait for an officer, of which the likeliest {limit} are shown."
    return ScreeningOutcome.HIT, screening.reason


def _why_clear(judged: Sequence[_Judged]) -> str:
    count, recorded = len(judged), sum(each.is_recorded_only for each in judged)
    if recorded:
        rest = "; officers cleared the others before" if recorded < count else ""
        return f"{recorded} of {count} hits are politically exposed persons, whom the policy only records{rest}."
    what = "The only hit was" if count == 1 else f"All {count} hits were"
    return f"{what} cleared by an officer before, and the entries have not changed."


def _case_of(judged: _Judged, case_id: str | None) -> str | None:
    """An open hit belongs to the open case; one that was decided to the case it was decided in."""
    if judged.state is HitState.OPEN:
        return None if judged.is_recorded_only else case_id
    return judged.earlier.case_id if judged.earlier is not None else None


def _row(user_id: str, screening_id: str, judged: _Judged, case_id: str | None) -> dict[str, Any]:
    hit, reasons = judged.hit, list(judged.hit.reasons)
    row: dict[str, Any] = {
        "hit_id": judged.hit_id,
        "screening_id": screening_id,
        "user_id": user_id,
        "list_name": hit.list_name,
        "list_version_id": hit.list_version_id,
        "entry_id": hit.entry_id,
        "entry_hash": hit.entry_hash,
        "score": hit.score,
        "rank": hit.rank,
        "state": judged.state.value,
        "case_id": case_id,
    }
    earlier = judged.earlier
    if judged.state is not HitState.OPEN and earlier is not None and earlier.decided_at is not None:
        what = "cleared" if judged.state is HitState.REMEMBERED else "confirmed"
        until = f", until {earlier.cleared_until:%Y-%m-%d}" if earlier.cleared_until is not None else ""
        reasons.insert(0, f"Before: {what} on {earlier.decided_at:%Y-%m-%d} as hit {earlier.hit_id}{until}.")
        row |= {
            "decided_at": earlier.decided_at.isoformat(),
            "decided_by": earlier.decided_by,
            "decision_reason": earlier.decision_reason,
            "cleared_until": earlier.cleared_until.isoformat() if earlier.cleared_until is not None else None,
        }
    elif earlier is not None and earlier.state is HitState.CLEARED:
        reasons.insert(0, f"Before: cleared as hit {earlier.hit_id}, which does not count any more (time or names).")
    return row | {"reasons": reasons}


def _open_case(
    connection: Connection,
    user: User,
    screening_id: str,
    new: Sequence[_Judged],
    policy: Policy,
    at: datetime,
) -> str:
    from compliance.cases import open_case

    blocking = set(policy.screening.topics_block)
    priority = "urgent" if any(blocking & set(each.hit.topics) for each in new) else "normal"
    lists = ", ".join(sorted({each.hit.list_name for each in new}))
    body: Mapping[str, Any] = {
        "screening_id": screening_id,
        "policy_version": policy.version,
        "hits": [
            {
                "hit_id": each.hit_id,
                "list_name": each.hit.list_name,
                "entry_id": each.hit.entry_id,
                "score": each.hit.score,
                "rank": each.hit.rank,
            }
            for each in new
        ],
    }
    title = f"{len(new)} possible {'match' if len(new) == 1 else 'matches'} on {lists}"
    if all(each.is_exposure for each in new):
        title += ": politically exposed"
        body = {**body, "handling": HANDLING}
    return open_case(
        connection,
        kind=SCREENING_CASE,
        subject_id=user.user_id,
        title=title,
        priority=priority,
        sla=policy.sla.due_in("screening", priority),
        at=at,
        account_id=user.account_id,
        user_id=user.user_id,
        body=body,
    )


def _decide_clear(
    connection: Connection,
    user: User,
    screening_id: str,
    screening: NameScreening,
    judged: Sequence[_Judged],
    reason: str | None,
    policy: Policy,
    at: datetime,
) -> None:
    from compliance.chain import append_decision

    append_decision(
        connection,
        subject_kind="screening",
        subject_id=user.user_id,
        outcome=ScreeningOutcome.CLEAR.value,
        reason=reason or "No entry of the active lists matches.",
        actor=SYSTEM,
        policy_version=policy.version,
        list_versions=screening.list_versions,
        evidence={
            "screening_id": screening_id,
            "threshold": policy.screening.threshold,
            "remembered": [
                each.earlier.hit_id for each in judged if each.state is HitState.REMEMBERED and each.earlier is not None
            ],
            "exposure": [each.hit_id for each in judged if each.is_recorded_only],
        },
        at=at,
    )

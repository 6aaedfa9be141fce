"""By which lists each customer was screened last, and what the nightly run before has covered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

SUBJECT_KIND = "rescreening"
COMPLETED = "completed"
# A screening that was stored while the last run read customers may have been missed by it.
OVERLAP = timedelta(hours=1)
_LAST_RUN = text(
    """
    select list_versions, evidence
    from compliance.decisions
    where subject_kind = 'rescreening' and outcome = 'completed'
    order by sequence desc
    limit 1
    """
)
_LATEST = text(
    """
    select
        users.user_id, latest.list_versions, latest.policy_version, latest.screened_at,
        coalesce(latest.outcome = 'error' or latest.subject_hash != users.name_hash, true)
        or exists (
            select
            from compliance.screening_hits as hits
            where
                hits.user_id = users.user_id
                and hits.state = 'cleared'
                and hits.cleared_until <= :now
                and hits.cleared_until > latest.screened_at
        ) as is_due
    from compliance.users
    left join lateral (
        select list_versions, policy_version, screened_at, outcome, subject_hash
        from compliance.screenings
        where screenings.user_id = users.user_id
        order by screened_at desc, screening_id
        limit 1
    ) as latest on true
    where users.user_id = any(cast(:user_ids as text[]))
    """
)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run that ended: by which versions and threshold it has compared all customers of its time."""

    list_versions: Mapping[str, str]
    threshold: Decimal
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Latest:
    """A customer's latest screening.

    `is_due`: there is none, it failed, it was of another name, or a clearance has run out since.
    """

    user_id: str
    list_versions: Mapping[str, str] | None
    policy_version: str | None
    screened_at: datetime | None
    is_due: bool


def last_run(connection: Connection) -> LastRun | None:
    """The last run that ended, from the record of decisions."""
    row = connection.execute(_LAST_RUN).one_or_none()
    if row is None:
        return None
    evidence = row.evidence
    return LastRun(
        row.list_versions, Decimal(str(evidence["threshold"])), datetime.fromisoformat(evidence["started_at"])
    )


def latest_screenings(connection: Connection, user_ids: Sequence[str], now: datetime) -> dict[str, Latest]:
    """Customer to latest screening."""
    rows = connection.execute(_LATEST, {"user_ids": list(user_ids), "now": now}).mappings()
    return {row["user_id"]: Latest(**row) for row in rows}


def known_versions(
    latest: Latest, last: LastRun | None, versions: Mapping[str, str], policy_version: str, threshold: Decimal
) -> Mapping[str, str]:
    """The versions that the customer has been compared with, from which on only changes matter; empty: with none.

    With a lower threshold than before, entries that nobody saw as hits may be some: all are compared again.
    """
    if latest.list_versions is None or latest.screened_at is None:
        return {}
    if latest.list_versions == versions and latest.policy_version == policy_version:
        return versions
    if last is None:
        return latest.list_versions if latest.policy_version == policy_version else {}
    if threshold < last.threshold:
        return {}
    return last.list_versions if latest.screened_at < last.started_at - OVERLAP else latest.list_versions

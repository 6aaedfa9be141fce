"""What the record holds of a case's transaction, hits and checks, for the people who work on the case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

MAX_HITS = 100
MAX_CHECKS = 200

# An entry that was found again while the case waits is shown once, as it was found last; the user leads to the rows.
_HITS = text(
    """
    with found as (
        select distinct on (h.list_name, h.entry_id, h.entry_hash)
            h.hit_id, h.list_name, h.list_version_id, h.entry_id, h.score, h.rank, h.reasons, h.state, h.decided_by,
            h.decided_at, h.decision_reason, h.cleared_until, s.screened_at, e.kind as listed_kind, e.topics, e.names,
            e.details
        from compliance.screening_hits as h
        inner join compliance.screenings as s on s.screening_id = h.screening_id
        left join compliance.list_entries as e on e.list_version_id = h.list_version_id and e.entry_id = h.entry_id
        where h.user_id = :user_id and h.case_id = :case_id and h.state != 'remembered'
        order by h.list_name, h.entry_id, h.entry_hash, (h.state = 'open') desc, s.screened_at desc, h.hit_id
    )

    select * from found
    order by rank, hit_id
    limit :max_rows
    """
)
# The last ones count; they are shown oldest first.
_CHECKS = text(
    """
    with last as (
        select check_id, provider, source, external_id, provider_status, verdict, occurred_at, received_at, payload
        from compliance.kyc_checks
        where kyc_case_id = :kyc_case_id
        order by received_at desc, check_id desc
        limit :max_rows
    )

    select * from last
    order by received_at, check_id
    """
)
_KIND = text("select kind from compliance.users where user_id = :user_id")

Row = Mapping[str, Any]


def hits_of_case(connection: Connection, case_id: str, user_id: str) -> tuple[Sequence[Row], bool]:
    """The hits that the case is about, the likeliest first, and whether there are more than are given."""
    values = {"case_id": case_id, "user_id": user_id, "max_rows": MAX_HITS + 1}
    rows = [dict(row) for row in connection.execute(_HITS, values).mappings()]
    return rows[:MAX_HITS], len(rows) > MAX_HITS


def checks_of(connection: Connection, kyc_case_id: str) -> Sequence[Row]:
    """The last answers on a verification, oldest first."""
    values = {"kyc_case_id": kyc_case_id, "max_rows": MAX_CHECKS}
    return [dict(row) for row in connection.execute(_CHECKS, values).mappings()]


def kind_of_user(connection: Connection, user_id: str) -> str | None:
    """Whether the customer is a person or a company."""
    found: str | None = connection.execute(_KIND, {"user_id": user_id}).scalar_one_or_none()
    return found

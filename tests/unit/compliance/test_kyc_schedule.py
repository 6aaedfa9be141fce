"""When providers are asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from compliance.kyc.model import DECIDED, KycState
from compliance.kyc.schedule import SELDOM, SLOWEST, WAITING_EVERY, next_poll

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def offsets(state: KycState, until: timedelta, submitted: datetime | None) -> list[float]:
    """Seconds after `AT` at which a case is asked about."""
    found, now = [], AT
    while now - AT < until:
        due = next_poll(state, now, created_at=AT, submitted_at=submitted)
        assert due is not None
        assert due > now
        found.append((due - AT).total_seconds())
        now = due
    return found


def test_next_poll__an_automatic_decision_is_seen_within_thirty_seconds_of_submission() -> None:
    assert offsets(KycState.SUBMITTED, timedelta(seconds=30), AT) == [2, 5, 10, 15, 20, 25, 30]


def test_next_poll__a_submission_whose_webhook_was_lost_is_seen_in_time() -> None:
    # Handed in just after a look, it is seen at the next one, when the decision may be there already.
    seen = AT + WAITING_EVERY
    due = next_poll(KycState.SUBMITTED, seen, created_at=AT, submitted_at=AT)
    assert due is not None
    assert due - AT <= timedelta(seconds=20)


def test_next_poll__gets_slower_and_never_ends_while_a_provider_decides() -> None:
    day = timedelta(days=1)
    assert next_poll(KycState.SUBMITTED, AT + day, created_at=AT, submitted_at=AT) == AT + day + SLOWEST
    assert next_poll(KycState.IN_REVIEW, AT + day, created_at=AT, submitted_at=AT) == AT + day + SLOWEST
    assert next_poll(KycState.IN_REVIEW, AT, created_at=AT, submitted_at=None) == AT + SELDOM
    hour = timedelta(hours=1)
    assert next_poll(KycState.PENDING, AT + hour, created_at=AT, submitted_at=None) == AT + hour + SELDOM
    assert next_poll(KycState.PENDING, AT + day, created_at=AT, submitted_at=None) == AT + day + SLOWEST


@pytest.mark.parametrize("state", sorted(DECIDED))
def test_next_poll__what_has_ended_is_not_asked_about(state: KycState) -> None:
    assert next_poll(state, AT, created_at=AT, submitted_at=AT) is None

"""What reports say of a notification, in whatever order they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.callbacks.outcomes import TRANSITIONS, Provider, Report, needs_history, next_state, outcome, verdict
from alerting.tables import NotificationState as State

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
SENDGRID = ("processed", "delivered", "bounce", "blocked", "dropped", "deferred", "open", "invented")
TWILIO = ("queued", "sent", "delivered", "undelivered", "failed", "canceled", "read", "invented")


def report(kind: str, second: int = 0, provider: Provider = Provider.SENDGRID) -> Report:
    return Report(provider, kind, START + timedelta(seconds=second))


@pytest.mark.parametrize(
    ("provider", "kind", "expected"),
    [
        (Provider.SENDGRID, "processed", State.ACCEPTED),
        (Provider.SENDGRID, "delivered", State.DELIVERED),
        (Provider.SENDGRID, "bounce", State.FAILED),
        (Provider.SENDGRID, "blocked", State.FAILED),
        (Provider.SENDGRID, "dropped", State.FAILED),
        *((Provider.SENDGRID, kind, None) for kind in ("deferred", "open", "click", "spamreport", "unsubscribe")),
        *((Provider.SENDGRID, kind, None) for kind in ("unknown", "Delivered", "sent", "")),
        *((Provider.TWILIO, kind, State.ACCEPTED) for kind in ("queued", "accepted", "sending", "sent")),
        (Provider.TWILIO, "delivered", State.DELIVERED),
        *((Provider.TWILIO, kind, State.FAILED) for kind in ("undelivered", "failed", "canceled")),
        *((Provider.TWILIO, kind, None) for kind in ("read", "scheduled", "unknown", "processed", "")),
    ],
)
def test_outcome__follows_the_provider_s_word(provider: Provider, kind: str, expected: State | None) -> None:
    assert outcome(provider, kind) is expected


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], None),
        ([report("deferred"), report("open")], None),
        ([report("processed")], State.ACCEPTED),
        ([report("processed", 1), report("bounce", 0)], State.FAILED),
        ([report("processed", 9), report("delivered", 1)], State.DELIVERED),
        ([report("delivered", 1), report("bounce", 2)], State.FAILED),
        ([report("delivered", 1), report("bounce", 1)], State.FAILED),
        ([report("delivered", 2), report("bounce", 1)], State.DELIVERED),
        ([report("delivered", 1), report("bounce", 2), report("delivered", 3)], State.DELIVERED),
        ([report("delivered", 1), report("dropped", 2)], State.DELIVERED),
        ([report("sent", 0, Provider.TWILIO), report("failed", 0, Provider.TWILIO)], State.FAILED),
        ([report("delivered", 0, Provider.TWILIO), report("undelivered", 9, Provider.TWILIO)], State.DELIVERED),
    ],
)
def test_verdict__does_not_depend_on_the_order(reports: list[Report], expected: State | None) -> None:
    for order in permutations(reports):
        assert verdict(order) is expected


def test_transitions__are_told_for_every_state_and_leave_what_is_suppressed() -> None:
    assert set(TRANSITIONS) == {None, State.ACCEPTED, State.DELIVERED, State.FAILED, State.SUPPRESSED}
    for current, moves in TRANSITIONS.items():
        assert current not in moves.values()
        assert all(after is found for found, after in moves.items())
        assert next_state(current, None) is None
    assert TRANSITIONS[State.SUPPRESSED] == {}
    assert next_state(State.DELIVERED, State.ACCEPTED) is None


reports_of_one = st.one_of(
    *(
        st.lists(st.builds(report, st.sampled_from(kinds), st.integers(0, 3), st.just(provider)), max_size=6)
        for provider, kinds in ((Provider.SENDGRID, SENDGRID), (Provider.TWILIO, TWILIO))
    )
)


@given(reports_of_one, st.data())
def test_next_state__batches_in_any_order_end_where_all_reports_together_do(
    reports: list[Report], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(reports))
    state: State | None = None
    told: list[Report] = []
    while order:
        cut = data.draw(st.integers(1, len(order)))
        batch, order = order[:cut], order[cut:]
        told += batch
        known = told if needs_history(state, verdict(batch)) else batch
        state = next_state(state, verdict(known)) or state
    assert state is verdict(reports)

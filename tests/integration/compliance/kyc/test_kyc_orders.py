"""Whatever the order and repetition of webhooks and polls, a case ends in the same state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from compliance.kyc.model import DECIDED, KycState
from infra.embedded.kyc.database import Subject
from infra.embedded.kyc.testing import SignedWebhook

# Apart by more than the second that a look at Sumsub is exact to.
STEP_S = 5.0
PERSONA = ("pending", "completed", "needs_review", "approved", "declined", "failed", "expired", "brand_new")
RED = {"reviewAnswer": "RED", "reviewRejectType": "FINAL"}
SUMSUB: dict[str, dict[str, Any]] = {
    "init": {"reviewStatus": "init"},
    "pending": {"reviewStatus": "pending"},
    "hold": {"reviewStatus": "onHold"},
    "approved": {"reviewStatus": "completed", "reviewResult": {"reviewAnswer": "GREEN"}},
    "red": {"reviewStatus": "completed", "reviewResult": RED},
    "retry": {"reviewStatus": "completed", "reviewResult": {**RED, "reviewRejectType": "RETRY"}},
    "early": {"reviewStatus": "awaitingService", "reviewResult": {"reviewAnswer": "GREEN"}},
}
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
Advance = Callable[[str, float, Subject], SignedWebhook]


def histories(words: Sequence[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=4)


@FEW
@given(history=histories(PERSONA), order=st.randoms(use_true_random=False), auto_decline=st.booleans())
def test_orders__of_personas_news(desk: Any, history: list[str], order: Any, auto_decline: bool) -> None:
    def advance(word: str, after_s: float, subject: Subject) -> SignedWebhook:
        return desk.local.inquiry(word, after_s, subject=subject)  # type: ignore[no-any-return]

    same_state_in_any_order(desk, "persona", advance, history, order, auto_decline)


@FEW
@given(history=histories(tuple(SUMSUB)), order=st.randoms(use_true_random=False), auto_decline=st.booleans())
def test_orders__of_sumsubs_news(desk: Any, history: list[str], order: Any, auto_decline: bool) -> None:
    def advance(word: str, after_s: float, subject: Subject) -> SignedWebhook:
        return desk.local.applicant(after_s, subject=subject, **SUMSUB[word])  # type: ignore[no-any-return]

    same_state_in_any_order(desk, "sumsub", advance, history, order, auto_decline)


def same_state_in_any_order(
    desk: Any, provider: str, advance: Advance, history: list[str], order: Any, auto_decline: bool
) -> None:
    desk.policies.auto_decline = auto_decline
    others = {"persona": "sumsub", "sumsub": "persona"}
    desk.local.database.clear()
    desk.local.fail(others[provider], "create", 401, count=9)
    if provider == "sumsub":
        desk.local.fail("persona", "find", 401, count=9)
    with closing(desk.fresh()) as service:
        live, late = (Case(desk, service, provider) for _ in range(2))

        for word in history:
            desk.wait(STEP_S)
            live.heard.append(word)
            webhook = advance(word, 0.0, live.subject)
            live.look()
            live.hear(webhook)
        desk.wait(STEP_S)
        live.look()

        news = [
            (word, advance(word, STEP_S * (place - len(history)), late.subject)) for place, word in enumerate(history)
        ]
        # All of it has happened, and a look sees the last of it.
        late.heard = [*history]
        deliveries: list[Any] = [*news, *order.sample(news, k=min(2, len(news))), None, None]
        order.shuffle(deliveries)
        for delivery in deliveries:
            if delivery is None:
                late.look()
            else:
                late.hear(delivery[1])
        late.look()

        assert late.state() == live.state()
        is_approved = late.state()[0] is KycState.APPROVED
        assert not is_approved or "approved" in history
        assert late.user_state() == live.user_state()


class Case:
    """One case of a customer of its own."""

    number = 0

    def __init__(self, desk: Any, service: Any, provider: str) -> None:
        Case.number += 1
        self.desk, self.service = desk, service
        self.user_id = desk.user(f"order-{Case.number}")
        case = service.start(self.user_id, f"order-{Case.number}")
        assert case.provider == provider
        self.case_id = case.kyc_case_id
        [self.subject] = desk.local.database.subjects(provider, self.case_id)
        self.heard: list[str] = []

    def hear(self, webhook: SignedWebhook) -> None:
        self.service.apply_webhook(webhook.provider, webhook.headers, webhook.body)
        self.check()

    def look(self) -> None:
        """Ask the provider about this case now, if it is asked about at all."""
        with self.desk.engine.begin() as connection:
            connection.execute(
                text(
                    "update compliance.kyc_cases set next_poll_at = case when kyc_case_id = :id then :now"
                    " else cast(:now as timestamptz) + interval '1 day' end where next_poll_at is not null"
                ),
                {"id": self.case_id, "now": self.desk.clock.now()},
            )
        self.service.poll_due(5)
        self.check()

    def check(self) -> None:
        state, _ = self.state()
        if state is KycState.APPROVED:
            assert "approved" in self.heard
            assert self.user_state() == "approved"
        if state in DECIDED | {KycState.IN_REVIEW}:
            assert self.user_state() == state

    def state(self) -> tuple[KycState, str | None]:
        case = self.service.read(self.case_id)
        return case.state, case.state_reason

    def user_state(self) -> str:
        with self.desk.engine.connect() as connection:
            found = connection.execute(
                text("select kyc_state from compliance.users where user_id = :id"), {"id": self.user_id}
            )
            return str(found.scalar_one())


@pytest.fixture(autouse=True)
def _numbers() -> None:
    Case.number = 0

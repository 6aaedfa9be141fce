"""When a provider is asked again, beside its webhooks: a lost webhook costs seconds, not the decision.

One missed delivery of Persona's webhook costs 3 s and two cost 64 s, so that after the customer's submission the
provider is asked at fixed offsets within the 30 s in which an automatic decision is promised, and then ever more
seldom. Before it, often enough to see a submission whose webhook was lost, as long as the customer may be at it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from compliance.kyc.model import KycState

AFTER_SUBMISSION_S = (2, 5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600)
WAITING_EVERY = timedelta(seconds=15)
WAITING_OFTEN_FOR = timedelta(minutes=30)
# Persona ends an inquiry that nobody finishes after a day; Sumsub never does.
WAITING_FOR = timedelta(days=1)
SELDOM = timedelta(minutes=10)
SLOWEST = timedelta(hours=1)


def next_poll(
    state: KycState, now: datetime, *, created_at: datetime, submitted_at: datetime | None
) -> datetime | None:
    """When to ask next; None for a case that has ended, whose provider speaks by webhook only."""
    if state in (KycState.PENDING, KycState.CREATED):
        waited = now - created_at
        return now + (WAITING_EVERY if waited < WAITING_OFTEN_FOR else SELDOM if waited < WAITING_FOR else SLOWEST)
    if state is KycState.IN_REVIEW and submitted_at is None:
        return now + SELDOM
    if state not in (KycState.SUBMITTED, KycState.IN_REVIEW) or submitted_at is None:
        return None
    for offset_s in AFTER_SUBMISSION_S:
        due = submitted_at + timedelta(seconds=offset_s)
        if due > now:
            return due
    return now + SLOWEST

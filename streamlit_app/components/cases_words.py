"""Codes of cases, verifications, rules and lists in words, and the clock of a case's due time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from compliance.api.case_schemas import CaseView
from streamlit_app.components import formats

KIND_WORDS = {"kyc": "KYC", "screening": "Screening", "aml": "AML"}
STATE_WORDS = {
    "open": "Open",
    "assigned": "Assigned",
    "awaiting_approval": "Awaits approval",
    "escalated": "Escalated",
    "closed": "Closed",
}
PRIORITY_WORDS = {"low": "Low", "normal": "Normal", "high": "High", "urgent": "Urgent"}
OUTCOME_WORDS = {
    "released": "release the settlement",
    "rejected": "reject the settlement",
    "cleared": "clear the hits",
    "confirmed": "confirm the hits",
}
EVENT_WORDS = {
    "opened": "Opened",
    "added": "Something new was added",
    "assigned": "Assigned",
    "commented": "Comment",
    "proposed": "Outcome proposed",
    "approved": "Proposal approved, case closed",
    "proposal_rejected": "Proposal rejected",
    "escalated": "Escalated",
    "overdue": "Past its due time",
    "closed": "Closed",
    "sar_draft_exported": "Draft report with personal data was read",
    "personal_data_viewed": "Personal data was read",
}
RULE_OUTCOME_WORDS = {
    "hit": "Hit",
    "no_hit": "Clean",
    "insufficient_history": "Too little history",
    "error": "Could not run",
}
DECISION_WORDS = {
    "accepted": "Accepted",
    "review": "Held for review",
    "blocked": "Blocked",
    "released": "Released by officers",
    "rejected": "Rejected by officers",
}
KYC_STATE_WORDS = {
    "created": "Created",
    "pending": "Waits for the customer",
    "submitted": "Submitted",
    "in_review": "In review",
    "approved": "Approved",
    "declined": "Declined",
    "expired": "Expired",
    "failed": "Failed",
}
VERDICT_WORDS = {
    "approved": "Approves",
    "declined": "Declines",
    "pending": "Not finished",
    "review": "A person must look",
    "expired": "Expired",
    "failed": "Failed",
    "error": "No answer",
}
HIT_STATE_WORDS = {"open": "Open", "cleared": "Cleared", "confirmed": "Confirmed", "remembered": "Cleared before"}
TOPIC_WORDS = {
    "sanction": "Sanctions",
    "role.pep": "Politically exposed",
    "role.rca": "Close to somebody politically exposed",
    "crime": "Crime",
    "poi": "Person of interest",
    "debarment": "Debarred",
}
FACT_WORDS = {
    "reviewStatus": "Review",
    "reviewAnswer": "Answer",
    "rejectLabels": "Documents and checks refused for",
    "reviewRejectType": "Kind of refusal",
    "fault": "Fault",
}
# Classes of the style sheet, told apart by words too.
STATE_CLASSES = {"closed": "none", "escalated": "degraded", "awaiting_approval": "simulated"}
PRIORITY_CLASSES = {"urgent": "liquidation", "high": "degraded"}
RULE_CLASSES = {"hit": "liquidation", "no_hit": "ok", "insufficient_history": "stale", "error": "stale"}
DECISION_CLASSES = {
    "accepted": "ok",
    "released": "ok",
    "review": "degraded",
    "blocked": "liquidation",
    "rejected": "liquidation",
}
VERDICT_CLASSES = {"approved": "ok", "declined": "liquidation", "review": "degraded", "error": "stale"}
HIT_STATE_CLASSES = {"open": "degraded", "cleared": "ok", "confirmed": "liquidation", "remembered": "ok"}
SOON = timedelta(hours=1)


@dataclass(frozen=True)
class Clock:
    """How a case stands to its due time: `kind` is a class of the style sheet, `words` say the same."""

    kind: str
    words: str


def sla_clock(case: CaseView, now: datetime) -> Clock:
    """Time left or overdue; of a closed case whether it was closed in time."""
    left = case.sla_due_at - (case.closed_at or now)
    span = formats.age(abs(left.total_seconds()))
    if case.closed_at is not None:
        late = left < timedelta(0)
        return Clock("liquidation" if late else "ok", f"closed {span} late" if late else "closed in time")
    if left < timedelta(0):
        return Clock("liquidation", f"overdue by {span}")
    return Clock("degraded" if left <= SOON else "ok", f"{span} left")


def proposal_words(outcome: str) -> str:
    """What a proposed outcome means."""
    return OUTCOME_WORDS.get(outcome, outcome.replace("_", " "))


def value_words(name: str, value: Any) -> str:
    """A value of a case's history in one line."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        if name == "proposal":
            return f"{value.get('outcome')} by {value.get('by')}"
        return ", ".join(f"{key} {value_words(str(key), each)}" for key, each in value.items())
    if isinstance(value, list):
        return "; ".join(value_words(name, each) for each in value) or "none"
    text = str(value)
    if name.endswith("_at"):
        return moment_words(text)
    known = {"state": STATE_WORDS, "from_state": STATE_WORDS, "priority": PRIORITY_WORDS}.get(name)
    return formats.words(text, known) if known else text


def moment_words(text: str) -> str:
    """A time as it is written on every page; what is none stays as it is."""
    if len(text) < len("2026-01-31T12:34:56"):
        return text
    try:
        return formats.moment(datetime.fromisoformat(text))
    except ValueError:
        return text


def name_words(name: str) -> str:
    """The name of a field as a person reads it: `sla_due_at` is `due`."""
    return {"sla_due_at": "due", "closed_at": "closed", "subject_id": "subject"}.get(name, name.replace("_", " "))

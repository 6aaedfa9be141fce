"""What a browser's session remembers of the case pages: which version was seen, what was said. No personal data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import streamlit as st

from compliance.api.case_schemas import CaseDetail, CaseList, CaseView
from compliance.api.evidence_schemas import CaseEvidence
from compliance.api.metrics_schemas import MetricsView
from compliance.model import Actor
from streamlit_app.server.session import process_sessions

_QUEUE, _FILE = "cases_queue_state", "cases_file_state"


@dataclass
class QueueState:
    """Where the reader stands in the queue, and what was read last, with when."""

    filters: tuple[tuple[str, object], ...] = ()
    cursors: list[str | None] = field(default_factory=lambda: [None])
    read: CaseList | None = None
    metrics: MetricsView | None = None
    read_at: datetime | None = None


@dataclass
class FileState:
    """One open case: `seen` is what the form answers, `newest` what was read last.

    `seen_checks` are the answers on a verification that were on the page. `nonce` changes when a step is done, which
    empties the form. `conflict` says what changed meanwhile, `done` what was done last, `problem` what the API refused.
    """

    case_id: str
    seen: CaseView | None = None
    seen_checks: tuple[str, ...] | None = None
    newest: CaseDetail | None = None
    read_at: datetime | None = None
    nonce: int = 0
    conflict: str = ""
    done: str = ""
    problem: str = ""

    def look_anew(self, changed: CaseView | None = None) -> None:
        """Let the form answer the case as it was `changed`, or as it is read next."""
        self.seen, self.seen_checks, self.conflict = changed, None, ""

    def see(self, evidence: CaseEvidence | None) -> None:
        """Take what was read for seen, where nothing is yet."""
        self.seen = self.seen or self.newest
        if self.seen_checks is None and evidence is not None and evidence.verification is not None:
            self.seen_checks = tuple(check.check_id for check in evidence.verification.checks)


def queue_state() -> QueueState:
    """The session's place in the queue."""
    found = st.session_state.setdefault(_QUEUE, QueueState())
    assert isinstance(found, QueueState)
    return found


def file_state(case_id: str) -> FileState:
    """The session's state of this case; of another case nothing is kept."""
    found = st.session_state.get(_FILE)
    if not isinstance(found, FileState) or found.case_id != case_id:
        found = st.session_state[_FILE] = FileState(case_id)
    return found


def people() -> tuple[Actor, ...]:
    """Everybody who may use compliance, by name."""
    return process_sessions().people().actors

"""An API of cases in memory for tests of the pages: answers as the real one gives them, refusals on command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from compliance.api.case_schemas import CaseDetail
from compliance.api.evidence_schemas import CaseEvidence
from streamlit_app.api_client import ApiAway, ApiProblem

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
Row = dict[str, Any]
METRICS: Row = {
    "measured_at": NOW.isoformat(),
    "is_ready": True,
    "not_ready_reason": None,
    "kyc": {
        "window_days": 30,
        "by_state": {"pending": 4, "approved": 31},
        "decided": 33,
        "within_target": 30,
        "target_s": 30.0,
        "median_s": 12.0,
        "p95_s": 40.0,
        "waiting": 1,
        "oldest_waiting_s": 9.0,
    },
    "cases": [
        {
            "kind": "aml",
            "open": 7,
            "unassigned": 5,
            "awaiting_approval": 2,
            "escalated": 1,
            "sla_breached": 3,
            "oldest_s": 7260.0,
            "next_due_at": None,
        }
    ],
    "sla_breached": 3,
    "undecided": {"count": 0, "oldest_s": None},
    "held": {"count": 7, "oldest_s": 7260.0},
    "unpublished": {"count": 0, "oldest_s": None},
    "outbox": {"count": 0, "oldest_s": None},
    "lists": [],
    "policy": None,
    "providers": [],
    "ledger": {},
}


def event_row(sequence: int, kind: str, actor: str = "anna", **body: Any) -> Row:
    """One entry of a case's history."""
    return {
        "sequence": sequence,
        "at": (NOW - timedelta(minutes=60 - sequence)).isoformat(),
        "actor": actor,
        "role": "system" if actor == "system" else "analyst",
        "kind": kind,
        "body": {"version": sequence, **body},
        "hash": f"{sequence:064x}",
    }


def case_row(kind: str = "aml", **changes: Any) -> Row:
    """A case with its history."""
    opened = event_row(1, "opened", "system", details={"policy_version": "2026-01", "rule_id": "structuring"})
    row: Row = {
        "case_id": f"cas_{kind}",
        "kind": kind,
        "subject_id": {"aml": "evt-1", "kyc": "kyc_1", "screening": "usr_1"}[kind],
        "account_id": "acct-00001",
        "user_id": "usr_1",
        "title": "Held <b>now</b>",
        "state": "open",
        "priority": "high",
        "assignee": None,
        "proposal": None,
        "outcome": None,
        "sla_due_at": (NOW + timedelta(hours=2)).isoformat(),
        "is_breached": False,
        "opened_at": (NOW - timedelta(hours=1)).isoformat(),
        "closed_at": None,
        "version": 1,
        "history": [opened],
    }
    return row | changes


def proposed_by(name: str, outcome: str = "released") -> Row:
    """What a case that awaits approval has beside the others."""
    proposal = {"outcome": outcome, "reason": "explained", "by": name, "role": "analyst", "at": NOW.isoformat()}
    return {"state": "awaiting_approval", "proposal": proposal, "version": 2}


def evidence_row(case: Row, **parts: Any) -> Row:
    """What a case is about."""
    empty: Row = {"transaction": None, "hits": [], "has_more_hits": False, "verification": None, "is_withheld": False}
    return {"case_id": case["case_id"], "version": case["version"], **empty, **parts}


def rule_row(rule_id: str, outcome: str, **changes: Any) -> Row:
    """The answer of a rule."""
    row: Row = {"rule_id": rule_id, "outcome": outcome, "severity": "high", "is_shadow": False}
    return row | {"reason": f"{rule_id} says so.", "evidence": {"count_24h": "4", "count_24h_limit": "3"}} | changes


def transaction_row(**changes: Any) -> Row:
    """A blocked deposit."""
    row: Row = {
        "transaction_id": "evt-1",
        "account_id": "acct-00001",
        "direction": "in",
        "kind": "deposit",
        "side": "collateral",
        "asset": "BTC",
        "quantity": "0.500000000000000000",
        "amount_usd": "35000.5",
        "chain": "ethereum",
        "counterparty_address": "0xbad0000000000000000000000000000000000001",
        "counterparty_country": "DE",
        "stated": {"has_travel_rule_data": True, "is_self_hosted": None},
        "occurred_at": NOW.isoformat(),
        "received_at": NOW.isoformat(),
        "is_settled_unasked": False,
        "published_at": None,
        "decision": "blocked",
        "decision_reason": "sanctioned_wallet (block)",
        "decided_at": NOW.isoformat(),
        "policy_version": "2026-01",
        "list_versions": {"ofac": "lst_1"},
        "rules": [
            rule_row("velocity", "no_hit"),
            rule_row("structuring", "error"),
            rule_row("sanctioned_wallet", "hit", severity="block"),
        ],
    }
    return row | changes


def hit_row(hit_id: str = "hit_1", **changes: Any) -> Row:
    """An open hit on a sanction."""
    row: Row = {
        "hit_id": hit_id,
        "list_name": "ofac",
        "list_version_id": "lst_1",
        "entry_id": "990001",
        "listed_kind": "person",
        "listed_names": ["Ottokar <i>Quist</i>", "O. Quist"],
        "listed_birth_dates": ["1971-03-04"],
        "listed_countries": ["AT"],
        "programs": ["SDGT"],
        "topics": ["sanction"],
        "score": 0.98,
        "rank": 1,
        "reasons": ["Name: is letter for letter.", "Against it: another date of birth."],
        "state": "open",
        "needs_four_eyes": True,
        "screened_at": NOW.isoformat(),
        "decided_by": None,
        "decided_at": None,
        "decision_reason": None,
        "cleared_until": None,
    }
    return row | changes


def verification_row(state: str = "in_review", checks: tuple[str, ...] = ("kyk_1",), **changes: Any) -> Row:
    """A verification with an answer for each id of `checks`."""
    row: Row = {
        "kyc_case_id": "kyc_1",
        "user_id": "usr_1",
        "state": state,
        "state_reason": "manual_verification",
        "provider": "sumsub",
        "submitted_at": NOW.isoformat(),
        "decided_at": None,
        "expires_at": None,
        "policy_version": "2026-01",
        "version": 3,
        "created_at": NOW.isoformat(),
        "updated_at": NOW.isoformat(),
        "is_cached": False,
        "handoff": None,
        "customer_kind": "person",
        "checks": [check_row(check_id) for check_id in checks],
    }
    return row | changes


def check_row(check_id: str) -> Row:
    """An answer of a provider."""
    return {
        "check_id": check_id,
        "provider": "sumsub",
        "source": "webhook",
        "status": "completed/RED/RETRY",
        "verdict": "review",
        "by": None,
        "occurred_at": NOW.isoformat(),
        "received_at": NOW.isoformat(),
        "facts": {"rejectLabels": ["DOCUMENT_PAGE_MISSING"]},
    }


@dataclass
class FakeApi:
    """Answers of one case and a queue; `refusals` by the end of a path, `is_away` fails everything."""

    cases: list[Row] = field(default_factory=list)
    evidence: Row | None = None
    customer: Row | None = None
    metrics: Row = field(default_factory=lambda: dict(METRICS))
    refusals: dict[str, ApiProblem] = field(default_factory=dict)
    is_away: bool = False
    next_cursor: str | None = None
    sent: list[tuple[str, Row]] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    answers: dict[str, Row] = field(default_factory=dict)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """What the API would answer."""
        self._refuse(path)
        self.asked.append((path, {name: value for name, value in (params or {}).items() if value is not None}))
        if path.endswith("/compliance-metrics"):
            return self.metrics
        if path.endswith("/cases"):
            rows = [{name: value for name, value in row.items() if name != "history"} for row in self.cases]
            return {"cases": rows, "next_cursor": self.next_cursor}
        if path.endswith("/evidence"):
            given = self.evidence or evidence_row(self.cases[0])
            return CaseEvidence.model_validate(given).model_dump(mode="json")
        if path.endswith("/customer"):
            return self.customer
        found = next((row for row in self.cases if path.endswith(row["case_id"])), None)
        if found is None:
            raise ApiProblem(404, "case_not_found", "There is no case.")
        return CaseDetail.model_validate(found).model_dump(mode="json")

    def text(self, path: str) -> str:
        """The draft."""
        self._refuse(path)
        return "# Draft of a suspicious activity report\n"

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Record what was sent; the case becomes what `answers` holds for the end of the path."""
        self._refuse(path)
        self.sent.append((path.removeprefix("/v1/compliance"), dict(body)))
        for ending, changes in self.answers.items():
            if path.endswith(ending):
                if ending == "/kyc":
                    return changes
                self.cases[0] = self.cases[0] | changes
        return {name: value for name, value in self.cases[0].items() if name != "history"}

    def _refuse(self, path: str) -> None:
        if self.is_away:
            raise ApiAway("The API does not answer (ConnectError).")
        for ending, problem in self.refusals.items():
            if path.endswith(ending):
                raise problem

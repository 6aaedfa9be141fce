"""The marts and trails of compliance over rows as the mirror appends them, and the data tests that guard them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from compliance.mirror_stream import Stream
from compliance.mirror_tables import (
    AML_ALERTS,
    CASE_EVENTS,
    CASES,
    DECISIONS,
    KYC_CASES,
    LIST_VERSIONS,
    POLICIES,
    TRANSACTION_LOGS,
)
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]

MODELS = ["tag:compliance"]


@dataclass
class Copies:
    """A project of its own, and short words for what the mirror appends to it."""

    settings: Settings
    warehouse: Warehouse
    now: datetime
    changes: int = 0

    def append(self, stream: Stream, **values: Any) -> None:
        self.changes += 1
        row = {"change_number": self.changes, "mirrored_at": self.now}
        self.warehouse.append(stream.target.table_id, [row | values])


@pytest.fixture(scope="module")
def copies(new_project: Callable[..., Settings], dbt_build: Callable[..., Any]) -> Iterator[Copies]:
    """A blocked transaction, its case, and an officer's decision; the models are built before anything came."""
    settings = new_project("ballast-compliance")
    made = Copies(settings, Warehouse(settings), SystemClock().now() - timedelta(minutes=10))
    dbt_build(settings, MODELS)
    blocked_transaction(made)
    yield made
    made.warehouse.client.close()  # type: ignore[no-untyped-call]


def blocked_transaction(made: Copies) -> None:
    made.append(
        POLICIES, policy_version="p1", name="desk", content_hash="aa", content="{}", effective_from=made.now,
        recorded_at=made.now,
    )  # fmt: skip
    made.append(
        LIST_VERSIONS, list_version_id="l1", list_name="ofac", content_hash="bb", state="active", entries=1, names=1,
        wallets=1, added=1, changed=0, removed=0, loaded_at=made.now,
    )  # fmt: skip
    transaction = {
        "transaction_id": "t1", "account_id": "a", "direction": "in", "kind": "deposit", "side": "collateral",
        "asset": "BTC", "quantity": Decimal("0.000000000000000001"), "amount_usd": Decimal("0.000000001"),
        "counterparty_hash": "0f", "chain": "bitcoin", "occurred_at": made.now, "received_at": made.now,
        "policy_version": "p1", "list_version_ids": "l1", "has_event": True, "is_settled_unasked": False,
        "case_id": "c1",
    }  # fmt: skip
    for decision in ("blocked", "rejected"):
        made.append(TRANSACTION_LOGS, **transaction, decision=decision, decided_at=made.now + timedelta(seconds=1))
    made.append(
        AML_ALERTS, alert_id="al1", transaction_id="t1", account_id="a", rule_id="sanctioned_wallet", outcome="hit",
        severity="block", evidence="{}", policy_version="p1", is_shadow=False, case_id="c1", raised_at=made.now,
    )  # fmt: skip
    case = {
        "case_id": "c1", "kind": "aml", "subject_id": "t1", "account_id": "a", "priority": "urgent",
        "has_proposal": False, "opened_at": made.now, "sla_due_at": made.now + timedelta(minutes=5),
    }  # fmt: skip
    made.append(CASES, **case, state="open", version=1)
    decided = {
        "subject_kind": "transaction", "subject_id": "t1", "policy_version": "p1", "list_version_ids": "l1",
        "evidence": "{}", "reason": "listed", "decided_at": made.now,
    }  # fmt: skip
    made.append(
        DECISIONS, **decided, sequence=1, decision_id="d1", outcome="blocked", actor="system", previous_hash="0",
        row_hash="1",
    )  # fmt: skip
    made.append(
        DECISIONS, **decided, sequence=2, decision_id="d2", outcome="rejected", actor="olga", previous_hash="1",
        row_hash="2",
    )  # fmt: skip
    for number, kind in enumerate(("opened", "escalated", "closed")):
        made.append(
            CASE_EVENTS, sequence=number + 1, event_id=f"e{number}", case_id="c1", event_at=made.now, actor="olga",
            role="officer", kind=kind, body="{}", previous_hash=f"{number}", row_hash=f"{number + 1}",
        )  # fmt: skip


def failing_tests(copies: Copies, without_warnings: Callable[[], Any], name: str) -> int:
    """Rows that a data test of the project finds."""
    with without_warnings():
        from assets.dbt_build import invoke

        [result] = invoke(copies.settings, ["test", "--select", name]).result.results  # type: ignore[union-attr]
    assert str(result.status) in ("pass", "fail"), result.message
    return int(result.failures or 0)


def test_decision_trail__leads_from_an_officers_decision_to_policy_list_and_rule(copies: Copies) -> None:
    found = copies.warehouse.query(
        "select outcome, actor, evidence_kind, evidence_id, evidence_outcome, is_found"
        " from audit.compliance_decision_trail where decision_id = 'd2' order by evidence_kind, evidence_id"
    )
    assert {(row["outcome"], row["actor"], row["is_found"]) for row in found} == {("rejected", "olga", True)}
    assert [(row["evidence_kind"], row["evidence_id"], row["evidence_outcome"]) for row in found] == [
        ("list_version", "l1", "active"),
        ("policy", "p1", None),
        ("rule", "sanctioned_wallet", "hit"),
        ("transaction", "t1", "rejected"),
    ]


def test_marts__show_the_last_state_of_each_row(copies: Copies) -> None:
    [rule] = copies.warehouse.query("select hits, hits_rejected, precision_pct from compliance.aml_alert_outcomes")
    assert rule == {"hits": 1, "hits_rejected": 1, "precision_pct": Decimal(100)}
    [day] = copies.warehouse.query("select * from compliance.transaction_monitoring")
    assert (day["transactions"], day["rejected"], day["blocked"]) == (1, 1, 0)
    assert (day["priced_usd"], day["stopped_usd"], day["p95_seconds_to_judge"]) == (
        Decimal("0.000000001"),
        Decimal("0.000000001"),
        None,
    )
    [late] = copies.warehouse.query("select open, overdue, in_time_pct from compliance.sla")
    assert late == {"open": 1, "overdue": 1, "in_time_pct": Decimal(0)}


def test_marts__of_what_never_happened_are_empty(copies: Copies) -> None:
    for mart in ("kyc_funnel", "screening_activity"):
        assert copies.warehouse.query(f"select * from compliance.{mart}") == []
    copies.append(
        KYC_CASES, kyc_case_id="k1", user_id="u1", state="approved", polls=0, policy_version="p1", version=1,
        created_at=copies.now, updated_at=copies.now,
    )  # fmt: skip
    [day] = copies.warehouse.query("select provider, approved, median_seconds_to_decide from compliance.kyc_funnel")
    assert day == {"provider": "none", "approved": 1, "median_seconds_to_decide": None}


def test_case_trail__shows_each_event_once_in_order(copies: Copies) -> None:
    found = copies.warehouse.query(
        "select event_kind, actor, account_id, case_state from audit.case_trail order by sequence"
    )
    assert [row.pop("event_kind") for row in found] == ["opened", "escalated", "closed"]
    assert found == [{"actor": "olga", "account_id": "a", "case_state": "open"}] * 3


def test_chain__that_lost_a_row_fails_its_data_test(copies: Copies, without_warnings: Callable[[], Any]) -> None:
    name = "compliance__chains_are_whole"
    assert failing_tests(copies, without_warnings, name) == 0
    copies.warehouse.query("delete from raw.compliance_case_events where sequence = 2")
    assert failing_tests(copies, without_warnings, name) == 1


def test_personal_data__as_a_column_fails_its_data_test(copies: Copies, without_warnings: Callable[[], Any]) -> None:
    """It passed when the models were built."""
    copies.warehouse.query("create table compliance.leak (birth_date date)")
    assert failing_tests(copies, without_warnings, "compliance__no_personal_data") == 1

"""Answers of the API about alerts, outcomes by rule and transactions, in the form that it gives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
Answer = dict[str, Any]


def alert(number: int, **changes: Any) -> Answer:
    """An alert."""
    found: Answer = {
        "alert_id": f"alr_{number}",
        "transaction_id": f"evt-{number}",
        "account_id": "acct-00001",
        "rule_id": "structuring",
        "outcome": "hit",
        "severity": "high",
        "evidence": {"reason": "amounts just under 10000 USD: 3 (the rule asks for at least 3)."},
        "policy_version": "2026-03-01",
        "is_shadow": False,
        "case_id": "cas_1",
        "raised_at": (NOW - timedelta(minutes=number)).isoformat(),
        "became": "rejected",
        "decision": "rejected",
        "direction": "in",
        "kind": "deposit",
        "asset": "USDC",
        "quantity": "9500",
        "amount_usd": "9500.00",
        "occurred_at": (NOW - timedelta(hours=1)).isoformat(),
        "is_settled_unasked": False,
    }
    return found | changes


def outcomes(rule_id: str, **changes: Any) -> Answer:
    """Outcomes of a rule without any alert."""
    counts = ("alerts", "hits", "insufficient_history", "errors", "transactions", "cases")
    became = ("open", "accepted", "blocked", "released", "rejected", "unknown")
    found: Answer = {
        "rule_id": rule_id,
        "is_shadow": False,
        "is_in_force": True,
        "precision_pct": None,
        **dict.fromkeys(counts, 0),
        **{f"hits_{each}": 0 for each in became},
    }
    return found | changes


def address(masked: str, **changes: Any) -> Answer:
    """An address as an analyst sees it."""
    return {"masked": masked, "keyed_hash": "ab" * 32, "address": None} | changes


def node(number: int, **changes: Any) -> Answer:
    """A counterparty."""
    found: Answer = {
        "node_id": f"counterparty-{number}",
        "kind": "counterparty",
        "account_id": None,
        "address": address(f"0x{number:04d}\u2026beef"),
        "is_of_transaction": number == 1,
        "is_listed": False,
        "is_mixer": False,
        "lists": [],
    }
    return found | changes


def edge(source: str, target: str, amount: str | None, **changes: Any) -> Answer:
    """Transfers of one direction."""
    found: Answer = {"source": source, "target": target, "transfers": 1, "stopped": 0, "unpriced": 0}
    return found | {"amount_usd": amount, **changes}


def graph(*parts: Answer, edges: list[Answer], **changes: Any) -> Answer:
    """The account with these counterparties."""
    account = node(0, node_id="account", kind="account", account_id="acct-00001", address=None, is_of_transaction=False)
    found: Answer = {
        "since": (NOW - timedelta(days=7)).isoformat(),
        "until": NOW.isoformat(),
        "nodes": [account, *parts],
        "edges": edges,
        "more_counterparties": 0,
        "more_amount_usd": None,
    }
    return found | changes


def rule(rule_id: str, outcome: str, **changes: Any) -> Answer:
    """A rule's answer."""
    found: Answer = {
        "rule_id": rule_id,
        "outcome": outcome,
        "severity": "high",
        "reason": f"why {rule_id}",
        "evidence": {},
        "is_shadow": False,
    }
    return found | changes


def transaction(**changes: Any) -> Answer:
    """A blocked deposit with a case."""
    found: Answer = {
        "transaction_id": "evt-1",
        "account_id": "acct-00001",
        "direction": "in",
        "kind": "deposit",
        "side": "collateral",
        "asset": "USDC",
        "quantity": "9500",
        "amount_usd": "9500.00",
        "chain": "ethereum",
        "occurred_at": (NOW - timedelta(hours=1)).isoformat(),
        "received_at": (NOW - timedelta(hours=1)).isoformat(),
        "published_at": None,
        "counterparty": address("0x0001\u2026beef"),
        "counterparty_country": "DE",
        "has_travel_rule_data": True,
        "is_self_hosted": False,
        "has_ownership_proof": None,
        "is_settled_unasked": False,
        "decision": "blocked",
        "decision_reason": "sanctioned_wallet (block)",
        "decided_at": (NOW - timedelta(hours=1)).isoformat(),
        "policy_version": "2026-03-01",
        "list_versions": {"ofac_sdn": "v7"},
        "results": [
            rule("fan_in", "no_hit"),
            rule("velocity_amount", "error"),
            rule(
                "structuring",
                "hit",
                evidence={
                    "sum_24h_usd": "28500",
                    "sum_24h_usd_limit": "10000",
                    "band_from_pct": "90",
                    "count_24h": "3",
                },
            ),
        ],
        "case": {"case_id": "cas_1", "state": "open", "priority": "urgent", "outcome": None, "assignee": None},
        "graph": graph(
            node(1, is_listed=True, lists=["ofac_sdn"]),
            node(2, is_listed=None, is_mixer=None),
            edges=[
                edge("counterparty-1", "account", "9500.00"),
                edge("account", "counterparty-2", None, unpriced=1, stopped=1),
            ],
        ),
    }
    return found | changes

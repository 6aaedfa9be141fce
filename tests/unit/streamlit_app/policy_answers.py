"""Answers of the API about policies, lists and replays, in the form that it gives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
Answer = dict[str, Any]


def summary_of_policies(version: str = "2026-03-01", **changes: Any) -> Answer:
    """A version of the policy in short."""
    found: Answer = {
        "version": version,
        "name": "Lending",
        "effective_from": f"{version}T00:00:00Z",
        "is_current": True,
        "changes": "first",
        "countries_as_of": "2026-02-13",
        "content_hash": "cd" * 32,
    }
    return found | changes


def policy(**changes: Any) -> Answer:
    """A version of the policy with two rules."""
    limits = {
        "name": "limits_usd",
        "kind": "usd_list",
        "value": "1000, 3000",
        "is_default": False,
        "meaning": "avoided",
    }
    found: Answer = {
        **summary_of_policies(),
        "document": {
            "countries": {"source": "FATF plenary", "block": ["KP"], "edd": [], "review": ["VN"]},
            "sla": {"aml": {"urgent": 2}},
            "screening": {"threshold": "0.70", "clear_days": 365},
            "reporting": {"sar_candidate_usd": "2000"},
        },
        "content": 'version: "2026-03-01"',
        "rules": [
            {
                "rule_id": "structuring",
                "meaning": "amounts just under a threshold",
                "source": "FATF red flags",
                "is_named": True,
                "is_enabled": True,
                "is_shadow": True,
                "severity": "high",
                "when": "amount_micro_usd > 5",
                "parameters": [limits],
            },
            {
                "rule_id": "fan_in",
                "meaning": "many senders",
                "source": "ours",
                "is_named": False,
                "is_enabled": False,
                "is_shadow": False,
                "severity": "low",
                "when": None,
                "parameters": [],
            },
        ],
        "country_names": {"KP": "North Korea", "VN": "Vietnam"},
        "countries_age_days": 17,
        "countries_overdue": None,
    }
    return found | changes


def list_version(name: str, state: str, age_s: float, **changes: Any) -> Answer:
    """A load of a list."""
    found: Answer = {
        "list_version_id": name,
        "content_hash": "ef" * 32,
        "state": state,
        "reason": None,
        "entries": 1234,
        "names": 2345,
        "wallets": 345,
        "added": 12,
        "changed": 3,
        "removed": 1,
        "published_on": None,
        "loaded_at": (NOW - timedelta(seconds=age_s)).isoformat(),
        "age_s": age_s,
    }
    return found | changes


def replay(state: str = "done", **changes: Any) -> Answer:
    """A replay with its report."""
    counts = {"candidate": 3, "then": 2, "both": 1, "only_candidate": 2, "only_then": 1, "errors": 4}
    found: Answer = {
        "replay_id": "rpl_1",
        "policy_version": "candidate-1",
        "days": 90,
        "since": (NOW - timedelta(days=90)).isoformat(),
        "until": NOW.isoformat(),
        "started_by": "ann",
        "started_at": NOW.isoformat(),
        "state": state,
        "done": 50,
        "total": 200,
        "ended_at": NOW.isoformat() if state != "running" else None,
        "problem": None,
        "report": None,
    }
    if state == "done":
        found["report"] = {
            "policy_version": "candidate-1",
            "transactions": 200,
            "rules": [
                {
                    "rule_id": "structuring",
                    "is_run": True,
                    "is_shadow": False,
                    **counts,
                    "insufficient_history": 5,
                    "known_right": 1,
                    "known_wrong": 2,
                    "precision_pct": "33.3",
                    "precision_then_pct": None,
                    "examples": ["evt-7", "evt-8"],
                }
            ],
            "decisions": [
                {"then": "rejected", "candidate": "accepted", "transactions": 6},
                {"then": "undecided", "candidate": "review", "transactions": 194},
            ],
            "missed": {"transactions": 6, "examples": ["evt-9"]},
        }
    return found | changes

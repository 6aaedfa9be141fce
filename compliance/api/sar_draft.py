"""A draft for a report of suspicious activity: facts and evidence as Markdown. Pure.

It states what the record holds and leaves the judgement to an officer. Without permission to see personal data, who
the customer is and the addresses of counterparties are left out, and the text says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from compliance.api.sar_store import MAX_ROWS, Row, SarFacts

WITHHELD = "withheld: your role does not see personal data"
UNKNOWN = "not known"
# What could stand for a person or lead to one.
_PERSONAL_KEYS = ("address", "name", "email", "phone", "document", "birth", "counterpart", "sender", "wallet")
# Addresses as they look wherever they stand: 0x, base58 as of Bitcoin, Tron and Solana, bech32.
_ADDRESS = re.compile(
    r"0x[0-9a-fA-F]{8,}|(?<!\w)[1-9A-HJ-NP-Za-km-z]{26,44}(?!\w)|(?<!\w)[a-z]{2,5}1[02-9ac-hj-np-z]{20,}"
)
_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|!~&"})


@dataclass(frozen=True, slots=True)
class Subject:
    """The case as its head is printed."""

    case_id: str
    kind: str
    title: str
    state: str
    priority: str
    subject_id: str
    account_id: str | None
    user_id: str | None
    assignee: str | None
    outcome: str | None
    opened_at: datetime
    sla_due_at: datetime


def render(
    case: Subject,
    facts: SarFacts,
    customer: Mapping[str, str] | None,
    *,
    with_personal_data: bool,
    candidate_usd: Decimal | None,
    drafted_at: datetime,
    drafted_by: str,
) -> str:
    """The document; `customer` is what is known of the person, None where nobody is or it is withheld."""
    parts = [
        [
            "# Draft of a suspicious activity report",
            "",
            "**Not filed, not a finding.** Facts of the record for an officer, who decides whether and what to report.",
        ],
        _case(case, drafted_at, drafted_by),
        _customer(customer, with_personal_data),
        _transaction(facts.transaction, with_personal_data),
        _alerts(facts.alerts, with_personal_data),
        _aggregate(facts.alerts, candidate_usd),
        _hits(facts.hits, with_personal_data),
        _decisions(facts.decisions, with_personal_data),
        _events(facts.events, with_personal_data),
        _to_write(),
    ]
    if facts.is_cut:
        parts.insert(1, [f"**Not complete:** a part has {MAX_ROWS} rows or more, of which the first are shown."])
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def escaped(value: Any) -> str:
    """`value` as plain text on one line, whatever it holds; NULL is said, not left empty."""
    if value is None:
        return UNKNOWN
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return " ".join(text.split()).translate(_ESCAPED)


def without_personal_data(value: Any) -> Any:
    """Evidence without what could name a person or an address; lists and mappings at any depth."""
    match value:
        case Mapping():
            return {
                key: WITHHELD
                if any(word in str(key).lower() for word in _PERSONAL_KEYS)
                else without_personal_data(each)
                for key, each in value.items()
            }
        case list() | tuple():
            return [without_personal_data(each) for each in value]
        case str():
            return _ADDRESS.sub(WITHHELD, value)
        case _:
            return value


def _case(case: Subject, drafted_at: datetime, drafted_by: str) -> list[str]:
    lines = {
        "Case": case.case_id,
        "About": f"{case.kind} {case.subject_id}",
        "Title": case.title,
        "State": case.state + (f", outcome {case.outcome}" if case.outcome else ""),
        "Priority": case.priority,
        "Assignee": case.assignee,
        "Account": case.account_id,
        "Customer id": case.user_id,
        "Opened": case.opened_at,
        "Due": case.sla_due_at,
        "Drafted": f"{escaped(drafted_at)} by {drafted_by}",
    }
    return ["## Case", "", *_list(lines)]


def _customer(customer: Mapping[str, str] | None, with_personal_data: bool) -> list[str]:
    if not with_personal_data:
        return ["## Customer", "", f"*{WITHHELD}*"]
    return ["## Customer", "", *(_list(customer) if customer else ["The record names no customer of this account."])]


def _transaction(row: Row | None, with_personal_data: bool) -> list[str]:
    if row is None:
        return []
    lines = {
        "Transaction": row["transaction_id"],
        "Movement": f"{row['kind']} ({row['direction']}), {row['side']}",
        "Quantity": f"{_plain(row['quantity'])} {row['asset']}",
        "Amount in USD": row["amount_usd"],
        "Chain": row["chain"],
        "Counterparty": row["counterparty_address"] if with_personal_data else WITHHELD,
        "Country of the counterparty": row["counterparty_country"],
        "Occurred": row["occurred_at"],
        "Received": row["received_at"],
        "Decision": row["decision"],
        "Because": row["decision_reason"] if with_personal_data else without_personal_data(row["decision_reason"]),
        "Policy": row["policy_version"],
        "Lists": row["list_versions"],
    }
    return ["## Transaction", "", *_list(lines)]


def _alerts(alerts: Sequence[Row], with_personal_data: bool) -> list[str]:
    if not alerts:
        return []
    rows = [
        (
            alert["raised_at"],
            alert["transaction_id"],
            alert["rule_id"] + (" (shadow)" if alert["is_shadow"] else ""),
            alert["severity"],
            alert["outcome"],
            alert["evidence"] if with_personal_data else without_personal_data(alert["evidence"]),
            alert["policy_version"],
        )
        for alert in alerts
    ]
    head = ("At", "Transaction", "Rule", "Severity", "Outcome", "Evidence", "Policy")
    return ["## Alerts of the account, 90 days before the case and since", "", *_table(head, rows)]


def _aggregate(alerts: Sequence[Row], candidate_usd: Decimal | None) -> list[str]:
    amounts = {a["transaction_id"]: a["amount_usd"] for a in alerts if a["outcome"] == "hit" and not a["is_shadow"]}
    if not amounts:
        return []
    known = [amount for amount in amounts.values() if amount is not None]
    total = sum(known, Decimal(0))
    lines = {"Transactions with a hit": str(len(amounts)), "Their amount in USD": total}
    if len(known) < len(amounts):
        lines["Without a known amount, not in the sum"] = str(len(amounts) - len(known))
    if candidate_usd is not None:
        lines["Candidate from USD"] = candidate_usd
        lines["Candidate"] = "yes" if total >= candidate_usd else ("no" if len(known) == len(amounts) else UNKNOWN)
    return ["## Aggregate", "", *_list(lines)]


def _hits(hits: Sequence[Row], with_personal_data: bool) -> list[str]:
    if not hits:
        return []
    rows = [
        (
            hit["screened_at"],
            f"{hit['list_name']} {hit['entry_id']}",
            hit["list_version_id"],
            hit["score"],
            hit["state"],
            hit["decided_by"],
            # They quote the customer's name beside the list's.
            hit["reasons"] if with_personal_data else WITHHELD,
        )
        for hit in hits
    ]
    return ["## Hits of screening", "", *_table(("At", "Entry", "List", "Score", "State", "By", "Reasons"), rows)]


def _decisions(decisions: Sequence[Row], with_personal_data: bool) -> list[str]:
    rows = [
        (
            each["at"],
            f"{each['subject_kind']} {each['subject_id']}",
            each["outcome"],
            each["reason"] if with_personal_data else without_personal_data(each["reason"]),
            each["actor"],
            each["policy_version"],
            f"{each['sequence']} {each['hash']}",
        )
        for each in decisions
    ]
    head = ("At", "Subject", "Outcome", "Reason", "By", "Policy", "Ledger row and hash")
    return ["## Decisions", "", *(_table(head, rows) if rows else ["None yet."])]


def _events(events: Sequence[Row], with_personal_data: bool) -> list[str]:
    rows = [
        (
            event["at"],
            event["actor"] + (f" ({event['role']})" if event["role"] else ""),
            event["kind"],
            event["body"] if with_personal_data else without_personal_data(event["body"]),
            f"{event['sequence']} {event['hash']}",
        )
        for event in events
    ]
    return ["## History of the case", "", *_table(("At", "By", "What", "Content", "Ledger row and hash"), rows)]


def _to_write() -> list[str]:
    return [
        "## For the officer to write",
        "",
        "- Who is suspected, and what relationship the desk has with them",
        "- What happened, with instruments and means",
        "- When and where, first and last activity",
        "- Why it is suspicious for this customer",
        "- What was done about it",
    ]


def _list(lines: Mapping[str, Any]) -> list[str]:
    return [f"- {escaped(name)}: {escaped(value)}" for name, value in lines.items()]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(escaped(value) for value in row) + " |" for row in rows]


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

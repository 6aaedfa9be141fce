"""The draft of a report: what the record holds, nothing that the reader may not see, and no markup from outside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.api.sar_draft import WITHHELD, Subject, escaped, render, without_personal_data
from compliance.api.sar_store import SarFacts

FEW = settings(max_examples=30, deadline=None)
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ADDRESS = "0x1234567890abcdef"
CASE = Subject(
    case_id="cas_1",
    kind="aml",
    title="Transaction held for review: structuring",
    state="open",
    priority="high",
    subject_id="evt-1",
    account_id="acct-1",
    user_id=None,
    assignee=None,
    outcome=None,
    opened_at=AT,
    sla_due_at=AT,
)
TRANSACTION: dict[str, Any] = {
    "transaction_id": "evt-1",
    "kind": "deposit",
    "direction": "in",
    "side": "collateral",
    "quantity": Decimal("1.50000"),
    "asset": "BTC",
    "amount_usd": Decimal("99000.5"),
    "chain": "bitcoin",
    "counterparty_address": ADDRESS,
    "counterparty_country": "DE",
    "occurred_at": AT,
    "received_at": AT,
    "decision": "review",
    "decision_reason": "structuring",
    "policy_version": "2025-11-01",
    "list_versions": {"ofac_sdn": "lv_1"},
}


def alert(key: str, amount: Decimal | None, **changes: Any) -> dict[str, Any]:
    row = {
        "alert_id": f"al_{key}",
        "transaction_id": key,
        "rule_id": "structuring",
        "outcome": "hit",
        "severity": "high",
        "evidence": {"count": "3", "counterparties": [ADDRESS]},
        "policy_version": "2025-11-01",
        "is_shadow": False,
        "raised_at": AT,
        "amount_usd": amount,
        "occurred_at": AT,
    }
    return row | changes


def event(body: Mapping[str, Any]) -> dict[str, Any]:
    made_at = {"at": AT, "actor": "anna", "role": "analyst"}
    return made_at | {"kind": "commented", "body": body, "sequence": 7, "hash": "ab" * 32}


def draft(
    *,
    with_personal_data: bool,
    alerts: list[dict[str, Any]] | None = None,
    events: list[dict[str, Any]] | None = None,
    candidate_usd: Decimal | None = Decimal(2000),
    transaction: dict[str, Any] | None = TRANSACTION,
) -> str:
    facts = SarFacts("acct-1", transaction, alerts or [], [], [], events or [])
    customer = {"Names": "Erika Muster", "Born": "1980-02-29"} if with_personal_data else None
    return render(
        CASE,
        facts,
        customer,
        with_personal_data=with_personal_data,
        candidate_usd=candidate_usd,
        drafted_at=AT,
        drafted_by="otto (officer)",
    )


def test_draft__states_the_facts_and_that_it_is_no_finding() -> None:
    text = draft(with_personal_data=True, alerts=[alert("evt-1", Decimal(1900))], events=[event({"text": "looked"})])
    assert "Not filed, not a finding" in text
    for fact in ("Erika Muster", "1980-02-29", ADDRESS, "1.5 BTC", "99000.5", "lv\\_1", "ab" * 32, "otto (officer)"):
        assert fact in text
    assert "Assignee: not known" in text


def test_draft__below_officer_holds_no_personal_data_and_says_so() -> None:
    body = {"name": "Erika", "text": f"sent to {ADDRESS} and bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"}
    text = draft(with_personal_data=False, alerts=[alert("evt-1", Decimal(1900))], events=[event(body)])
    assert "Erika" not in text
    assert ADDRESS not in text
    assert "bc1q" not in text
    assert text.count(WITHHELD) >= 4


@pytest.mark.parametrize(
    ("amounts", "candidate", "expected"),
    [
        ([Decimal(1500), Decimal(500)], Decimal(2000), "Candidate: yes"),
        ([Decimal(1500)], Decimal(2000), "Candidate: no"),
        ([Decimal(1500), None], Decimal(2000), "Candidate: not known"),
        ([Decimal(2500), None], Decimal(2000), "Candidate: yes"),
    ],
)
def test_draft__adds_up_what_is_known_and_names_what_is_not(
    amounts: list[Decimal | None], candidate: Decimal, expected: str
) -> None:
    rows = [alert(f"evt-{number}", amount) for number, amount in enumerate(amounts)]
    text = draft(with_personal_data=True, alerts=rows, candidate_usd=candidate)
    assert expected in text
    assert ("Without a known amount" in text) is (None in amounts)


def test_draft__counts_a_transaction_once_and_no_shadow_rule() -> None:
    rows = [alert("a", Decimal(10)), alert("a", Decimal(10), rule_id="fan_in"), alert("b", Decimal(90), is_shadow=True)]
    text = draft(with_personal_data=True, alerts=rows)
    assert "Transactions with a hit: 1" in text
    assert "Their amount in USD: 10" in text


def test_draft__without_a_policy_does_not_say_whether_it_is_a_candidate() -> None:
    assert "Candidate" not in draft(with_personal_data=True, alerts=[alert("a", Decimal(9))], candidate_usd=None)


def test_draft__that_is_cut_says_so() -> None:
    rows = [alert(f"evt-{number}", Decimal(1)) for number in range(200)]
    assert "Not complete" in draft(with_personal_data=True, alerts=rows)
    assert "Not complete" not in draft(with_personal_data=True, alerts=rows[:-1])


@FEW
@given(st.text())
def test_escaped__text_is_one_line_without_live_markup(value: str) -> None:
    shown = escaped(value)
    assert len(shown.splitlines()) <= 1
    bare = shown.replace("\\\\", "")
    for character in "|`*_[]<>#":
        assert bare.count(character) == bare.count(f"\\{character}")


@FEW
@given(
    st.recursive(
        st.none() | st.integers() | st.just(ADDRESS),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["count", "Names", "to_address", "x"]), inner),
    )
)
def test_without_personal_data__hides_at_every_depth(value: Any) -> None:
    def found_under(place: Any) -> list[Any]:
        if isinstance(place, dict):
            own = [each for key, each in place.items() if key in ("Names", "to_address")]
            return own + [each for item in place.values() for each in found_under(item)]
        return [each for item in place for each in found_under(item)] if isinstance(place, list) else []

    assert set(found_under(without_personal_data(value))) <= {WITHHELD}

"""From rows of the record to what people see of a case, by whether they may see personal data. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from compliance.aml.record import results_of
from compliance.api.evidence_schemas import CaseHitView, CheckView, CustomerView, TransactionView, VerificationView
from compliance.api.kyc_schemas import KycView
from compliance.api.sar_draft import without_personal_data
from compliance.api.transaction_schemas import RuleView
from compliance.kyc.model import KycCase, Source
from compliance.users import User

MAX_NAMES = 10
# What a sentence on a hit quotes: the listed name, which may be the customer's, and the listed dates of birth.
_QUOTED = re.compile(r'".*"')
_DATES = re.compile(r"\(\d{4}[^)]*\)")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+ /-]{0,79}")
# Ids of other rows, which say nothing to a reader.
_INTERNAL = frozenset({"considered", "submitted_at"})


def transaction_view(row: Mapping[str, Any], judgement: Mapping[str, Any] | None, *, may_see: bool) -> TransactionView:
    """The transaction with the rules' answers; addresses are left out for who may not see them."""
    shown: Any = (lambda value: value) if may_see else without_personal_data
    rules = results_of(judgement["evidence"]) if judgement is not None else ()
    own = set(TransactionView.model_fields) - {"rules", "stated", "counterparty_address", "decision_reason"}
    return TransactionView(
        **{name: row[name] for name in own - {"list_versions"}},
        list_versions=dict(row["list_versions"] or {}),
        stated=dict((row["features"] or {}).get("stated") or {}),
        counterparty_address=row["counterparty_address"] if may_see else None,
        decision_reason=shown(row["decision_reason"]),
        rules=[
            RuleView(**{**asdict(rule), "reason": shown(rule.reason), "evidence": shown(dict(rule.evidence))})
            for rule in rules
        ],
    )


def hit_view(row: Mapping[str, Any], blocking: Sequence[str] | None, *, may_see: bool) -> CaseHitView:
    """The hit with what its list says; `blocking` are the topics of sanctions, None where no policy is in force."""
    details: Mapping[str, Any] = row["details"] or {}
    topics: list[str] | None = row["topics"]
    needs = None if blocking is None else topics is None or not set(topics).isdisjoint(blocking)
    names = [each["name"] for each in row["names"] or ()]
    given = set(CaseHitView.model_fields) & set(row)
    return CaseHitView(
        **{name: row[name] for name in given - {"reasons", "score"}},
        score=float(row["score"]),
        listed_names=names[:MAX_NAMES] if may_see else [],
        listed_birth_dates=list(details.get("birth_dates", ())) if may_see else [],
        listed_countries=list(details.get("countries", ())),
        programs=list(details.get("programs", ())),
        reasons=[each if may_see else without_names(each) for each in row["reasons"]],
        needs_four_eyes=needs,
    )


def without_names(sentence: str) -> str:
    """A sentence on a hit without the name and the dates of birth that it quotes."""
    return _DATES.sub("(withheld)", _QUOTED.sub("(withheld)", sentence))


def check_view(row: Mapping[str, Any]) -> CheckView:
    """An answer; of what was kept of the payload only codes and times are shown."""
    return CheckView(
        check_id=row["check_id"],
        provider=row["provider"],
        source=row["source"],
        status=row["provider_status"],
        verdict=row["verdict"],
        by=row["external_id"] if row["source"] == Source.MANUAL.value else None,
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        facts={name: value for name, value in (row["payload"] or {}).items() if _is_shown(name, value)},
    )


def verification_view(case: KycCase, checks: Sequence[Mapping[str, Any]], kind: str | None) -> VerificationView:
    """The verification with its answers."""
    own = set(KycView.model_fields) - {"handoff"}
    return VerificationView(
        **{name: getattr(case, name) for name in own},
        handoff=None,
        customer_kind=kind,
        checks=[check_view(each) for each in checks],
    )


def customer_view(case_id: str, user: User) -> CustomerView:
    """The customer's personal data."""
    personal = user.personal
    return CustomerView(
        case_id=case_id,
        user_id=user.user_id,
        kind=user.kind,
        names=list(personal.all_names),
        birth_date=personal.birth_date,
        nationality=personal.nationality,
        country=user.country,
        address=personal.address,
        document_number=personal.document_number,
        email=personal.email,
        phone=personal.phone,
        kyc_state=user.kyc_state,
    )


def _is_shown(name: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return name not in _INTERNAL and all(isinstance(each, str) and _CODE.fullmatch(each) for each in values)

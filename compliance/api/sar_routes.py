"""A draft for a report of suspicious activity, as a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from compliance import cases, chain
from compliance.api.access import GUARDS, ActorDependency
from compliance.api.dependencies import CasePath, ServicesDependency, errors
from compliance.api.sar_draft import Subject, render
from compliance.api.sar_store import sar_facts
from compliance.api.services import Services
from compliance.authorization import Action, is_allowed
from compliance.cases import Case
from compliance.errors import CaseNotFoundError, ComplianceNotReadyError
from compliance.model import Actor
from compliance.users import User, read_user, user_of_account

MARKDOWN = "text/markdown; charset=utf-8"
EXPORTED = "sar_draft_exported"
router = APIRouter(prefix="/v1/compliance/cases", tags=["compliance"], dependencies=GUARDS)
_DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "the draft", "content": {"text/markdown": {"schema": {"type": "string"}}}}
}


@router.get(
    "/{case_id}/sar-draft",
    response_class=Response,
    responses={**_DOCUMENT, **errors(s404=CaseNotFoundError.code)},
)
def get_sar_draft(services: ServicesDependency, actor: ActorDependency, case_id: CasePath) -> Response:
    """Facts and evidence of a case as Markdown, for an officer who judges whether and what to report.

    Personal data stands in it for who may see them, and then the export is an event of the case.
    """
    now = services.clock.now()
    may_see = is_allowed(actor.role, Action.READ_PERSONAL_DATA)
    with services.engine.begin() as connection:
        case = cases.read_case(connection, case_id)
        facts = sar_facts(connection, case_id, case.subject_id, case.account_id, case.opened_at, now)
        customer = _customer(services, connection, case, facts.account_id) if may_see else None
        if may_see:
            chain.append_event(connection, case_id, actor, EXPORTED, {"with_personal_data": True}, now)
    text = render(
        _subject(case),
        facts,
        customer,
        with_personal_data=may_see,
        candidate_usd=_candidate(services, now),
        drafted_at=now,
        drafted_by=_named(actor),
    )
    return Response(text.encode("utf-8", "replace"), media_type=MARKDOWN, headers=_as_file(case_id))


def _customer(
    services: Services, connection: Connection, case: Case, account_id: str | None
) -> Mapping[str, str] | None:
    user_id = case.user_id
    if user_id is None and account_id is not None:
        user_id = user_of_account(connection, account_id)
    return _lines(read_user(connection, services.envelope, user_id)) if user_id is not None else None


def _lines(user: User) -> Mapping[str, str]:
    personal = user.personal
    known = {
        "Customer id": user.user_id,
        "Kind": user.kind,
        "Names": "; ".join(personal.all_names),
        "Born": personal.birth_date.isoformat() if personal.birth_date is not None else None,
        "Nationality": personal.nationality,
        "Residence": user.country,
        "Address": personal.address,
        "Document": personal.document_number,
        "Mail": personal.email,
        "Phone": personal.phone,
        "Verification": user.kyc_state,
        "Customer since": user.created_at.date().isoformat(),
    }
    return {name: value for name, value in known.items() if value is not None}


def _candidate(services: Services, at: datetime) -> Decimal | None:
    """From which aggregate on a report is considered; None where no policy is in force, and then it is not said."""
    try:
        return services.policies.current(at).reporting.sar_candidate_usd
    except ComplianceNotReadyError:
        return None


def _named(actor: Actor) -> str:
    return f"{actor.name} ({actor.role})" if actor.role is not None else actor.name


def _subject(case: Case) -> Subject:
    return Subject(**{each.name: getattr(case, each.name) for each in fields(Subject)})


def _as_file(case_id: str) -> Mapping[str, str]:
    return {"Content-Disposition": f'attachment; filename="sar-draft-{case_id}.md"'.replace(":", "_")}

"""What a case is about, over HTTP: for who works on it, and the customer's personal data for who may see it."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import Connection

from compliance import cases, chain
from compliance.aml import gate_store
from compliance.api import evidence
from compliance.api.access import GUARDS, ActorDependency
from compliance.api.dependencies import CasePath, ServicesDependency, errors
from compliance.api.evidence_schemas import CaseEvidence, CaseHitView, CustomerView, TransactionView, VerificationView
from compliance.api.evidence_store import checks_of, hits_of_case, kind_of_user
from compliance.api.services import Services
from compliance.authorization import Action, is_allowed
from compliance.cases import Case, CaseKind
from compliance.errors import CaseNotFoundError, ComplianceInputError, ComplianceNotReadyError
from compliance.kyc import store
from compliance.users import read_user, user_of_account

VIEWED = "personal_data_viewed"
router = APIRouter(prefix="/v1/compliance/cases", tags=["compliance"], dependencies=GUARDS)
_FOUND = errors(s404=CaseNotFoundError.code)


@router.get("/{case_id}/evidence", responses=_FOUND)
def get_case_evidence(services: ServicesDependency, actor: ActorDependency, case_id: CasePath) -> CaseEvidence:
    """The transaction with every rule's answer, the hits, or the verification with its checks: what a case is about."""
    may_see = is_allowed(actor.role, Action.READ_PERSONAL_DATA)
    blocking = _blocking(services)
    with services.engine.connect() as connection:
        case = cases.read_case(connection, case_id)
        hits, has_more = _hits(connection, case, blocking, may_see)
        return CaseEvidence(
            case_id=case.case_id,
            version=case.version,
            is_withheld=not may_see,
            transaction=_transaction(connection, case, may_see),
            hits=hits,
            has_more_hits=has_more,
            verification=_verification(connection, case),
        )


@router.get("/{case_id}/customer", responses={**_FOUND, **errors(s422=ComplianceInputError.code)})
def get_case_customer(services: ServicesDependency, actor: ActorDependency, case_id: CasePath) -> CustomerView:
    """The personal data of the case's customer; that somebody read it is an event of the case."""
    envelope, now = services.envelope, services.clock.now()
    with services.engine.begin() as connection:
        case = cases.read_case(connection, case_id)
        user_id = case.user_id
        if user_id is None and case.account_id is not None:
            user_id = user_of_account(connection, case.account_id)
        if user_id is None:
            raise ComplianceInputError("The record names no customer of this case.")
        user = read_user(connection, envelope, user_id)
        chain.append_event(connection, case_id, actor, VIEWED, {"user_id": user_id}, now)
    return evidence.customer_view(case_id, user)


def _blocking(services: Services) -> tuple[str, ...] | None:
    try:
        return services.policies.current(services.clock.now()).screening.topics_block
    except ComplianceNotReadyError:
        return None


def _hits(
    connection: Connection, case: Case, blocking: tuple[str, ...] | None, may_see: bool
) -> tuple[list[CaseHitView], bool]:
    if case.kind is not CaseKind.SCREENING:
        return [], False
    rows, has_more = hits_of_case(connection, case.case_id, case.user_id or case.subject_id)
    return [evidence.hit_view(row, blocking, may_see=may_see) for row in rows], has_more


def _transaction(connection: Connection, case: Case, may_see: bool) -> TransactionView | None:
    row = gate_store.read(connection, case.subject_id) if case.kind is CaseKind.AML else None
    if row is None:
        return None
    judgement = gate_store.read_judgement(connection, case.subject_id)
    found = dict(judgement) if judgement is not None else None
    return evidence.transaction_view(dict(row), found, may_see=may_see)


def _verification(connection: Connection, case: Case) -> VerificationView | None:
    found = store.read(connection, case.subject_id) if case.kind is CaseKind.KYC else None
    if found is None:
        return None
    kind = kind_of_user(connection, found.user_id)
    return evidence.verification_view(found, checks_of(connection, found.kyc_case_id), kind)

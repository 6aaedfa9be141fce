"""Verification of customers over HTTP: begin, look, decide."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header

from compliance.api.access import GUARDS, ActorDependency
from compliance.api.dependencies import KycPath, ServicesDependency, errors, refuse_unborn
from compliance.api.kyc_schemas import CustomerInput, KycDecisionInput, KycInput, KycView, kyc_view
from compliance.api.services import Services
from compliance.errors import CaseConflictError, CaseNotFoundError, ComplianceInputError
from compliance.kyc.model import Verdict
from compliance.pii import PersonalData
from compliance.users import create_user

router = APIRouter(prefix="/v1/compliance/kyc", tags=["compliance"], dependencies=GUARDS)
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{7,127}$",
        description="8 to 128 characters of the caller's choice; the same key gives the same verification",
    ),
]


@router.post("", status_code=201, responses=errors(s409=CaseConflictError.code))
def start_kyc(services: ServicesDependency, body: KycInput, key: IdempotencyKey) -> KycView:
    """Begin to verify a customer, who is created where the reference is new; sent again, it is the same verification.

    The answer leads the customer to the provider, who uses it once: sent again while the provider waits for the
    customer, there is a new `handoff`, or null where the provider does not give one now. An approval that still counts
    is returned as it is.
    """
    # Before anything is kept: without a policy no verification can be judged.
    services.policies.current(services.clock.now())
    user_id = _customer(services, body.customer) if body.customer is not None else body.user_id
    if user_id is None:
        raise ComplianceInputError("Give either customer or user_id.")
    return kyc_view(services.kyc.start(user_id, key), with_handoff=True)


@router.get("/{case_id}", responses=errors(s404=CaseNotFoundError.code))
def get_kyc(services: ServicesDependency, case_id: KycPath) -> KycView:
    """How a verification stands; it holds no personal data."""
    return kyc_view(services.kyc.read(case_id))


@router.post("/{case_id}/decision", responses=errors(s404=CaseNotFoundError.code, s409=CaseConflictError.code))
def decide_kyc(
    services: ServicesDependency, actor: ActorDependency, case_id: KycPath, body: KycDecisionInput
) -> KycView:
    """Decide what no provider decided, or against what one did; the reason stands in the record for good."""
    verdict = Verdict(body.verdict)
    return kyc_view(services.kyc.decide_manually(case_id, verdict, actor, body.reason, body.seen_checks))


def _customer(services: Services, given: CustomerInput) -> str:
    refuse_unborn(given.personal.birth_date, services.clock.now())
    personal = PersonalData.model_validate(given.personal.model_dump(exclude_defaults=True))
    envelope = services.envelope
    with services.engine.begin() as connection:
        return create_user(
            connection,
            envelope,
            services.clock,
            given.reference,
            given.kind.value,
            personal,
            account_id=given.account_id,
            country=given.country,
            declared_profile_usd=given.declared_profile_usd,
        )

"""The gate before acceptance: transactions to judge, settlements to let through, hold or block."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from compliance import cases
from compliance.aml.errors import TransactionConflictError, TransactionUnknownError
from compliance.aml.valuation import valued
from compliance.api.access import GUARDS, ActorDependency
from compliance.api.dependencies import (
    PricesDependency,
    ServicesDependency,
    TransactionPath,
    errors,
    refuse_future,
)
from compliance.api.errors import SettlementBlockedError
from compliance.api.services import Services
from compliance.api.transaction_schemas import (
    AmlResultView,
    SettlementDecisionInput,
    SettlementDecisionView,
    SettlementInput,
    TransactionInput,
    aml_view,
)
from compliance.api.transaction_store import read_transaction
from compliance.cases import CaseState
from compliance.errors import CaseConflictError
from compliance.model import Actor, Decision

ACCEPTED = frozenset({Decision.ACCEPTED, Decision.RELEASED})
HELD = frozenset({Decision.REVIEW})
HELD_CODE = 202
_DECIDED = errors(s404=TransactionUnknownError.code, s409=CaseConflictError.code)
router = APIRouter(prefix="/v1/compliance", tags=["compliance"], dependencies=GUARDS)


@router.post("/aml-check", responses=errors(s409=TransactionConflictError.code))
def check_transaction(services: ServicesDependency, prices: PricesDependency, body: TransactionInput) -> AmlResultView:
    """Judge a transaction by every rule of the policy in force; the same id is judged once.

    Nothing is published for it. An amount that nobody gives and no price tells is unknown, which goes to review.
    """
    refuse_future("occurred_at", body.occurred_at, services.clock.now())
    return aml_view(services.gate.check(valued(body.transaction(), prices)))


@router.post(
    "/settlements",
    responses={
        HELD_CODE: {"model": AmlResultView, "description": "held: an officer looks at it, in the case that is named"},
        **errors(s409=f"{SettlementBlockedError.code}, {TransactionConflictError.code}"),
    },
)
def submit_settlement(
    services: ServicesDependency, prices: PricesDependency, body: SettlementInput, response: Response
) -> AmlResultView:
    """Let a settlement through (200), hold it for an officer (202) or block it (409 with the case).

    Judged before acceptance, once by its event id: sent again, the answer tells how it stands now. One that is let
    through, now or after a case, is published to `settlement.events.v1` by the gate's outbox.
    """
    refuse_future("occurred_at", body.occurred_at, services.clock.now())
    transaction = valued(body.transaction(), prices)
    result = services.gate.check(transaction, event=body.event().model_dump(mode="json"))
    if result.decision in ACCEPTED:
        return aml_view(result)
    if result.decision in HELD:
        response.status_code = HELD_CODE
        return aml_view(result)
    raise SettlementBlockedError(
        f"The settlement is {result.decision.value}: {result.reason} It must not happen"
        + (f"; see case {result.case_id}." if result.case_id else "."),
        result.case_id,
    )


@router.post("/settlements/{transaction_id}/release", responses=_DECIDED)
def release_settlement(
    services: ServicesDependency, actor: ActorDependency, transaction_id: TransactionPath, body: SettlementDecisionInput
) -> SettlementDecisionView:
    """Let a held settlement through after all: approves what another person proposed on its case."""
    return _decide(services, actor, transaction_id, Decision.RELEASED, body)


@router.post("/settlements/{transaction_id}/reject", responses=_DECIDED)
def reject_settlement(
    services: ServicesDependency, actor: ActorDependency, transaction_id: TransactionPath, body: SettlementDecisionInput
) -> SettlementDecisionView:
    """Refuse a held settlement for good: approves what another person proposed on its case."""
    return _decide(services, actor, transaction_id, Decision.REJECTED, body)


def _decide(
    services: Services, actor: Actor, transaction_id: str, decision: Decision, body: SettlementDecisionInput
) -> SettlementDecisionView:
    with services.engine.begin() as connection:
        held = read_transaction(connection, transaction_id)
        if held is None:
            raise TransactionUnknownError(f"There is no transaction {transaction_id}.")
        if held.decision not in (decision, Decision.REVIEW, Decision.BLOCKED) or held.case_id is None:
            state = held.decision.value if held.decision is not None else "not decided yet"
            raise CaseConflictError(f"Transaction {transaction_id} is {state}, not held.")
        if held.decision is not decision:
            _approve(connection, held.case_id, actor, decision, body, services.clock.now())
    result = services.gate.resolve(transaction_id, decision, actor, body.reason)
    return SettlementDecisionView(
        transaction_id=transaction_id, decision=result.decision, reason=result.reason, case_id=held.case_id
    )


def _approve(
    connection: Connection, case_id: str, actor: Actor, decision: Decision, body: SettlementDecisionInput, at: datetime
) -> None:
    case = cases.read_case(connection, case_id)
    if case.state is CaseState.CLOSED and case.outcome == decision.value:
        # A process ended after the approval; what is left is to carry it out.
        return
    if case.proposal is None or case.proposal.outcome != decision.value:
        raise CaseConflictError(
            f"Nobody proposed that {case.subject_id} is {decision.value}: another person proposes it first, at"
            f" POST /v1/compliance/cases/{case_id}/propose."
        )
    cases.approve(connection, case_id, version=body.version, reason=body.reason, actor=actor, at=at)

"""Transaction monitoring as people look at it: alerts, outcomes by rule, one transaction with its transfers."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from compliance.aml.errors import TransactionUnknownError
from compliance.api.access import GUARDS, ActorDependency
from compliance.api.aml_schemas import (
    AlertCursor,
    AlertList,
    AlertSummary,
    AlertView,
    RuleOutcomes,
    TransactionFile,
)
from compliance.api.aml_store import AlertFilters, read_alerts, read_summary
from compliance.api.dependencies import ServicesDependency, TransactionPath, errors
from compliance.api.masking import masker_of
from compliance.api.schemas import Id, UtcTime
from compliance.api.services import Services
from compliance.api.transaction_file import transaction_file
from compliance.authorization import Action, require
from compliance.errors import ComplianceInputError, ComplianceNotReadyError
from compliance.model import Decision, RuleOutcome, RuleSeverity
from compliance.policy.model import Policy
from infra.runtime.logs import get_logger

MAX_LIMIT = 200
SUMMARY_WINDOW = timedelta(days=90)
MOST_DAYS = timedelta(days=3660)
router = APIRouter(prefix="/v1/compliance", tags=["compliance"], dependencies=GUARDS)
RuleId = Annotated[str, Query(pattern=r"^[a-z][a-z0-9_]{0,63}$", examples=["structuring"])]
Since = Annotated[UtcTime | None, Query(description="raised at or after")]
Until = Annotated[UtcTime | None, Query(description="raised before")]
_COUNTS = [name for name, field in RuleOutcomes.model_fields.items() if field.annotation is int]
_log = get_logger(__name__)


@router.get("/aml-alerts", responses=errors(s422=f"request_invalid, {ComplianceInputError.code}, cursor_invalid"))
def list_aml_alerts(
    services: ServicesDependency,
    rule_id: RuleId | None = None,
    outcome: RuleOutcome | None = None,
    severity: RuleSeverity | None = None,
    account_id: Id | None = None,
    decision: Decision | None = None,
    is_shadow: bool | None = None,
    since: Since = None,
    until: Until = None,
    cursor: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,512}$", description="next_cursor")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> AlertList:
    """Answers of rules that are not clean and fit all filters, the newest first."""
    after = AlertCursor.decode(cursor) if cursor is not None else None
    filters = AlertFilters(
        # One more tells whether a page follows.
        limit=limit + 1,
        rule_id=rule_id,
        outcome=outcome,
        severity=severity,
        account_id=account_id,
        decision=decision,
        is_shadow=is_shadow,
        since=since,
        until=until,
        before=(after.at, after.alert_id) if after is not None else None,
    )
    with services.engine.connect() as connection:
        found = [AlertView.model_validate(dict(row)) for row in read_alerts(connection, filters)]
    page = found[:limit]
    last = AlertCursor(at=page[-1].raised_at, alert_id=page[-1].alert_id) if len(found) > limit else None
    return AlertList(alerts=page, next_cursor=last.encode() if last is not None else None)


@router.get("/aml-alerts/summary", responses=errors(s422=f"request_invalid, {ComplianceInputError.code}"))
def summarize_aml_alerts(services: ServicesDependency, since: Since = None, until: Until = None) -> AlertSummary:
    """What each rule found and what became of it; the last 90 days unless told, 3660 days at most."""
    end = until or services.clock.now()
    start = since or end - SUMMARY_WINDOW
    if not timedelta(0) < end - start <= MOST_DAYS:
        raise ComplianceInputError(f"since must lie before until, by {MOST_DAYS.days} days at most.")
    policy = _policy(services)
    with services.engine.connect() as connection:
        rows = [dict(row) for row in read_summary(connection, start, end)]
    running = {} if policy is None else {name: rule.shadow for name, rule in policy.aml.items() if rule.enabled}
    rules = [
        RuleOutcomes(**row, is_in_force=None if policy is None else running.get(row["rule_id"]) is row["is_shadow"])
        for row in rows
    ]
    seen = {(rule.rule_id, rule.is_shadow) for rule in rules}
    rules += [_silent(rule_id, is_shadow) for rule_id, is_shadow in running.items() if (rule_id, is_shadow) not in seen]
    return AlertSummary(
        since=start, until=end, policy_version=policy.version if policy is not None else None, rules=rules
    )


@router.get(
    "/transactions/{transaction_id}",
    responses=errors(s404=TransactionUnknownError.code),
)
def get_transaction(
    services: ServicesDependency,
    actor: ActorDependency,
    transaction_id: TransactionPath,
    with_addresses: Annotated[bool, Query(description="addresses whole, for who may see personal data")] = False,
) -> TransactionFile:
    """What was judged, every rule's answer, the case, and the transfers of the week before."""
    if with_addresses:
        require(actor, Action.READ_PERSONAL_DATA)
        _log.info("addresses_shown", actor=actor.name, transaction_id=transaction_id)
    policy = _policy(services)
    with services.engine.connect() as connection:
        return transaction_file(connection, transaction_id, masker_of(services, is_whole=with_addresses), policy)


def _policy(services: Services) -> Policy | None:
    try:
        return services.policies.current(services.clock.now())
    except ComplianceNotReadyError:
        return None


def _silent(rule_id: str, is_shadow: bool) -> RuleOutcomes:
    """A rule that runs and found nothing."""
    counts = dict.fromkeys(_COUNTS, 0)
    return RuleOutcomes(rule_id=rule_id, is_shadow=is_shadow, is_in_force=True, precision_pct=None, **counts)

"""What questions the model, over HTTP: backtests and stress tests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.dependencies import ReaderDependency
from api.errors import ScenarioUnknownError, documented
from api.risk import model_schemas as schemas
from api.risk.schemas import NoEstimates
from api.risk.service import computed_daily
from assets.risk import stress_queries, var_queries
from assets.risk.engine.methods import Method

router = APIRouter(prefix="/v1", tags=["risk"], responses=documented("request_invalid"))
MAX_ACCOUNTS = 200


@router.get("/risk/backtests")
def list_backtests(
    reader: ReaderDependency,
    subject_kind: Annotated[schemas.SubjectKind, Query(description="what is backtested")] = schemas.SubjectKind.BOOK,
    subject_id: Annotated[str, Query(max_length=128, description="asset or account; all unless given")] = "",
    method: Annotated[Method | None, Query(description="method; all unless given")] = None,
) -> schemas.BacktestsView:
    """The latest backtests: every test with its p-values, and a verdict in words."""
    rows = computed_daily(lambda: var_queries.var_backtests(reader, subject_kind, subject_id, method or ""))
    found = [schemas.BacktestView.model_validate(row) for row in rows]
    return schemas.BacktestsView(backtests=found, reason=None if found else NoEstimates.NOT_COMPUTED)


@router.get("/risk/stress")
def list_stress_results(reader: ReaderDependency) -> schemas.StressView:
    """What each scenario does to the book: margin calls, liquidations, collateral to sell, bad debt."""
    rows = computed_daily(lambda: stress_queries.stress_results(reader))
    found = [schemas.ScenarioView.model_validate(row) for row in rows]
    return schemas.StressView(scenarios=found, reason=None if found else NoEstimates.NOT_COMPUTED)


@router.get("/risk/stress/{scenario_id}/accounts", responses=documented("scenario_unknown"))
def list_stressed_accounts(
    reader: ReaderDependency,
    scenario_id: Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9_]+$", examples=["covid_2020_03"])],
    limit: Annotated[int, Query(ge=1, le=MAX_ACCOUNTS, description="how many accounts")] = 20,
) -> schemas.StressedAccountsView:
    """What a scenario does to each account, the largest loss first."""
    rows = stress_queries.stressed_accounts(reader, scenario_id, limit)
    if not rows:
        raise ScenarioUnknownError(f"There is no scenario {scenario_id!r} with an account; /v1/risk/stress lists them.")
    found = [schemas.StressedAccountView.model_validate(row) for row in rows]
    return schemas.StressedAccountsView(scenario_id=scenario_id, accounts=found)

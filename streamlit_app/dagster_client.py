"""What Dagster knows of assets, checks and runs, asked over its GraphQL; the app never imports Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from infra.runtime.errors import BallastError, NotReadyError

TIMEOUT_S = 15.0
RUNS = 12
QUERY = """
query DataHealth($runs: Int!) {
  assetNodes(loadMaterializations: true) {
    assetKey { path }
    internalFreshnessPolicy { ... on TimeWindowFreshnessPolicy { failWindowSeconds warnWindowSeconds } }
    freshnessStatusInfo { freshnessStatus }
    assetMaterializations(limit: 1) { timestamp }
    assetChecksOrError {
      ... on AssetChecks {
        checks {
          name
          blocking
          executionForLatestMaterialization { status timestamp runId evaluation { severity description } }
        }
      }
    }
  }
  runsOrError(limit: $runs) { ... on Runs { results { runId jobName status creationTime startTime endTime } } }
}
"""


class DagsterRefusedError(BallastError):
    """Dagster answers, but not what was asked for."""

    code = "dagster_refused"


@dataclass(frozen=True)
class Asset:
    """An asset by its key, such as `risk/book_var`.

    `freshness` is Dagster's own word (HEALTHY, WARNING, DEGRADED, UNKNOWN, NOT_APPLICABLE), None where the asset has no
    policy; the limits are seconds since it was last built (`built_at`, UTC).
    """

    key: str
    freshness: str | None
    warn_after_s: int | None
    fail_after_s: int | None
    built_at: datetime | None


@dataclass(frozen=True)
class Check:
    """A check of an asset (a dbt test too) and how it ended for what was built last.

    `status` is Dagster's own word (SUCCEEDED, FAILED, EXECUTION_FAILED, SKIPPED, IN_PROGRESS), None where it never ran.
    """

    asset: str
    name: str
    is_blocking: bool
    status: str | None
    severity: str | None
    description: str | None
    at: datetime | None
    run_id: str | None


@dataclass(frozen=True)
class Run:
    """A run of a job; `status` is Dagster's own word, times are UTC."""

    run_id: str
    job: str
    status: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class DagsterState:
    """Everything that one look at Dagster tells."""

    assets: tuple[Asset, ...]
    checks: tuple[Check, ...]
    runs: tuple[Run, ...]


def ask(url: str, client: httpx.Client) -> DagsterState:
    """The state of Dagster at `url`.

    Raises `NotReadyError` where it does not answer within `TIMEOUT_S` seconds or cannot now, and `DagsterRefusedError`
    where it answers something else.
    """
    try:
        answer = client.post(
            f"{url.rstrip('/')}/graphql", json={"query": QUERY, "variables": {"runs": RUNS}}, timeout=TIMEOUT_S
        )
    except httpx.HTTPError as error:
        raise NotReadyError(f"Dagster does not answer ({type(error).__name__}).") from error
    if answer.status_code >= 500:
        raise NotReadyError(f"Dagster answers {answer.status_code}.")
    if not answer.is_success:
        raise DagsterRefusedError(f"Dagster refused to answer ({answer.status_code}).")
    try:
        return _state(_Answer.model_validate_json(answer.content))
    except ValidationError as error:
        raise DagsterRefusedError(
            f"Dagster answers in a way that is not known ({error.error_count()} errors)."
        ) from None


def asset_address(url: str, asset: str) -> str:
    """Where Dagster shows an asset."""
    return f"{url.rstrip('/')}/assets/{quote(asset)}"


def check_address(url: str, check: Check) -> str:
    """Where Dagster shows a check."""
    return f"{asset_address(url, check.asset)}?{urlencode({'view': 'checks', 'checkDetail': check.name})}"


def run_address(url: str, run_id: str) -> str:
    """Where Dagster shows a run."""
    return f"{url.rstrip('/')}/runs/{quote(run_id, safe='')}"


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")


class _Key(_Wire):
    path: list[str]


class _Policy(_Wire):
    fail_window_seconds: int | None = None
    warn_window_seconds: int | None = None


class _Freshness(_Wire):
    freshness_status: str


class _Built(_Wire):
    timestamp: float


class _Evaluation(_Wire):
    severity: str
    description: str | None = None


class _Execution(_Wire):
    status: str
    timestamp: float
    run_id: str
    evaluation: _Evaluation | None = None


class _Check(_Wire):
    name: str
    blocking: bool
    execution_for_latest_materialization: _Execution | None = None


class _Checks(_Wire):
    checks: list[_Check] = Field(default_factory=list)


class _Node(_Wire):
    asset_key: _Key
    internal_freshness_policy: _Policy | None = None
    freshness_status_info: _Freshness | None = None
    asset_materializations: list[_Built] = Field(default_factory=list)
    asset_checks_or_error: _Checks = Field(default_factory=_Checks)


class _Run(_Wire):
    run_id: str
    job_name: str
    status: str
    creation_time: float
    start_time: float | None = None
    end_time: float | None = None


class _Runs(_Wire):
    results: list[_Run]


class _Data(_Wire):
    asset_nodes: list[_Node]
    runs_or_error: _Runs


class _Answer(_Wire):
    data: _Data


def _state(answer: _Answer) -> DagsterState:
    nodes = answer.data.asset_nodes
    return DagsterState(
        tuple(_asset(node) for node in nodes),
        tuple(_check(node, each) for node in nodes for each in node.asset_checks_or_error.checks),
        tuple(_run(each) for each in answer.data.runs_or_error.results),
    )


def _asset(node: _Node) -> Asset:
    policy = node.internal_freshness_policy or _Policy()
    status = node.freshness_status_info.freshness_status if node.freshness_status_info else None
    # Timestamps of materializations are milliseconds, all others seconds.
    built = max((each.timestamp / 1000 for each in node.asset_materializations), default=None)
    return Asset(
        "/".join(node.asset_key.path), status, policy.warn_window_seconds, policy.fail_window_seconds, _time(built)
    )


def _check(node: _Node, check: _Check) -> Check:
    last = check.execution_for_latest_materialization
    said = last.evaluation if last else None
    return Check(
        asset="/".join(node.asset_key.path),
        name=check.name,
        is_blocking=check.blocking,
        status=last.status if last else None,
        severity=said.severity if said else None,
        description=said.description if said else None,
        at=_time(last.timestamp) if last else None,
        run_id=last.run_id if last else None,
    )


def _run(run: _Run) -> Run:
    created = datetime.fromtimestamp(run.creation_time, UTC)
    return Run(run.run_id, run.job_name, run.status, created, _time(run.start_time), _time(run.end_time))


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

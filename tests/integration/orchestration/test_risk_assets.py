"""Methods and backtests as assets: verdicts as checks, and the daily job in its order on embedded servers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.closes import load_price_set
from ingest.market import collect_book, collect_closes

with warnings.catch_warnings():
    # Said by libraries of Dagster and dbt at their import.
    warnings.simplefilter("ignore")
    import dagster as dg

    from assets.platform import Platform
    from assets.risk.assets import verdict_checks
    from assets.risk.backtests import Judged
    from assets.risk.engine.backtests import Verdict
    from assets.risk.engine.methods import Method

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.xdist_group("built_warehouse"),
    pytest.mark.timeout(600),
    # Dagster asks pydantic for an attribute by its old name whenever a resource is made.
    pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated:DeprecationWarning"),
]

ESTIMATES, BACKTESTS = dg.AssetKey(["risk", "var_method_estimates"]), dg.AssetKey(["risk", "var_backtests"])
VECTORS, MARTS = (
    dg.AssetKey(["intermediate", "int_risk__exposure_vectors"]),
    {dg.AssetKey(["risk", name]) for name in ("portfolio_var", "book_var")},
)
CHECKS = ("book_model_verdict", "stored_forecasts_verdict", "other_verdicts")


def judged(verdict: Verdict, **changes: Any) -> Judged:
    """The verdict on the book's historical simulation over history at 99%, unless changed."""
    standard = Judged(
        kind="history",
        subject_kind="book",
        subject_id="book",
        method=Method.HISTORICAL,
        confidence=Decimal("0.99"),
        period="all_days",
        verdict=verdict,
        reason=f"because {verdict}",
    )
    return replace(standard, **changes)


def checks_of(*members: Judged) -> dict[str, dg.AssetCheckResult]:
    found = {str(check.check_name): check for check in verdict_checks(members)}
    assert tuple(found) == CHECKS
    assert {check.asset_key for check in found.values()} == {BACKTESTS}
    return found


@pytest.mark.parametrize(
    ("verdict", "passed", "severity"),
    [
        (Verdict.GREEN, True, "WARN"),
        (Verdict.UNKNOWN, False, "WARN"),
        (Verdict.AMBER, False, "WARN"),
        (Verdict.RED, False, "ERROR"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "name"), [("history", "book_model_verdict"), ("stored_forecasts", "stored_forecasts_verdict")]
)
def test_checks__of_the_book_follow_its_verdict(
    verdict: Verdict, passed: bool, severity: str, kind: str, name: str
) -> None:
    check = checks_of(judged(verdict, kind=kind))[name]
    assert (check.passed, check.severity.value) == (passed, severity)
    assert check.description == (f"{verdict}: book, historical_simulation at 99%, all days: because {verdict}")


@pytest.mark.parametrize(("verdict", "passed"), [(Verdict.GREEN, True), (Verdict.UNKNOWN, False), (Verdict.RED, False)])
@pytest.mark.parametrize(
    "changes",
    [
        {"method": Method.EWMA_DELTA_NORMAL},
        {"subject_kind": "asset", "subject_id": "BTC"},
        {"subject_kind": "account", "subject_id": "a", "kind": "stored_forecasts"},
    ],
)
def test_checks__of_others_warn_and_never_fail(verdict: Verdict, passed: bool, changes: dict[str, Any]) -> None:
    check = checks_of(judged(Verdict.GREEN), judged(verdict, **changes))["other_verdicts"]
    assert (check.passed, check.severity.value) == (passed, "WARN")


def test_checks__tell_the_worst_of_a_group_and_count_the_rest() -> None:
    checks = checks_of(
        judged(Verdict.GREEN),
        judged(Verdict.RED, confidence=Decimal("0.975"), period="last_250_days"),
        judged(Verdict.UNKNOWN),
        judged(Verdict.AMBER),
        judged(Verdict.AMBER, subject_kind="asset", subject_id="BTC"),
    )
    check = checks["book_model_verdict"]
    assert check.description == "red: book, historical_simulation at 97.5%, last 250 days: because red"
    assert check.metadata["verdicts"].value == {"green": 1, "red": 1, "unknown": 1, "amber": 1}
    worst = check.metadata["worst"].value
    assert isinstance(worst, list)
    assert [words.split(":")[0] for words in map(str, worst)] == ["red", "amber", "unknown", "green"]
    assert checks["other_verdicts"].description == (
        "amber: asset BTC, historical_simulation at 99%, all days: because amber"
    )


def test_checks__without_a_backtest_do_not_pass() -> None:
    for check in checks_of().values():
        assert (check.passed, check.severity.value) == (False, "WARN")
        assert check.description == "nothing was backtested"


@dataclass(frozen=True)
class Run:
    """What the daily job did."""

    result: dg.ExecuteInProcessResult
    warehouse: Warehouse


@pytest.fixture(scope="module")
def run(
    new_project: Callable[..., Settings], deliver_events: Callable[..., None], without_warnings: Callable[[], Any]
) -> Iterator[Run]:
    """The part of the daily job that follows from closes, on simulated closes and a book of ten accounts."""
    settings, clock = new_project("ballast-daily-job", book_accounts=10), SystemClock()
    warehouse, found = Warehouse(settings), collect_closes(settings, clock)
    load_price_set(warehouse, found, clock)
    deliver_events(settings, collect_book(settings, found), clock.now())
    assert settings.bigquery_token is not None
    own = {
        "BALLAST_STATE_DIR": str(settings.state_dir),
        "BALLAST_GCP_PROJECT": settings.gcp_project,
        "BALLAST_BIGQUERY_ENDPOINT": str(settings.bigquery_endpoint),
        "BALLAST_BIGQUERY_STORAGE_ENDPOINT": str(settings.bigquery_storage_endpoint),
        "BALLAST_BIGQUERY_TOKEN": settings.bigquery_token.get_secret_value(),
    }
    with without_warnings():
        os.environ.update(own)
        from orchestration.definitions import build_definitions

        job = build_definitions(settings).resolve_job_def("risk_daily_job")
        selected = dg.AssetSelection.assets(BACKTESTS, *MARTS).upstream() - dg.AssetSelection.groups("raw")
        keys = selected.resolve(job.asset_layer.asset_graph)
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(
                instance=instance, asset_selection=[*keys, dg.AssetKey(["risk", "var_exceptions"])]
            )
    yield Run(result, warehouse)
    Platform.clients.discard()


def test_daily_job__estimates_the_methods_between_what_they_rest_on_and_the_marts(run: Run) -> None:
    order = [event.asset_key for event in run.result.get_asset_materialization_events()]
    place = order.index(ESTIMATES)
    assert order.index(VECTORS) < place
    assert all(place < order.index(mart) < order.index(BACKTESTS) for mart in MARTS)
    [rows] = run.warehouse.query(
        "select countif(method = 'age_weighted') as others, countif(es_lower_usd is not null) as intervals "
        "from risk.portfolio_var"
    )
    assert rows["others"] > 0
    assert rows["intervals"] > 0


def test_daily_job__yields_the_verdicts_as_checks(run: Run) -> None:
    found = {
        check.check_name: check for check in run.result.get_asset_check_evaluations() if check.asset_key == BACKTESTS
    }
    assert sorted(found) == sorted(CHECKS)
    stored = found["stored_forecasts_verdict"]
    assert (stored.passed, stored.severity.value) == (False, "WARN")
    assert "no day has both a forecast and P&L" in str(stored.description)
    [rows] = run.warehouse.query("select count(*) as n from risk.var_backtests")
    counted: list[Any] = [check.metadata["verdicts"].value for check in found.values()]
    assert sum(sum(verdicts.values()) for verdicts in counted) == rows["n"]

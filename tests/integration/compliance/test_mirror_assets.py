"""The copies of compliance as Dagster assets: each with a check that fails the run where the copy is not whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import pytest
from sqlalchemy import Engine, text

from compliance.errors import ComplianceNotReadyError
from compliance.mirror import held_mirror
from compliance.mirror_tables import POLICIES, STREAMS
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import LocalKeyRing
from infra.runtime.settings import Settings

with warnings.catch_warnings():
    # Said by libraries of Dagster and dbt at their import.
    warnings.simplefilter("ignore")
    import dagster as dg

    from assets.compliance.assets import CHECK, EVERYBODY_CHECK, compliance_copies, copy_key, rescreening
    from assets.compliance.rescreening import rescreen_customers
    from assets.platform import Platform

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.timeout(600),
    # Dagster asks pydantic for an attribute by its old name whenever a resource is made.
    pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated:DeprecationWarning"),
]


@dataclass(frozen=True)
class Ground:
    """PostgreSQL with one policy, and a warehouse that has no copy of it."""

    engine: Engine
    warehouse: Warehouse


@pytest.fixture(scope="module")
def project(new_project: Callable[..., Settings]) -> Settings:
    """A project with the raw tables, which one test alone fills."""
    project = new_project("ballast-compliance-copies")
    LocalKeyRing.create(project.state_dir / "keys.json")
    return project


@pytest.fixture
def ground_of_copies(
    engine: Engine,
    clock: FixedClock,
    postgres_settings: Settings,
    project: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ground]:
    assert project.bigquery_token is not None
    environment = {
        "BALLAST_STATE_DIR": project.state_dir,
        "BALLAST_GCP_PROJECT": project.gcp_project,
        "BALLAST_BIGQUERY_ENDPOINT": project.bigquery_endpoint,
        "BALLAST_BIGQUERY_TOKEN": project.bigquery_token.get_secret_value(),
        "BALLAST_POSTGRES_URL": postgres_settings.postgres_url.get_secret_value(),
        "BALLAST_PII_KEY_FILE": project.state_dir / "keys.json",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    with engine.begin() as connection:
        connection.execute(
            text("insert into compliance.policies values ('p1', 'desk', 'aa', '{}', :at, :at)"), {"at": clock.now()}
        )
    warehouse = Warehouse(project)
    yield Ground(engine, warehouse)
    warehouse.client.close()  # type: ignore[no-untyped-call]
    Platform.clients.discard()


def materialized() -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [compliance_copies], resources={"platform": Platform()}, instance=instance, raise_on_error=False
        )


def told(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    """By table, whether its check passed and what it said."""
    return {
        check.asset_key.path[-1]: (check.passed, str(check.description))
        for check in result.get_asset_check_evaluations()
        if check.check_name == CHECK
    }


def test_copies__are_compared_table_by_table_and_one_that_is_not_whole_fails(ground_of_copies: Ground) -> None:
    result = materialized()
    assert result.success
    assert told(result) == {stream.target.name: (True, "equal") for stream in STREAMS}
    copied = {
        event.asset_key: event.step_materialization_data.materialization.metadata["rows_copied"].value
        for event in result.get_asset_materialization_events()
    }
    assert copied == {copy_key(stream): 1 if stream is POLICIES else 0 for stream in STREAMS}
    ground_of_copies.warehouse.query("delete from raw.compliance_policies where true")
    found = told(materialized())
    passed, words = found.pop("compliance_policies")
    assert not passed
    assert words.startswith("rows: 1 in PostgreSQL, 0 in the warehouse")
    assert all(each == (True, "equal") for each in found.values())


def test_copies__ask_for_another_try_while_another_mirror_works(ground_of_copies: Ground, clock: FixedClock) -> None:
    with (
        held_mirror(ground_of_copies.engine, ground_of_copies.warehouse, clock, str),
        pytest.raises(dg.RetryRequested),
    ):
        next(cast("Iterator[object]", compliance_copies(platform=Platform())))


def test_rescreening__without_a_list_fails(ground_of_copies: Ground, clock: FixedClock) -> None:
    with pytest.raises(ComplianceNotReadyError):
        rescreen_customers(Platform().settings(), clock)


@pytest.mark.parametrize(("errors", "passed"), [(0, True), (1, False)])
def test_rescreening__passes_only_when_everybody_was_screened(
    errors: int, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compliance.screening.rescreening import Rescreening

    done = Rescreening("run_1", {"ofac": "lst_1"}, 2, 1, 3, 2, 1, errors)
    monkeypatch.setattr("assets.compliance.assets.rescreen_customers", lambda *_: done)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([rescreening], resources={"platform": Platform()}, instance=instance)
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (EVERYBODY_CHECK, passed)
    assert check.description == f"{errors} of 2 customers could not be screened"
    [event] = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert (metadata["customers"].value, metadata["screened_in_full"].value, metadata["new_hits"].value) == (2, 2, 1)

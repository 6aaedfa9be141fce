"""What the app asks of Dagster: valid in its schema, read as it answers, and told when it does not."""

from __future__ import annotations

import json
import socket
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from infra.runtime.errors import NotReadyError
from streamlit_app import dagster_client
from streamlit_app.dagster_client import Asset, Check, DagsterRefusedError, Run
from tests.unit.streamlit_app.operations_server import Operations, operations

ANSWER = json.loads((Path(__file__).with_name("dagster_answer.json")).read_text())


@pytest.fixture
def dagster() -> Iterator[Operations]:
    """A local server in place of Dagster's."""
    with operations() as server:
        server.answers["/graphql"] = (200, ANSWER)
        yield server


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as made:
        yield made


def test_query__is_valid_in_the_schema_of_the_pinned_dagster() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dagster_graphql.schema import create_schema
        from graphql import parse, validate

        schema = create_schema()
    assert validate(schema.graphql_schema, parse(dagster_client.QUERY)) == []


def test_ask__reads_assets_checks_and_runs(dagster: Operations, client: httpx.Client) -> None:
    found = dagster_client.ask(dagster.url + "/", client)
    at = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    assert found.assets[0] == Asset("risk/book_var", "HEALTHY", 93_600, 129_600, at)
    assert found.assets[1] == Asset("raw/market_prices", None, None, None, None)
    assert found.checks[0] == Check(
        "risk/book_var", "book_verdict", True, "FAILED", "ERROR", "red: 40 exceptions", at, "run-1"
    )
    assert found.checks[1].status is None
    assert found.runs[0] == Run("run-1", "risk_daily_job", "FAILURE", at, at, datetime(2026, 3, 2, 12, 31, tzinfo=UTC))
    assert found.runs[1].ended_at is None
    assert dagster.asked[0]["variables"] == {"runs": dagster_client.RUNS}


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((500, "broken"), NotReadyError, "answers 500"),
        ((404, "gone"), DagsterRefusedError, "404"),
        ((302, ""), DagsterRefusedError, "302"),
        ((200, "<html>sign in</html>"), DagsterRefusedError, "not known"),
        ((200, {"data": None, "errors": [{"message": "secret"}]}), DagsterRefusedError, "not known"),
        ((200, {"data": {"assetNodes": [], "runsOrError": {"message": "x"}}}), DagsterRefusedError, "not known"),
    ],
)
def test_ask__says_when_dagster_gives_no_answer_to_use(
    dagster: Operations, client: httpx.Client, answer: tuple[int, object], error: type[Exception], words: str
) -> None:
    dagster.answers["/graphql"] = answer
    with pytest.raises(error, match=words) as raised:
        dagster_client.ask(dagster.url, client)
    assert "secret" not in str(raised.value)


def test_ask__says_when_nobody_listens_or_answers_in_time(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_client, "TIMEOUT_S", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NotReadyError, match="ConnectError"):
            dagster_client.ask(url, client)
        silent.listen()
        with pytest.raises(NotReadyError, match="ReadTimeout"):
            dagster_client.ask(url, client)


def test_addresses__lead_to_dagsters_own_pages() -> None:
    check = Check("risk/a b", "c&d", False, None, None, None, None, None)
    assert dagster_client.asset_address("http://d/", check.asset) == "http://d/assets/risk/a%20b"
    assert dagster_client.check_address("http://d", check) == (
        "http://d/assets/risk/a%20b?view=checks&checkDetail=c%26d"
    )
    assert dagster_client.run_address("http://d", "x/y") == "http://d/runs/x%2Fy"

"""The process: what it serves while its servers are away, what it logs, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

TOKEN = "a-token-of-the-tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, but on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def away(closed_port: int) -> dict[str, str]:
    """Variables of servers that are away."""
    return {
        "BALLAST_API_TOKEN": TOKEN,
        "BALLAST_BIGQUERY_ENDPOINT": f"http://127.0.0.1:{closed_port}",
        "BALLAST_BIGQUERY_TOKEN": "bigquery-hunter2",
        "BALLAST_POSTGRES_URL": f"postgresql+psycopg://ballast:hunter2@127.0.0.1:{closed_port}/ballast",
    }


def test_process__lives_and_says_what_is_away(
    serving: Callable[..., Any], away: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with serving(tmp_path, away, log) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
        assert ready.status_code == 503
        states = {name: part["state"] for name, part in ready.json()["parts"].items()}
        assert states == {"authentication": "up", "bigquery": "down", "postgres": "down"}
        assert client.get("/v1/book").status_code == 401
        for path in ("/v1/book", "/v1/notifications", "/v1/portfolios/acct-00001/exposure"):
            response = client.get(f"{path}?key=query-hunter2", headers=AUTHORIZED)
            assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
            assert response.headers["Retry-After"] == "5"
        assert "server" not in response.headers
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["path"] for line in lines if line["event"] == "request"} >= {"/readyz", "/v1/book"}
    assert all(line["service"] == "api" for line in lines if line["event"] == "request")
    assert "hunter2" not in log.read_text()
    assert TOKEN not in log.read_text()


def test_process__without_a_token_refuses_all_but_the_health_checks(
    serving: Callable[..., Any], away: dict[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, away | {"BALLAST_API_TOKEN": ""}, tmp_path / "api.log") as (_, url):
        response = httpx.get(f"{url}/openapi.json", headers=AUTHORIZED)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "token_not_configured")
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_process__with_an_unusable_database_address_says_which_variable(
    serving: Callable[..., Any], away: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with (
        pytest.raises(AssertionError, match="did not come up"),
        serving(tmp_path, away | {"BALLAST_POSTGRES_URL": "hunter2"}, log),
    ):
        pass
    assert "BALLAST_POSTGRES_URL" in log.read_text()
    assert "hunter2" not in log.read_text()

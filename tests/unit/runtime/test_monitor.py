"""The small server that shows a process's health and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.runtime.errors import SettingsError
from infra.runtime.monitor import Health, MonitorServer


@pytest.fixture
def serve() -> Iterator[Callable[..., httpx.Client]]:
    """A server on a free port, and a client of it."""
    made: list[Any] = []

    def make(health: Health, token: str | None = "token", name: str = "oracle") -> httpx.Client:
        given = SecretStr(token) if token is not None else None
        server = MonitorServer(0, given, lambda: health, lambda: b"metric 1\n", name=name)
        server.start()
        client = httpx.Client(base_url=f"http://127.0.0.1:{server.server_address[1]}", trust_env=False)
        made.extend((client, server))
        return client

    yield make
    for each in made:
        each.close()


def test_monitor__health_is_open_and_metrics_want_the_token(serve: Callable[..., httpx.Client]) -> None:
    client = serve(Health(True, {"status": "ok"}))
    assert client.get("/healthz").json() == {"status": "ok"}
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic token"}):
        answer = client.get("/metrics", headers=headers)
        assert (answer.status_code, "metric" in answer.text) == (401, False)
    answer = client.get("/metrics", headers={"Authorization": "Bearer token"})
    assert (answer.status_code, answer.text) == (200, "metric 1\n")
    assert answer.headers["content-type"].startswith("text/plain")
    assert client.get("/other", headers={"Authorization": "Bearer token"}).status_code == 404


@pytest.mark.parametrize("token", [None, "", " "])
def test_monitor__without_a_token_shows_no_metrics(serve: Callable[..., httpx.Client], token: str | None) -> None:
    client = serve(Health(False, {"status": "not_deciding"}), token)
    assert client.get("/healthz").status_code == 503
    assert client.get("/metrics", headers={"Authorization": "Bearer"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 401


@pytest.mark.parametrize(
    ("name", "variable"), [("oracle", "BALLAST_ORACLE_PORT"), ("alert-worker", "BALLAST_ALERT_WORKER_PORT")]
)
def test_monitor__names_a_port_that_is_taken(serve: Callable[..., httpx.Client], name: str, variable: str) -> None:
    port = serve(Health(True, {})).base_url.port
    with pytest.raises(SettingsError, match=f"Port {port} is taken; set {variable}"):
        MonitorServer(port or 0, None, lambda: Health(True, {}), lambda: b"", name=name)


def test_monitor__says_whose_it_is_and_no_versions(serve: Callable[..., httpx.Client]) -> None:
    answer = serve(Health(True, {}), name="alert-upkeep").get("/metrics")
    assert answer.headers["server"] == "ballast-alert-upkeep"
    assert answer.headers["www-authenticate"] == 'Bearer realm="ballast-alert-upkeep"'

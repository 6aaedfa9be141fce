"""Liveness asks nobody; readiness asks every part in parallel and believes none without an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import create_engine

from api.health.schemas import PartState, PartView
from api.health.service import ReadinessChecks, workers_of
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError, WarehouseError
from infra.runtime.heartbeats import Beat
from infra.runtime.settings import Settings

SECRET = "postgresql://ballast:hunter2@db.internal/ballast"


def test_healthz__asks_no_other_server(client: httpx.Client, reader: Any) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert reader.asked == []


def test_readyz__is_ready_if_every_part_is_up(client: httpx.Client) -> None:
    response = client.get("/readyz")
    up = {"state": "up", "reason": None}
    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "parts": {"authentication": up, "bigquery": up, "postgres": up},
        # The database of these tests holds no heartbeats.
        "workers": {
            "margin_sensor": {
                "state": "unknown",
                "reason": "heartbeats_unreadable",
                "beat_at": None,
                "age_seconds": None,
            }
        },
        "checked_at": "2026-01-31T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotReadyError(SECRET), "not_ready"),
        (WarehouseError(SECRET), "warehouse_failed"),
        (ZeroDivisionError(SECRET), "failed"),
    ],
)
def test_readyz__names_the_part_that_is_down_but_no_secret(
    client: httpx.Client, reader: Any, error: Exception, reason: str
) -> None:
    reader.answers["select 1 as one"] = error
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.json()["status"] == "not_ready"
    assert response.json()["parts"]["bigquery"] == {"state": "down", "reason": reason}
    assert response.json()["parts"]["postgres"]["state"] == "up"
    assert "hunter2" not in response.text


def test_readyz__without_a_database_is_not_ready(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})
    response = serve(make_app(engine=away)).get("/readyz")
    away.dispose()
    assert response.status_code == 503
    assert response.json()["parts"]["postgres"] == {"state": "down", "reason": "not_ready"}


def test_readyz__without_a_token_is_not_ready(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    response = serve(make_app(settings=Settings(api_token=SecretStr("")))).get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["authentication"] == {"state": "down", "reason": "token_not_configured"}


def test_readiness__runs_parts_side_by_side(now: datetime) -> None:
    both = threading.Barrier(2, timeout=60)
    checks = ReadinessChecks({"a": both.wait, "b": both.wait}, True, FixedClock(now), timeout_s=60)
    found = anyio.run(checks.check)
    checks.close()
    assert found.status == "ready"


def test_readiness__of_a_part_that_hangs_is_down_and_joined_by_the_next_check(now: datetime) -> None:
    release = threading.Event()
    begun: list[int] = []

    def hang() -> None:
        begun.append(1)
        release.wait(60)

    async def check_until_up() -> list[PartView]:
        checks = ReadinessChecks({"slow": hang}, True, FixedClock(now), timeout_s=0.1)
        found = [(await checks.check()).parts["slow"] for _ in range(3)]
        assert len(begun) == 1
        release.set()
        while found[-1].state is PartState.DOWN:
            found.append((await checks.check()).parts["slow"])
        checks.close()
        return found

    found = anyio.run(check_until_up)
    assert found[:3] == [PartView(state=PartState.DOWN, reason="timeout")] * 3
    assert found[-1] == PartView(state=PartState.UP, reason=None)


def test_workers__sensor_that_never_beat_is_unknown() -> None:
    found = workers_of({})
    assert {name: (each.state, each.reason) for name, each in found.items()} == {
        "margin_sensor": ("unknown", "never_beat")
    }


@pytest.mark.parametrize(
    ("age_s", "problem", "state", "reason"),
    [
        (10.0, None, "up", None),
        (10.1, None, "down", "heartbeat_old"),
        (0.2, "not_ready", "down", "not_ready"),
        (99.0, "not_ready", "down", "heartbeat_old"),
    ],
)
def test_workers__sensor_is_up_while_it_ticks_and_can_judge(
    now: datetime, age_s: float, problem: str | None, state: str, reason: str | None
) -> None:
    found = workers_of({"margin_sensor": Beat("margin_sensor", now, age_s, problem=problem)})["margin_sensor"]
    assert (found.state, found.reason, found.beat_at, found.age_seconds) == (state, reason, now, age_s)


def test_workers__processes_that_nobody_knows_are_not_told(now: datetime) -> None:
    found = workers_of({name: Beat(name, now, 20.0) for name in ("runner", "consumer", "stranger")})
    assert {name: each.state for name, each in found.items()} == {
        "consumer": "down",
        "margin_sensor": "unknown",
        "runner": "up",
    }


def test_readiness__tells_of_workers_and_serves_without_them(now: datetime) -> None:
    beats = {"margin_sensor": Beat("margin_sensor", now, 60.0)}
    checks = ReadinessChecks({}, True, FixedClock(now), beats=lambda: beats)
    found = anyio.run(checks.check)
    checks.close()
    assert (found.status, found.workers["margin_sensor"].state) == ("ready", "down")

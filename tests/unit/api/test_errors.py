"""Every failure has one shape, a stable code, a request id, and no internals."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests
from fastapi import FastAPI
from google.api_core import exceptions as google_exceptions
from sqlalchemy import create_engine
from sqlalchemy import exc as sql
from starlette.exceptions import HTTPException

import alerting.errors
import api.errors
import assets.risk.engine.errors
import infra.runtime.errors
from api.errors import RULES, ErrorBody, InternalError, as_ballast_error
from assets.risk import queries
from infra.runtime.errors import AppendError, BallastError, NotReadyError, SettingsError, WarehouseError

SECRET = "postgresql://ballast:hunter2@db.internal/ballast"
MODULES = (alerting.errors, api.errors, assets.risk.engine.errors, infra.runtime.errors)
KNOWN = sorted(
    {each for module in MODULES for _, each in inspect.getmembers(module, inspect.isclass)},
    key=lambda each: each.__name__,
)
ERRORS = [each for each in KNOWN if issubclass(each, BallastError)]


def _raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as raised:
        return raised


CASES: dict[str, tuple[Exception, int, str]] = {
    "server away": (NotReadyError(SECRET), 503, "not_ready"),
    "no connection": (requests.exceptions.ConnectionError(SECRET), 503, "not_ready"),
    "no answer": (requests.exceptions.ReadTimeout(SECRET), 503, "not_ready"),
    "no database": (sql.OperationalError(SECRET, {}, Exception(SECRET)), 503, "not_ready"),
    "pool exhausted": (sql.TimeoutError(SECRET), 503, "not_ready"),
    "statement refused": (WarehouseError(SECRET), 502, "warehouse_failed"),
    "mart not built": (
        _raised_from(WarehouseError(SECRET), google_exceptions.NotFound(SECRET)),
        503,
        "marts_not_built",
    ),
    "rows refused": (AppendError(SECRET, {0: SECRET}), 502, "warehouse_append_failed"),
    "unlucky framework": (HTTPException(500, SECRET), 500, "internal_error"),
    "no rule": (SettingsError(SECRET), 500, "internal_error"),
    "a fault": (ZeroDivisionError(SECRET), 500, "internal_error"),
}


@pytest.mark.parametrize("case", CASES)
def test_server_fault__is_mapped_and_shows_no_internals(client: httpx.Client, reader: Any, case: str) -> None:
    error, status, code = CASES[case]
    reader.answers[queries.BOOK_SUMMARY_SQL] = error
    response = client.get("/v1/book", headers={"X-Request-ID": "asked-1"})
    assert response.status_code == status
    body = ErrorBody.model_validate(response.json())
    assert body.error.code == code
    assert body.error.request_id == response.headers["X-Request-ID"] == "asked-1"
    assert "hunter2" not in response.text
    assert type(error).__name__ not in response.text
    assert ("Retry-After" in response.headers) is (status == 503)
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_rules__cover_each_error_that_a_read_can_meet(kind: type[BallastError]) -> None:
    without_rule = {
        "ballast_error",
        "settings_invalid",
        "api_failed",
        "alerting_failed",
        "margin_event_invalid",
        "margin_event_version_unknown",
        "margin_input_invalid",
        "template_failed",
    }
    assert (kind.code in RULES) is (kind.code not in without_rule), f"decide the status of {kind.code} in api/errors.py"


def test_unknown_error__keeps_its_words_for_the_log() -> None:
    known = as_ballast_error(ZeroDivisionError("by zero"))
    assert isinstance(known, InternalError)
    assert known.message == "ZeroDivisionError: by zero"


def test_notifications__without_a_database_are_not_ready(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})
    response = serve(make_app(engine=away)).get("/v1/notifications")
    away.dispose()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert "127.0.0.1" not in response.text


def test_unknown_address__is_404(client: httpx.Client) -> None:
    response = client.get("/v1/none")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_unknown_method__is_405_and_names_the_methods(client: httpx.Client) -> None:
    response = client.post("/v1/book")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "GET"


@pytest.fixture
def echo(make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]) -> httpx.Client:
    """An application with a route that takes a body."""
    app = make_app()

    @app.post("/v1/echo")
    def echo(body: dict[str, str]) -> int:
        return len(body["a"])

    return serve(app)


def _chunks(size: int) -> Iterator[bytes]:
    yield b'{"a": "'
    yield b"x" * size
    yield b'"}'


def test_large_body__is_413_by_its_told_length(echo: httpx.Client) -> None:
    response = echo.post("/v1/echo", json={"a": "x" * 1_000_001})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


def test_large_body__is_413_where_no_length_is_told(echo: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    response = echo.post("/v1/echo", content=_chunks(1_000_001), headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert echo.post("/v1/echo", content=_chunks(900_000), headers=headers).json() == 900_000


def test_invalid_request__names_the_field_but_not_its_value(client: httpx.Client) -> None:
    response = client.get("/v1/portfolios", params={"limit": "hunter2"})
    error = response.json()["error"]
    assert error["code"] == "request_invalid"
    assert "query.limit" in error["message"]
    assert "hunter2" not in response.text


def test_slow_read__is_answered_504_and_its_late_end_is_dropped(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], reader: Any, rows: Any
) -> None:
    release = threading.Event()
    ended = threading.Event()

    def wait() -> list[dict[str, Any]]:
        release.wait(60)
        ended.set()
        return [rows.book]

    client = serve(make_app(request_timeout_s=0.05))
    reader.answers[queries.BOOK_SUMMARY_SQL] = wait
    try:
        response = client.get("/v1/book")
        assert (response.status_code, response.json()["error"]["code"]) == (504, "request_timeout")
        assert response.headers["X-Request-ID"] == response.json()["error"]["request_id"]
        assert not ended.is_set()
    finally:
        release.set()
    assert ended.wait(60)


def test_slow_reads__that_wait_for_a_thread_are_dropped_and_never_run(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client], reader: Any, rows: Any
) -> None:
    threads = 40
    release = threading.Event()
    begun: list[int] = []

    def wait() -> list[dict[str, Any]]:
        begun.append(1)
        release.wait(60)
        return [rows.book]

    client = serve(make_app(request_timeout_s=0.02))
    reader.answers[queries.BOOK_SUMMARY_SQL] = wait
    try:
        statuses = [client.get("/v1/book").status_code for _ in range(threads + 10)]
    finally:
        release.set()
    assert statuses == [504] * (threads + 10)
    assert len(begun) <= threads

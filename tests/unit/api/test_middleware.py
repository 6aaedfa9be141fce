"""Request ids, headers and the access log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from api.middleware import SECURITY_HEADERS


@pytest.mark.parametrize("path", ["/healthz", "/v1/book", "/v1/none", "/v1/portfolios?limit=0", "/openapi.json"])
def test_response__has_an_id_and_security_headers(client: httpx.Client, path: str) -> None:
    first, second = client.get(path), client.get(path)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert {name: first.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("given", ["a", "4bf92f3577b34da6a3ce929d0e0e4736", "job-1:step.2"])
def test_request_id__of_the_caller_is_kept(client: httpx.Client, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", " ", "a b", "a" * 65, '"quoted"', "-a", "a{"])
def test_request_id__that_is_malformed_is_replaced(client: httpx.Client, given: str) -> None:
    answered = client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert len(answered) == 32
    assert answered != given


def test_request_id__reaches_the_endpoint_thread(
    make_app: Callable[..., FastAPI], serve: Callable[..., httpx.Client]
) -> None:
    app = make_app()

    @app.get("/v1/bound")
    def bound() -> dict[str, Any]:
        return {"request_id": get_contextvars().get("request_id")}

    response = serve(app).get("/v1/bound", headers={"X-Request-ID": "asked-1"})
    assert response.json() == {"request_id": "asked-1"}


def _logged(client: httpx.Client, path: str) -> list[Any]:
    with capture_logs() as lines:
        client.get(path)
    return [line for line in lines if line["event"] == "request"]


def test_access_log__names_the_path_but_not_the_query_or_the_token(client: httpx.Client, token: str) -> None:
    lines = _logged(client, "/v1/portfolios?cursor=hunter2")
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [("GET", "/v1/portfolios", 422)]
    assert "hunter2" not in str(lines)
    assert token not in str(lines)


def test_access_log__keeps_quiet_about_health_checks_that_pass(client: httpx.Client, reader: Any) -> None:
    assert [line["log_level"] for line in _logged(client, "/readyz")] == ["debug"]
    reader.answers["select 1 as one"] = ValueError("away")
    assert [line["log_level"] for line in _logged(client, "/readyz")] == ["info"]


def test_access_log__cuts_a_long_path(client: httpx.Client) -> None:
    assert [len(line["path"]) for line in _logged(client, "/" + "a" * 1000)] == [200]


def test_fault__is_logged_with_its_cause_and_the_request_id(client: httpx.Client, reader: Any) -> None:
    from assets.risk import queries

    reader.answers[queries.BOOK_SUMMARY_SQL] = ZeroDivisionError("by zero")
    with capture_logs() as lines:
        response = client.get("/v1/book")
    faults = [line for line in lines if line["event"] == "request_failed"]
    assert response.status_code == 500
    assert [(line["code"], line["reason"]) for line in faults] == [("internal_error", "ZeroDivisionError: by zero")]
    assert isinstance(faults[0]["exc_info"], ZeroDivisionError)

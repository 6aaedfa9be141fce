"""Who may open the stream: the token in a header or a subprotocol, a page of the same host, a free place."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.stream.endpoints import is_allowed_origin
from api.stream.policy import StreamPolicy
from infra.runtime.settings import Settings

BEARER = {"Authorization": "Bearer a-token-of-the-tests"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "token_missing"),
    "wrong header": ({"additional_headers": {"Authorization": "Bearer another"}}, "token_invalid"),
    "other scheme": ({"additional_headers": {"Authorization": "Basic a-token-of-the-tests"}}, "token_missing"),
    "wrong subprotocol": ({"subprotocols": ["ballast.v1", "bearer.another"]}, "token_invalid"),
    "empty subprotocol": ({"subprotocols": ["ballast.v1", "bearer."]}, "token_invalid"),
    "no bearer subprotocol": ({"subprotocols": ["ballast.v1", "a-token-of-the-tests"]}, "token_missing"),
    "both": ({"additional_headers": BEARER, "subprotocols": ["bearer.a-token-of-the-tests"]}, "token_missing"),
}


def _refusal(url: str, **arguments: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None, **arguments):
        pass
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"")["error"]["code"]


def test_handshake__without_the_token_is_401(host: str, book: Any) -> None:
    found = {case: _refusal(f"ws://{host}/v1/stream", **arguments) for case, (arguments, _) in REFUSED.items()}
    assert found == {case: (401, code) for case, (_, code) in REFUSED.items()}
    assert book.asked == []


def test_handshake__takes_no_token_from_the_query_and_logs_none(host: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="uvicorn.error"):
        url = f"ws://{host}/v1/stream?token=a-token-of-the-tests"
        assert _refusal(url) == (401, "token_missing")
        with connect(url, proxy=None, additional_headers=BEARER):
            pass
    logged = [record.getMessage() for record in caplog.records if "/v1/stream" in record.getMessage()]
    assert any("accepted" in line for line in logged)
    assert not any("token=" in line for line in logged)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_handshake__takes_the_token_as_a_subprotocol(host: str, dial: Callable[..., Any]) -> None:
    client = dial(host, additional_headers={}, subprotocols=["ballast.v1", "bearer.a-token-of-the-tests"])
    assert client.socket.subprotocol == "ballast.v1"
    client.send({"type": "ping"})
    client.until("pong")


def test_handshake__without_a_configured_token_is_503(
    make_stream_app: Callable[..., FastAPI], serving: Callable[..., Any]
) -> None:
    with serving(make_stream_app(settings=Settings(api_token=SecretStr(" ")))) as host:
        assert _refusal(f"ws://{host}/v1/stream", additional_headers=BEARER) == (503, "token_not_configured")


def test_handshake__of_a_foreign_page_is_403(host: str, dial: Callable[..., Any]) -> None:
    refused = _refusal(f"ws://{host}/v1/stream", additional_headers=BEARER, origin="https://elsewhere.example")
    assert refused == (403, "origin_refused")
    own_page = dial(host, origin="http://127.0.0.1:8601")
    own_page.send({"type": "ping"})
    own_page.until("pong")


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://api.example", True),
        ("http://api.example:8601", True),
        ("https://app.example", True),
        ("https://app.example.evil", False),
        ("https://api.example.evil", False),
        ("null", False),
        ("", False),
        ("file://api.example", False),
        ("http://[", False),
    ],
)
def test_origin__is_the_same_host_or_listed(origin: str, is_allowed: bool) -> None:
    assert is_allowed_origin(origin, "api.example:8600", frozenset({"https://app.example"})) is is_allowed


def test_handshake__beyond_the_places_is_503_until_one_is_free(
    make_stream_app: Callable[..., FastAPI], serving: Callable[..., Any], dial: Callable[..., Any], quick: StreamPolicy
) -> None:
    with serving(make_stream_app(replace(quick, max_connections=1))) as host:
        first = dial(host)
        first.subscribe(accounts=["acct-1"])
        url = f"ws://{host}/v1/stream"
        assert _refusal(url, additional_headers=BEARER) == (503, "streams_full")
        first.socket.close()
        # The server forgets the first one a moment after it has left.
        second = None
        while second is None:
            with contextlib.suppress(InvalidStatus):
                second = dial(host)
        assert second.subscribe(accounts=["acct-1"])["accounts"]

"""The app's requests to the API: whose they are, what becomes of refusals, and of an API that is away."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import httpx
import pytest
from pydantic import SecretStr

from compliance.model import Role
from infra.runtime.assertions import read_assertion
from infra.runtime.clock import SystemClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings
from streamlit_app import api_client
from streamlit_app.api_client import Api, ApiAway, ApiProblem, api, segment
from streamlit_app.server.session import Visitor

KEY = SecretStr("k" * 40)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as made:
        yield made


@pytest.fixture
def made(provider, client: httpx.Client) -> Callable[[], Api]:
    return lambda: Api(provider.url + "/", lambda: "ballast-app.statement", client)


def test_api__asks_with_a_statement_of_the_moment(provider, client: httpx.Client) -> None:
    statements = iter(["one", "two"])
    asked = Api(provider.url, lambda: next(statements), client)
    provider.documents["/v1/cases?a=x+y&b=1"] = {"cases": [1]}
    assert asked.get("/v1/cases", {"a": "x y", "b": 1, "c": None}) == {"cases": [1]}
    asked.post("/v1/cases", {"a": 1}, {"Idempotency-Key": "k"})
    assert [each[2] for each in provider.got] == ["Bearer one", "Bearer two"]


def test_api__takes_the_apis_words_for_a_refusal(provider, made) -> None:
    provider.status["/v1/x"] = 403
    provider.documents["/v1/x"] = {"error": {"code": "forbidden", "message": "A viewer may not.", "request_id": "r"}}
    with pytest.raises(ApiProblem) as caught:
        made().get("/v1/x")
    assert (caught.value.status, caught.value.code, caught.value.message) == (403, "forbidden", "A viewer may not.")


@pytest.mark.parametrize("body", [{}, [], {"error": "x"}, {"error": {}}])
def test_api__a_refusal_without_words_is_one_too(provider, made, body) -> None:
    provider.status["/v1/x"], provider.documents["/v1/x"] = 422, body
    with pytest.raises(ApiProblem) as caught:
        made().get("/v1/x")
    assert caught.value.code == "http_422"


@pytest.mark.parametrize("status", [302, 500, 502, 503, 504])
def test_api__what_is_no_answer_is_away(provider, made, status: int) -> None:
    provider.status["/v1/x"], provider.documents["/v1/x"] = status, {"error": {"code": "x", "message": "Later."}}
    with pytest.raises(ApiAway, match=r"Later\."):
        made().get("/v1/x")
    assert provider.asked("/v1/x") == 1


def test_api__nobody_listens_or_nobody_answers(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "TIMEOUT_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ApiAway, match="ConnectError"):
            Api(url, lambda: "s", client).get("/v1/x")
        silent.listen()
        with pytest.raises(ApiAway, match="ReadTimeout"):
            Api(url, lambda: "s", client).post("/v1/x")


def test_api__speaks_for_the_visitor(monkeypatch: pytest.MonkeyPatch, provider) -> None:
    monkeypatch.setattr(api_client, "visitor", lambda: Visitor("ann", Role.OFFICER))
    monkeypatch.setattr(api_client, "process_settings", lambda: Settings(api_url=provider.url, app_assertion_key=KEY))
    api().get("/v1/x")
    api_client.shared_client().close()
    api_client.shared_client.cache_clear()
    statement = provider.got[0][2].removeprefix("Bearer ")
    assert read_assertion(KEY, statement, SystemClock().now()) == "ann"


@pytest.mark.parametrize("key", [None, SecretStr(" ")])
def test_api__needs_a_key(monkeypatch: pytest.MonkeyPatch, key: SecretStr | None) -> None:
    monkeypatch.setattr(api_client, "visitor", lambda: Visitor("ann", Role.OFFICER))
    monkeypatch.setattr(api_client, "process_settings", lambda: Settings(app_assertion_key=key))
    with pytest.raises(SettingsError, match="BALLAST_APP_ASSERTION_KEY"):
        api()


def test_paths__stay_within_the_api(made) -> None:
    assert segment("a/../b?c#d") == "a%2F..%2Fb%3Fc%23d"
    with pytest.raises(ValueError, match="begins with /"):
        made().get("v1/x")
    with pytest.raises(ValueError, match="begins with /"):
        made().get("@evil.example/")

"""The app speaks for a person: the API takes it for that person, with the role of today, and never for anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.app import create_app
from api.auth import BearerAuthentication
from compliance.api import people as compliance_people
from compliance.api.access import ACTOR_KEY
from compliance.api.people import People, people_of
from compliance.model import Role
from infra.runtime.assertions import PERSON_KEY, sign_assertion
from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings

KEY = SecretStr("k" * 40)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ANN = SecretStr("ann:officer:token-of-ann-0123456789\nbob:viewer:token-of-bob-0123456789")
PATHS = ["/v1/compliance/cases", "/v1/notifications"]
WHAT_IF = "/v1/risk/what-if"


async def _who(request: Request) -> JSONResponse:
    actor = request.scope[ACTOR_KEY]
    person = request.scope.get(PERSON_KEY)
    return JSONResponse({"name": actor.name, "role": actor.role, **({"person": person} if person else {})})


class _Client:
    """Asks an application in-process."""

    def __init__(self, app: BearerAuthentication) -> None:
        self._app = app

    def get(self, path: str, headers: object, method: str = "GET") -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
                return await client.request(method, path)

        return asyncio.run(asked())


@pytest.fixture
def serve() -> Callable[..., _Client]:
    """A client of an application that says whom it takes the caller for."""

    def made(key: SecretStr | None = KEY, people: People | None = None, token: SecretStr | None = None) -> _Client:
        app = Starlette(routes=[Route(path, _who, methods=["GET", "POST"]) for path in (*PATHS, WHAT_IF)])
        # Nobody is a choice too.
        known = people_of(ANN) if people is None else people
        return _Client(BearerAuthentication(app, token, known, key, FixedClock(NOW)))

    return made


def _bearer(name: str, at: datetime = NOW, key: SecretStr = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {sign_assertion(key, name, at)}"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("name", "role"), [("ann", "officer"), ("bob", "viewer")])
def test_assertion__is_that_person_at_every_address(serve, path: str, name: str, role: str) -> None:
    assert serve().get(path, headers=_bearer(name)).json() == {"name": name, "role": role, "person": name}


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [("bob", PATHS[1], 403), ("ann", PATHS[1], 200), ("bob", WHAT_IF, 200), ("bob", PATHS[0], 200)],
    ids=["viewer changes", "officer changes", "viewer computes", "compliance asks its own matrix"],
)
def test_assertion__of_who_only_looks_changes_nothing(serve, name: str, path: str, status: int) -> None:
    assert serve().get(path, _bearer(name), "POST").status_code == status


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        _bearer("carl"),
        _bearer("api-token"),
        _bearer("system"),
        _bearer("ann", NOW - timedelta(seconds=61)),
        _bearer("ann", key=SecretStr("o" * 40)),
        {"Authorization": "Bearer ballast-app.e30.AAAA"},
    ],
    ids=["unknown", "reader", "system", "old", "other key", "made up"],
)
def test_assertion__that_does_not_hold_lets_nobody_in(serve, path: str, headers: dict[str, str]) -> None:
    answer = serve(token=SecretStr("the-api-token-0123456789")).get(path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_invalid")


def test_assertion__counts_for_nothing_without_a_key(serve) -> None:
    for key in (None, SecretStr(" ")):
        client = serve(key, token=SecretStr("the-api-token-0123456789"))
        assert client.get(PATHS[0], headers=_bearer("ann")).status_code == 401
    assert serve(None, people=People()).get(PATHS[1], headers=_bearer("ann")).status_code == 503


def test_assertion__of_a_role_that_does_not_sign_in_is_refused(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.SIGN_IN_ROLES", compliance_people.SIGN_IN_ROLES - {Role.VIEWER})
    assert serve().get(PATHS[0], headers=_bearer("bob")).status_code == 401
    assert serve().get(PATHS[0], headers=_bearer("ann")).status_code == 200


def test_tokens__count_as_before_beside_assertions(serve) -> None:
    client = serve(token=SecretStr("the-api-token-0123456789"))
    own = {"Authorization": "Bearer the-api-token-0123456789"}
    person = {"Authorization": "Bearer token-of-ann-0123456789"}
    assert client.get(PATHS[1], headers=own).json()["name"] == "api-token"
    assert client.get(PATHS[0], headers=person).json()["name"] == "ann"
    assert client.get(PATHS[1], headers=person).status_code == 401
    both = [("Authorization", own["Authorization"]), ("Authorization", _bearer("ann")["Authorization"])]
    assert client.get(PATHS[0], headers=both).status_code == 401


def test_create_app__refuses_a_short_key() -> None:
    with pytest.raises(SettingsError, match="BALLAST_APP_ASSERTION_KEY"):
        create_app(Settings(app_assertion_key=SecretStr("short")))

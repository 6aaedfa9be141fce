"""Who may use compliance: the setting, the tokens, and that a person's token opens compliance alone."""

from __future__ import annotations

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from api.app import create_app
from api.auth import BearerAuthentication
from compliance.api.access import ACTOR_KEY
from compliance.api.people import API_TOKEN_READER, people_of
from compliance.model import Actor, Role
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings

ANNA, OTTO = "token-of-anna-0123456789", "token:of:otto-0123456789"
USERS = f"anna:analyst:{ANNA}, otto:officer:{OTTO}"


def test_people__are_read_from_lines_and_commas() -> None:
    people = people_of(
        SecretStr(f"\n anna:analyst:{ANNA} \n\n otto:officer:{OTTO},eve:auditor:token-of-eve-0123456789,")
    )
    assert people.actors == (Actor("anna", Role.ANALYST), Actor("otto", Role.OFFICER), Actor("eve", Role.AUDITOR))
    assert people.actor_of(OTTO.encode()) == Actor("otto", Role.OFFICER)
    assert people.actor_of(OTTO[:-1].encode()) is None
    assert people.actor_of(b"") is None


@pytest.mark.parametrize("setting", [None, SecretStr(""), SecretStr(" \n, ,")])
def test_people__are_nobody_without_the_setting(setting: SecretStr | None) -> None:
    assert not people_of(setting)
    assert people_of(setting).actor_of(b"") is None


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("anna:analyst", "Entry 1"),
        (f"anna:boss:{ANNA}", "role of entry 1"),
        (f"anna::{ANNA}", "role of entry 1"),
        (f"Anna:analyst:{ANNA}", "name of entry 1"),
        (f":analyst:{ANNA}", "name of entry 1"),
        (f"system:officer:{ANNA}", "name of entry 1"),
        (f"api-token:officer:{ANNA}", "name of entry 1"),
        ("anna:analyst:too-short", "token of entry 1"),
        ("anna:analyst:with blank 0123456789", "token of entry 1"),
        (f"otto:officer:{OTTO}\nanna:analyst:", "token of entry 2"),
        (f"anna:analyst:{ANNA},anna:officer:{OTTO}", "same name"),
        (f"anna:analyst:{ANNA},otto:officer:{ANNA}", "same token"),
    ],
)
def test_people__that_cannot_be_told_apart_or_read_are_refused_without_a_token_in_the_words(
    setting: str, what: str
) -> None:
    with pytest.raises(SettingsError, match=what) as caught:
        people_of(SecretStr(setting))
    for secret in (ANNA, OTTO, "too-short", "with blank"):
        assert secret not in caught.value.message


@given(st.text(max_size=80))
def test_people__setting_is_read_or_refused_whatever_it_holds(content: str) -> None:
    try:
        people = people_of(SecretStr(content))
    except SettingsError:
        return
    assert len({actor.name for actor in people.actors}) == len(people.actors)


def test_application__refuses_a_person_with_the_apis_own_token() -> None:
    with pytest.raises(SettingsError, match="BALLAST_API_TOKEN"):
        create_app(Settings(api_token=SecretStr(ANNA), compliance_users=SecretStr(USERS)))


def test_person__is_not_in_reprs_with_the_token() -> None:
    people = people_of(SecretStr(USERS))
    assert ANNA not in repr(people._people)
    assert "token_digest" not in repr(people._people)


def app_with(token: str | None, users: str | None) -> FastAPI:
    app = FastAPI()

    @app.get("/v1/compliance/me")
    @app.get("/v1/book")
    @app.get("/v1/compliancex/me")
    async def me(request: Request) -> str:
        actor = request.scope[ACTOR_KEY]
        return f"{actor.name} {actor.role}"

    people = people_of(SecretStr(users) if users is not None else None)
    app.add_middleware(BearerAuthentication, token=SecretStr(token) if token else None, people=people)
    return app


def ask(app: FastAPI, path: str, *tokens: str) -> httpx.Response:
    async def run() -> httpx.Response:
        headers = [("Authorization", f"Bearer {token}") for token in tokens]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.get(path, headers=headers)

    return anyio.run(run)


GENERAL = "the-general-token-of-the-api"


@pytest.mark.parametrize(
    ("token", "users", "path", "offered", "expected"),
    [
        (GENERAL, USERS, "/v1/compliance/me", [ANNA], "anna analyst"),
        (GENERAL, USERS, "/v1/compliance/me", [OTTO], "otto officer"),
        (GENERAL, USERS, "/v1/compliance/me", [GENERAL], f"{API_TOKEN_READER.name} viewer"),
        (GENERAL, USERS, "/v1/book", [GENERAL], f"{API_TOKEN_READER.name} viewer"),
        (None, USERS, "/v1/compliance/me", [ANNA], "anna analyst"),
        (GENERAL, None, "/v1/compliance/me", [GENERAL], f"{API_TOKEN_READER.name} viewer"),
        (GENERAL, USERS, "/v1/book", [ANNA], "token_invalid"),
        (GENERAL, USERS, "/v1/compliancex/me", [ANNA], "token_invalid"),
        (GENERAL, USERS, "/v1/compliance/../book", [ANNA], "token_invalid"),
        (GENERAL, USERS, "/v1/compliance/me", [ANNA[:-1]], "token_invalid"),
        (GENERAL, USERS, "/v1/compliance/me", [ANNA, OTTO], "token_missing"),
        (GENERAL, USERS, "/v1/compliance/me", [], "token_missing"),
        (GENERAL, None, "/v1/compliance/me", [ANNA], "token_invalid"),
        (None, USERS, "/v1/book", [ANNA], "token_not_configured"),
        (None, None, "/v1/compliance/me", [ANNA], "token_not_configured"),
    ],
)
def test_token__opens_what_its_holder_may_use(
    token: str | None, users: str | None, path: str, offered: list[str], expected: str
) -> None:
    response = ask(app_with(token, users), path, *offered)
    answer = response.json()
    assert (answer if response.status_code == 200 else answer["error"]["code"]) == expected

"""Sign-in by Google's proxy: its assertion is checked at every request, and nothing else is believed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings
from streamlit_app.server.door import Door
from streamlit_app.server.iap import HEADER, ISSUER, IapIdentifier, iap_identifier
from streamlit_app.server.keys import KeySet
from streamlit_app.server.session import COOKIE, Sessions, is_still_in, request_visitor

AUDIENCE = "/projects/1/global/backendServices/2"
APP_URL = "https://desk.example"


class Proxied:
    """The app behind a proxy that signs with the provider's key."""

    def __init__(self, ask: Any, provider: Any, sessions: Sessions, clock: FixedClock) -> None:
        self.ask, self.provider, self.sessions, self.clock = ask, provider, sessions, clock
        self.calls = 0
        identifier = IapIdentifier(KeySet(f"{provider.url}/keys", clock), AUDIENCE, sessions)
        inner = Starlette(routes=[Route("/", self._who), Route("/healthz", self._who)])
        self.app = Door(inner, identifier, sessions, APP_URL, frozenset())

    async def _who(self, request: Request) -> JSONResponse:
        self.calls += 1
        return JSONResponse({"name": request_visitor(request).name, "in": is_still_in(request)})

    def claims(self, **change: Any) -> dict[str, Any]:
        """Claims that hold, but for the change."""
        now = int(self.clock.now().timestamp())
        good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "accounts.google.com:1", "email": "ann@desk.example"}
        found = good | {"iat": now, "exp": now + 600} | change
        return {name: value for name, value in found.items() if value is not None}

    def get(self, token: str | None = None, **headers: str) -> httpx.Response:
        """Ask with an assertion."""
        sent = {HEADER: token if token is not None else self.provider.signed(self.claims())}
        return self.ask(self.app, "/", headers={**sent, **headers})


@pytest.fixture
def proxied(ask, provider, sessions: Sessions, clock: FixedClock) -> Proxied:
    return Proxied(ask, provider, sessions, clock)


def test_iap__lets_in_the_person_of_the_assertion(proxied: Proxied) -> None:
    for _ in range(3):
        assert proxied.get().json() == {"name": "ann", "in": True}
    assert proxied.provider.asked("/keys") == 1


def test_iap__believes_nothing_but_the_assertion(proxied: Proxied) -> None:
    headers = {
        "x-goog-authenticated-user-email": "accounts.google.com:ann@desk.example",
        "x-goog-authenticated-user-id": "accounts.google.com:1",
        "Cookie": f"{COOKIE}={proxied.sessions.open('ann')}",
        "Authorization": "Bearer token-of-ann-0123456789",
    }
    answer = proxied.ask(proxied.app, "/", headers=headers)
    assert answer.status_code == 401
    page = proxied.ask(proxied.app, "/", headers=headers | {"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert proxied.calls == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"iss": "https://accounts.google.com"}, 401),
        ({"aud": "/projects/1/global/backendServices/3"}, 401),
        ({"exp": -31}, 401),
        ({"exp": -29}, 200),
        ({"iat": 31}, 401),
        ({"iat": 29}, 200),
        ({"exp": None}, 401),
        ({"iat": None}, 401),
        ({"sub": None}, 401),
        ({"email": None}, 401),
        ({"email": 7}, 403),
        ({"email": "stranger@desk.example"}, 403),
    ],
    ids=lambda each: json.dumps(each),
)
def test_iap__checks_each_claim(proxied: Proxied, change: dict[str, Any], status: int) -> None:
    now = int(proxied.clock.now().timestamp())
    moved = {name: now + value if name in ("exp", "iat") and value else value for name, value in change.items()}
    assert proxied.get(proxied.provider.signed(proxied.claims(**moved))).status_code == status


def test_iap__refuses_what_the_proxy_did_not_sign(proxied: Proxied, rsa_key) -> None:
    claims, provider = proxied.claims(), proxied.provider
    public = provider.keys()["keys"][0]["x"]
    for token in (
        jwt.encode(claims, None, algorithm="none", headers={"kid": "first"}),
        jwt.encode(claims, public, algorithm="HS256", headers={"kid": "first"}),
        provider.signed(claims, rsa_key, alg="RS256"),
        provider.signed(claims)[:-4] + "AAAA",
        "a.b.c",
        "",
        "x" * 9_000,
    ):
        assert proxied.get(token).status_code == 401
    assert proxied.calls == 0


def test_iap__two_assertions_are_none(proxied: Proxied) -> None:
    good = proxied.provider.signed(proxied.claims())
    assert proxied.ask(proxied.app, "/", headers=[(HEADER, good), (HEADER, good)]).status_code == 401


def test_iap__follows_the_keys(proxied: Proxied) -> None:
    assert proxied.get().status_code == 200
    old = proxied.provider.signed(proxied.claims())
    proxied.provider.rotate("second")
    assert proxied.get().status_code == 401
    proxied.clock.advance(timedelta(seconds=11))
    assert proxied.get().status_code == 200
    assert proxied.get(old).status_code == 401
    assert proxied.provider.asked("/keys") == 2


@pytest.mark.parametrize("document", [{}, {"keys": "none"}, [], "x" * 600_000])
def test_iap__without_keys_nobody_comes_in(proxied: Proxied, document: Any) -> None:
    proxied.provider.documents["/keys"] = document
    assert proxied.get().status_code == 503
    # It is not asked again at each request.
    assert proxied.get().status_code == 503
    assert proxied.provider.asked("/keys") == 1


def test_iap__lives_on_known_keys_for_a_day_while_theirs_are_away(proxied: Proxied) -> None:
    assert proxied.get().status_code == 200
    proxied.provider.status["/keys"] = 500
    for hours, status in ((2, 200), (20, 200), (3, 503)):
        proxied.clock.advance(timedelta(hours=hours))
        assert proxied.get().status_code == status
    unknown = proxied.provider.signed(proxied.claims(), kid="other")
    assert proxied.get(unknown).status_code == 503


def test_iap__a_removed_person_is_out_with_the_next_request(proxied: Proxied, register) -> None:
    token = proxied.provider.signed(proxied.claims())
    assert proxied.get(token).status_code == 200
    register.people = type(register.people)()
    assert proxied.get(token).status_code == 403


def test_iap__health_needs_no_assertion(proxied: Proxied) -> None:
    with pytest.raises(RuntimeError, match="not behind the door"):
        proxied.ask(proxied.app, "/healthz")
    assert proxied.calls == 1


def test_iap__needs_its_settings(sessions: Sessions, clock: FixedClock) -> None:
    with pytest.raises(SettingsError, match="BALLAST_APP_IAP_AUDIENCE"):
        iap_identifier(Settings(), sessions, clock)
    with pytest.raises(SettingsError, match="BALLAST_APP_IAP_KEYS_URL"):
        iap_identifier(Settings(app_iap_audience=AUDIENCE, app_iap_keys_url="http://keys.example"), sessions, clock)
    assert Settings().app_iap_keys_url == "https://www.gstatic.com/iap/verify/public_key-jwk"

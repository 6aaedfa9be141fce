"""Sign-in at a provider over HTTP: the whole way, and each way in which it must not lead in."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings
from streamlit_app.server import session
from streamlit_app.server.oidc import COOKIE, Oidc, oidc_of
from streamlit_app.server.session import Sessions

APP_URL = "http://127.0.0.1:8601"


class Way:
    """One sign-in at a provider, step by step."""

    def __init__(
        self, ask: Any, provider: Any, sessions: Sessions, clock: FixedClock, secret: str | None = None
    ) -> None:
        key = SecretStr(secret) if secret else None
        oidc = Oidc(provider.url, "ballast", key, "k" * 40, sessions, clock, APP_URL)
        self.ask, self.provider, self.sessions, self.clock = ask, provider, sessions, clock
        self.app = Starlette(routes=oidc.routes())
        self.cookie = ""
        self.asked: dict[str, str] = {}

    def start(self, to: str = "/app/") -> httpx.Response:
        """Go to the provider, whose token will be a good one."""
        answer = self.ask(self.app, "/auth/start", params={"to": to})
        if answer.status_code == 303:
            self.cookie = answer.cookies[COOKIE]
            query = parse_qs(urlsplit(answer.headers["location"]).query)
            self.asked = {name: values[0] for name, values in query.items()}
            self.provider.claims = self.good()
        return answer

    def good(self) -> dict[str, Any]:
        """Claims that hold."""
        now = int(self.clock.now().timestamp())
        return {
            "iss": self.provider.url,
            "aud": "ballast",
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "nonce": self.asked["nonce"],
            "email": "Ann@desk.example",
            "email_verified": True,
        }

    def finish(self, cookie: str | None = None, **query: str) -> httpx.Response:
        """Come back from the provider."""
        params = {"code": "the-code", "state": self.asked["state"], **query}
        return self.ask(
            self.app,
            "/auth/callback",
            params={name: value for name, value in params.items() if value},
            headers={"Cookie": f"{COOKIE}={self.cookie if cookie is None else cookie}"},
        )


@pytest.fixture
def way(ask, provider, sessions: Sessions, clock: FixedClock) -> Way:
    return Way(ask, provider, sessions, clock)


def _refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert session.COOKIE not in answer.cookies
    assert 'role="alert"' in answer.text


def test_oidc__signs_in_the_person_of_the_verified_mail(way: Way) -> None:
    started = way.start("/app/?account=acct-1")
    assert started.headers["location"].startswith(f"{way.provider.url}/authorize?")
    assert way.asked["redirect_uri"] == f"{APP_URL}/auth/callback"
    assert (way.asked["response_type"], way.asked["code_challenge_method"]) == ("code", "S256")
    for part in ("HttpOnly", "SameSite=lax", "Path=/auth", "Max-Age=600"):
        assert part in started.headers["set-cookie"]
    finished = way.finish()
    assert (finished.status_code, finished.headers["location"]) == (303, "/app/?account=acct-1")
    visitor = way.sessions.visitor(finished.cookies[session.COOKIE])
    assert visitor is not None
    assert visitor.name == "ann"


def test_oidc__proves_by_pkce_that_it_began_the_sign_in(way: Way) -> None:
    way.start()
    way.finish()
    _, form, authorization = next(each for each in way.provider.got if each[0] == "/token")
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == way.asked["code_challenge"]
    assert (form["grant_type"], form["code"], form["client_id"]) == ("authorization_code", "the-code", "ballast")
    assert authorization == ""
    # What the browser holds shows none of the three.
    seen = base64.urlsafe_b64decode(way.cookie.partition(".")[0] + "==").decode()
    assert not any(each in seen for each in (form["code_verifier"], way.asked["state"], way.asked["nonce"]))


def test_oidc__sends_its_secret_where_it_has_one(ask, provider, sessions: Sessions, clock: FixedClock) -> None:
    way = Way(ask, provider, sessions, clock, secret="s:e cret")
    way.start()
    assert way.finish().status_code == 303
    authorization = next(each[2] for each in provider.got if each[0] == "/token")
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"ballast:s%3Ae%20cret"


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"aud": ["ballast", "another"]},
        {"azp": "another"},
        {"iss": "http://another.example"},
        {"exp": -31},
        {"iat": 31},
        {"nbf": 31},
        {"exp": None},
        {"nonce": None},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
    ],
    ids=lambda change: json.dumps(change),
)
def test_oidc__refuses_a_token_that_does_not_hold(way: Way, change: dict[str, Any]) -> None:
    way.start()
    now = int(way.clock.now().timestamp())
    for name, value in change.items():
        way.provider.claims[name] = now + value if isinstance(value, int) and name in ("exp", "iat", "nbf") else value
    way.provider.claims = {name: value for name, value in way.provider.claims.items() if value is not None}
    _refused(way.finish(), 403)


def test_oidc__clocks_may_differ_a_little(way: Way) -> None:
    way.start()
    now = int(way.clock.now().timestamp())
    way.provider.claims |= {"exp": now - 29, "iat": now + 29}
    assert way.finish().status_code == 303


def test_oidc__refuses_what_the_providers_keys_did_not_sign(way: Way, rsa_key) -> None:
    way.start()
    good, provider = way.provider.claims, way.provider
    public = provider.keys()["keys"][0]["x"]
    for token in (
        jwt.encode(good, None, algorithm="none", headers={"kid": "first"}),
        jwt.encode(good, None, algorithm="none"),
        jwt.encode(good, public, algorithm="HS256", headers={"kid": "first"}),
        provider.signed(good, rsa_key, alg="RS256"),
        provider.signed(good, rsa_key, alg="RS256", kid="other"),
        provider.signed(good)[:-4] + "AAAA",
        "a.b.c",
        "",
    ):
        provider.token = token or "none"
        _refused(way.finish(), 403)
    provider.token = None
    assert way.finish().status_code == 303


def test_oidc__takes_rs256_too(way: Way, rsa_key) -> None:
    way.start()
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key.public_key())) | {"kid": "rsa"}
    way.provider.documents["/keys"] = {"keys": [*way.provider.keys()["keys"], public]}
    way.provider.token = way.provider.signed(way.provider.claims, rsa_key, alg="RS256", kid="rsa")
    assert way.finish().status_code == 303


def test_oidc__keeps_keys_and_fetches_them_anew_for_a_new_key(way: Way) -> None:
    for _ in range(2):
        way.start()
        assert way.finish().status_code == 303
    assert way.provider.asked("/keys") == 1
    way.provider.rotate("second")
    way.start()
    # Just asked: made-up key ids do not make it ask again at once.
    _refused(way.finish(), 403)
    way.clock.advance(timedelta(seconds=11))
    assert way.finish().status_code == 303
    assert way.provider.asked("/keys") == 2


@pytest.mark.parametrize("cookie", ["", "x", "e30.AAAA"])
def test_oidc__refuses_an_answer_that_was_not_asked_for_here(way: Way, cookie: str) -> None:
    way.start()
    _refused(way.finish(cookie=cookie), 400)
    assert way.provider.asked("/token") == 0


@pytest.mark.parametrize("state", ["", "another", "\xe9"])
def test_oidc__refuses_another_state(way: Way, state: str) -> None:
    way.start()
    _refused(way.finish(state=state), 400)
    assert way.provider.asked("/token") == 0


def test_oidc__a_sign_in_ends_after_ten_minutes(way: Way) -> None:
    way.start()
    way.clock.advance(timedelta(minutes=10, seconds=1))
    _refused(way.finish(), 400)


def test_oidc__says_that_the_provider_refused(way: Way) -> None:
    way.start()
    _refused(way.finish(code="", error="access_denied"), 403)
    way.provider.status["/token"] = 400
    _refused(way.finish(), 403)


@pytest.mark.parametrize("mail", ["stranger@desk.example", "ann@desk.example.evil.example"])
def test_oidc__an_unknown_mail_has_no_access_and_a_page_that_says_so(way: Way, mail: str) -> None:
    way.start()
    way.provider.claims["email"] = mail
    answer = way.finish()
    _refused(answer, 403)
    assert "no access here" in answer.text


def test_oidc__a_role_that_does_not_sign_in_has_no_access(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SIGN_IN_ROLES", frozenset())
    way.start()
    _refused(way.finish(), 403)


def test_oidc__leads_to_this_host_only(way: Way) -> None:
    way.start("//evil.example/")
    assert way.finish().headers["location"] == "/"


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
def test_oidc__says_that_the_provider_is_away(way: Way, path: str) -> None:
    way.provider.status[path] = 500
    started = way.start()
    answer = started if started.status_code != 303 else way.finish()
    _refused(answer, 503)
    way.provider.status.clear()
    way.clock.advance(timedelta(seconds=11))
    way.start()
    assert way.finish().status_code == 303


def test_oidc__says_that_nobody_listens(ask, provider, sessions: Sessions, clock: FixedClock) -> None:
    way = Way(ask, provider, sessions, clock)
    provider.server.socket.close()
    _refused(way.start(), 503)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://another.example"},
        {"token_endpoint": "http://another.example/token"},
        {"jwks_uri": "file:///keys"},
        {"authorization_endpoint": None},
    ],
)
def test_oidc__does_not_follow_a_provider_that_describes_itself_wrongly(way: Way, change: dict[str, Any]) -> None:
    document = way.provider.answer("/.well-known/openid-configuration") | change
    way.provider.documents["/.well-known/openid-configuration"] = document
    _refused(way.start(), 503)


def test_oidc__shows_a_button_without_scripts(way: Way, sessions: Sessions) -> None:
    page = way.ask(way.app, "/sign-in?to=/app/&out=1").text
    assert 'href="/auth/start?to=%2Fapp%2F"' in page
    assert "signed out here" in page
    signed_in = {"Cookie": f"{session.COOKIE}={sessions.open('ann')}"}
    assert way.ask(way.app, "/sign-in?to=/app/", headers=signed_in).headers["location"] == "/app/"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"app_oidc_issuer": None}, "BALLAST_APP_OIDC_ISSUER"),
        ({"app_oidc_client_id": None}, "BALLAST_APP_OIDC_CLIENT_ID"),
        ({"app_oidc_issuer": "http://id.example"}, "no https address"),
    ],
)
def test_oidc__needs_its_settings(sessions: Sessions, clock: FixedClock, changes: dict[str, Any], said: str) -> None:
    given = {"app_oidc_issuer": "https://id.example", "app_oidc_client_id": "x", "app_session_key": "k" * 40}
    oidc_of(Settings.model_validate(given), sessions, clock)
    with pytest.raises(SettingsError, match=said):
        oidc_of(Settings.model_validate(given | changes), sessions, clock)

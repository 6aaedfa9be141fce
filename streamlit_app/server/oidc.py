"""Sign-in at an OpenID provider: authorization code with PKCE, state and nonce; it tells who it is, never the role."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from itsdangerous import BadData, URLSafeSerializer
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from infra.runtime.clock import Clock
from infra.runtime.errors import SettingsError
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings
from streamlit_app.server.door import SIGN_IN_PATH, session_of
from streamlit_app.server.keys import (
    KeySet,
    ProviderAwayError,
    TokenRefusedError,
    check_provider_url,
    fetch_json,
    host_of,
)
from streamlit_app.server.plain_page import plain_page, problem_page, says
from streamlit_app.server.session import Sessions, visitor_named
from streamlit_app.server.sign_in import safe_target, signed_in

START_PATH = "/auth/start"
CALLBACK_PATH = "/auth/callback"
COOKIE = "ballast_signing_in"
MAX_TIME = timedelta(minutes=10)
DISCOVERY_AGE = timedelta(hours=1)
ALGORITHMS = ("RS256", "ES256")
_log = get_logger(__name__)


class _Started(BaseModel):
    """A sign-in under way, in a signed cookie: a random seed, where to go then, and when it began."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    seed: str = Field(max_length=64)
    to: str = Field(max_length=2_500)
    at: int


class _Provider(BaseModel):
    """What discovery tells and this app uses."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


@dataclass
class _Known:
    provider: _Provider
    keys: KeySet
    at: datetime


class Oidc:
    """The routes of sign-in at one provider.

    State, nonce and the verifier of PKCE are derived from the seed in the cookie and the key of sessions, so that the
    cookie shows none of them and nothing is kept here.
    """

    def __init__(
        self, issuer: str, client_id: str, client_secret: SecretStr | None, key: str, sessions: Sessions, clock: Clock,
        app_url: str,
    ) -> None:  # fmt: skip
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._key = key
        self._sessions = sessions
        self._clock = clock
        self._redirect_uri = app_url.rstrip("/") + CALLBACK_PATH
        self._is_https = app_url.startswith("https:")
        self._signer = URLSafeSerializer(
            key, salt="ballast.app.oidc", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )
        self._known: _Known | None = None

    def routes(self) -> list[Route]:
        """The page that leads to the provider, the way there, and the way back."""
        return [
            Route(SIGN_IN_PATH, self.show, methods=["GET"]),
            Route(START_PATH, self.start, methods=["GET"]),
            Route(CALLBACK_PATH, self.finish, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """A button that leads to the provider; who has just signed out is not signed in again at once."""
        target = safe_target(request.query_params.get("to"))
        if self._sessions.visitor(session_of(request.headers)) is not None:
            return RedirectResponse(target, 303)
        note = says("You are signed out here.") if "out" in request.query_params else ""
        link = f"{START_PATH}?to={quote(target, safe='')}"
        return plain_page(
            "Ballast",
            f'<p class="soft">Margin, risk and compliance of the lending book.</p>{note}'
            f'<a class="button" href="{escape(link)}">Sign in with {escape(host_of(self._issuer))}</a>',
        )

    async def start(self, request: Request) -> Response:
        """Send the browser to the provider."""
        started = _Started(
            seed=secrets.token_urlsafe(32),
            to=safe_target(request.query_params.get("to")),
            at=int(self._clock.now().timestamp()),
        )
        try:
            provider = (await self._discovered()).provider
        except ProviderAwayError as error:
            return self._away(error)
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid email",
            "state": self._derived("state", started.seed),
            "nonce": self._derived("nonce", started.seed),
            "code_challenge": _challenge(self._derived("verifier", started.seed)),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in provider.authorization_endpoint else "?"
        response = RedirectResponse(f"{provider.authorization_endpoint}{joint}{urlencode(asked)}", 303)
        value: Any = self._signer.dumps(started.model_dump())
        response.set_cookie(
            COOKIE,
            value if isinstance(value, str) else value.decode(),
            max_age=int(MAX_TIME.total_seconds()),
            path="/auth",
            httponly=True,
            samesite="lax",
            secure=self._is_https,
        )
        return response

    async def finish(self, request: Request) -> Response:
        """Take what the provider says, and let in the person whom its address is bound to."""
        response = await self._finished(request)
        response.delete_cookie(COOKIE, path="/auth", httponly=True, samesite="lax", secure=self._is_https)
        return response

    async def _finished(self, request: Request) -> Response:
        started = self._started(request.cookies.get(COOKIE))
        state = request.query_params.get("state", "")
        if started is None or not hmac.compare_digest(state.encode(), self._derived("state", started.seed).encode()):
            return problem_page("This sign-in was not begun here, or took too long. Begin again.", 400, SIGN_IN_PATH)
        code = request.query_params.get("code")
        if not code or "error" in request.query_params:
            return problem_page("The identity provider did not sign you in.", 403, SIGN_IN_PATH)
        try:
            mail = await self._mail(code, started)
        except ProviderAwayError as error:
            return self._away(error)
        except TokenRefusedError as error:
            _log.warning("sign_in_refused", reason=error.message)
            return problem_page("What the identity provider sent does not hold. Begin again.", 403, SIGN_IN_PATH)
        people = self._sessions.people()
        actor = people.with_mail(mail)
        visitor = None if actor is None else visitor_named(people, actor.name)
        if visitor is None:
            text = "The provider knows you, but your account has no access here. Ask an administrator of Ballast."
            return problem_page(text, 403, SIGN_IN_PATH)
        token = self._sessions.open(visitor.name)
        return signed_in(RedirectResponse(safe_target(started.to), 303), token, is_https=self._is_https)

    async def _mail(self, code: str, started: _Started) -> str:
        """The verified address in the id token that the code is worth."""
        known = await self._discovered()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._client_id,
            "code_verifier": self._derived("verifier", started.seed),
        }
        auth = None
        if self._client_secret is not None:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            auth = (quote(self._client_id, safe=""), quote(self._client_secret.get_secret_value(), safe=""))
        answer = await fetch_json("POST", known.provider.token_endpoint, form, auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise TokenRefusedError("The provider sent no id token.")
        claims = await known.keys.verified(
            token,
            ALGORITHMS,
            issuer=known.provider.issuer,
            audience=self._client_id,
            required=("iss", "aud", "sub", "nonce"),
        )
        self._check(claims, started)
        return str(claims["email"])

    def _check(self, claims: dict[str, Any], started: _Started) -> None:
        nonce = str(claims["nonce"]).encode()
        if not hmac.compare_digest(nonce, self._derived("nonce", started.seed).encode()):
            raise TokenRefusedError("The id token answers another sign-in.")
        is_shared = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_shared else self._client_id) != self._client_id:
            raise TokenRefusedError("The id token was given to another application.")
        if not isinstance(claims.get("email"), str) or claims.get("email_verified") is not True:
            raise TokenRefusedError("The provider has not verified a mail address.")

    async def _discovered(self) -> _Known:
        now = self._clock.now()
        if self._known is not None and now - self._known.at < DISCOVERY_AGE:
            return self._known
        try:
            answer = await fetch_json("GET", self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            provider = _Provider.model_validate(answer)
            for url in (provider.authorization_endpoint, provider.token_endpoint, provider.jwks_uri):
                check_provider_url(url, "An address of the provider")
        except (ValidationError, SettingsError) as error:
            raise ProviderAwayError("The provider does not describe itself usably.") from error
        if provider.issuer != self._issuer:
            raise ProviderAwayError("The provider calls itself otherwise than BALLAST_APP_OIDC_ISSUER does.")
        is_same = self._known is not None and self._known.provider.jwks_uri == provider.jwks_uri
        keys = self._known.keys if self._known is not None and is_same else KeySet(provider.jwks_uri, self._clock)
        self._known = _Known(provider, keys, now)
        return self._known

    def _started(self, cookie: str | None) -> _Started | None:
        try:
            started = _Started.model_validate(self._signer.loads(cookie or ""))
        except (BadData, ValidationError):
            return None
        age = self._clock.now().timestamp() - started.at
        return started if -60 <= age <= MAX_TIME.total_seconds() else None

    def _derived(self, purpose: str, seed: str) -> str:
        mac = hmac.new(self._key.encode(), f"ballast.app.oidc.{purpose}:{seed}".encode(), hashlib.sha256)
        return _base64(mac.digest())

    def _away(self, error: ProviderAwayError) -> Response:
        _log.warning("identity_provider_away", reason=error.message)
        return problem_page("The identity provider does not answer. Try again in a moment.", 503, SIGN_IN_PATH)


def oidc_of(settings: Settings, sessions: Sessions, clock: Clock) -> Oidc:
    """Sign-in by these settings; raises `SettingsError` where one is missing."""
    if not settings.app_oidc_issuer or not settings.app_oidc_client_id or settings.app_session_key is None:
        raise SettingsError("BALLAST_APP_SIGN_IN=oidc needs BALLAST_APP_OIDC_ISSUER and BALLAST_APP_OIDC_CLIENT_ID.")
    return Oidc(
        check_provider_url(settings.app_oidc_issuer, "BALLAST_APP_OIDC_ISSUER"),
        settings.app_oidc_client_id,
        settings.app_oidc_client_secret,
        settings.app_session_key.get_secret_value().split(",")[0].strip(),
        sessions,
        clock,
        settings.app_url,
    )


def _challenge(verifier: str) -> str:
    return _base64(hashlib.sha256(verifier.encode()).digest())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")

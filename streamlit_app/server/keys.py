"""Public keys of an identity provider, fetched by HTTP, kept, and fetched again when it rotates them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError, SettingsError
from infra.runtime.logs import get_logger

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 500_000
SKEW = timedelta(seconds=30)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Which keys an algorithm takes; anything else, `none` and shared secrets above all, is no signature.
_KINDS = {"RS256": ("RSA", None), "ES256": ("EC", "P-256")}
_log = get_logger(__name__)


class ProviderAwayError(BallastError):
    """The identity provider does not answer, or not usably."""

    code = "identity_provider_away"


class TokenRefusedError(BallastError):
    """A token of the identity provider does not prove what it should."""

    code = "identity_token_refused"


class KeySet:
    """The keys behind one address.

    They are used for `max_age`, and for `longest_age` while the provider does not answer. A key that is not among them
    is looked for anew, at most once in `pause`, so that made-up key ids cost nothing.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        max_age: timedelta = timedelta(hours=1),
        longest_age: timedelta = timedelta(hours=24),
        pause: timedelta = timedelta(seconds=10),
    ) -> None:
        self._url = url
        self._clock = clock
        self._max_age, self._longest_age, self._pause = max_age, longest_age, pause
        self._keys: list[Mapping[str, Any]] = []
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def verified(
        self, token: str, algorithms: tuple[str, ...], *, issuer: str, audience: str, required: tuple[str, ...]
    ) -> dict[str, Any]:
        """The claims of a token, its signature, issuer, audience and times checked.

        Raises `TokenRefusedError`, and `ProviderAwayError` where its keys cannot be had.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise TokenRefusedError("The token cannot be read.") from error
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in algorithms or not isinstance(key_id, str | None):
            raise TokenRefusedError("The token is not signed by an accepted algorithm.")
        key = await self._key(key_id, algorithm)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key=jwt.PyJWK(dict(key), algorithm),
                algorithms=[algorithm],
                issuer=issuer,
                audience=audience,
                # Times are checked below, by our own clock.
                options={
                    "require": ["exp", "iat", *required],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise TokenRefusedError(f"The token does not hold: {type(error).__name__}.") from error
        self._check_times(claims)
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.now().timestamp()
        skew = SKEW.total_seconds()
        times = {name: claims.get(name, now) for name in ("exp", "iat", "nbf")}
        if not all(isinstance(value, int | float) for value in times.values()):
            raise TokenRefusedError("The times of the token cannot be read.")
        if times["exp"] <= now - skew:
            raise TokenRefusedError("The token has expired.")
        if times["iat"] > now + skew or times["nbf"] > now + skew:
            raise TokenRefusedError("The token is not valid yet; compare the clocks.")

    async def _key(self, key_id: str | None, algorithm: str) -> Mapping[str, Any]:
        async with self._lock:
            now = self._clock.now()
            age = None if self._fetched_at is None else now - self._fetched_at
            found = self._find(key_id, algorithm)
            if found is not None and age is not None and age < self._max_age:
                return found
            may_ask = self._asked_at is None or now - self._asked_at >= self._pause
            if may_ask:
                self._asked_at = now
                try:
                    self._keys, self._fetched_at, age = await self._fetch(), now, timedelta(0)
                except ProviderAwayError as error:
                    _log.warning("identity_keys_away", reason=error.message)
                found = self._find(key_id, algorithm)
            if age is None or age > self._longest_age:
                raise ProviderAwayError("The keys of the identity provider cannot be fetched.")
            if found is not None:
                return found
        if age > self._max_age:
            # Perhaps a new key; nobody can tell while the provider does not answer.
            raise ProviderAwayError("The keys of the identity provider are old and cannot be fetched.")
        raise TokenRefusedError("The token is signed by an unknown key.")

    def _find(self, key_id: str | None, algorithm: str) -> Mapping[str, Any] | None:
        kind, curve = _KINDS[algorithm]
        fitting = [
            key
            for key in self._keys
            if key.get("kty") == kind
            and (curve is None or key.get("crv") == curve)
            and key.get("use", "sig") == "sig"
            and key.get("alg", algorithm) == algorithm
            and (key_id is None or key.get("kid") == key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None

    async def _fetch(self) -> list[Mapping[str, Any]]:
        answer = await fetch_json("GET", self._url)
        keys = answer.get("keys")
        if not isinstance(keys, list):
            raise ProviderAwayError(f"{host_of(self._url)} gives no keys.")
        return [key for key in keys if isinstance(key, dict)]


async def fetch_json(
    method: str, url: str, form: Mapping[str, str] | None = None, auth: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object that a provider answers; raises `ProviderAwayError`, `TokenRefusedError` for a refusal (4xx)."""
    try:
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream(method, url, data=dict(form) if form else None, auth=auth or httpx.USE_CLIENT_DEFAULT) as got,
            asyncio.timeout(2 * TIMEOUT_S),
        ):
            body = b""
            async for chunk in got.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise ProviderAwayError(f"{host_of(url)} answers too much.")
    except (httpx.HTTPError, TimeoutError, OSError) as error:
        raise ProviderAwayError(f"{host_of(url)} does not answer: {type(error).__name__}.") from error
    if 400 <= got.status_code < 500 and method == "POST":
        raise TokenRefusedError(f"{host_of(url)} refused the code of the sign-in ({got.status_code}).")
    if got.status_code != 200:
        raise ProviderAwayError(f"{host_of(url)} answers {got.status_code}.")
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise ProviderAwayError(f"{host_of(url)} does not answer in JSON.") from error
    if not isinstance(answer, dict):
        raise ProviderAwayError(f"{host_of(url)} does not answer with an object.")
    return answer


def check_provider_url(url: str, name: str) -> str:
    """The address; raises `SettingsError` unless it is https, or http on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise SettingsError(f"{name} is no https address.")


def host_of(url: str) -> str:
    """The host of an address, which may be told in errors."""
    return urlsplit(url).hostname or "the provider"

"""Short-lived signed statements of the app to the API that a person asks: the API decides and records by name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from infra.runtime.errors import BallastError, SettingsError

PREFIX = "ballast-app."
AUDIENCE = "ballast-api"
MAX_AGE = timedelta(seconds=60)
# How far the app's clock may be ahead of the API's.
MAX_AHEAD = timedelta(seconds=5)
MIN_KEY_LENGTH = 32
PERSON_KEY = "ballast.person"
"""Where the API's authentication puts the name of the person for whom the app asks, in the request's scope."""
MAX_LENGTH = 1_000


class AssertionRefusedError(BallastError):
    """The statement was not made with the key, is too old, or was meant for another reader."""

    code = "assertion_refused"


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    aud: str
    sub: str = Field(min_length=1, max_length=64)
    iat: int


def sign_assertion(key: SecretStr, name: str, at: datetime) -> str:
    """`ballast-app.<payload>.<mac>`: that the person `name` asks at `at`; raises `SettingsError` for a short key."""
    payload = _Payload(aud=AUDIENCE, sub=name, iat=int(at.timestamp())).model_dump_json().encode()
    body = PREFIX + _encoded(payload)
    return f"{body}.{_encoded(_mac(key, body))}"


def read_assertion(key: SecretStr, token: str, now: datetime) -> str:
    """The name of the person who asks; raises `AssertionRefusedError`, and `SettingsError` for a short key."""
    body, _, mac = token.rpartition(".")
    if len(token) > MAX_LENGTH or not token.isascii() or not body.startswith(PREFIX):
        raise AssertionRefusedError("The statement of the app cannot be read.")
    if not hmac.compare_digest(mac, _encoded(_mac(key, body))):
        raise AssertionRefusedError("The statement of the app was not made with BALLAST_APP_ASSERTION_KEY.")
    try:
        payload = _Payload.model_validate_json(_decoded(body.removeprefix(PREFIX)))
    except (ValidationError, binascii.Error) as error:
        raise AssertionRefusedError("The statement of the app cannot be read.") from error
    if payload.aud != AUDIENCE:
        raise AssertionRefusedError("The statement of the app is meant for another reader.")
    age = now - datetime.fromtimestamp(payload.iat, now.tzinfo)
    if not -MAX_AHEAD <= age <= MAX_AGE:
        raise AssertionRefusedError("The statement of the app is too old, or the clocks of app and API differ.")
    return payload.sub


def is_assertion(token: bytes) -> bool:
    """Whether the token has the form of a statement of the app."""
    return token.startswith(PREFIX.encode())


def check_assertion_key(key: SecretStr) -> None:
    """Raises `SettingsError` where the key is too short to be one."""
    if len(key.get_secret_value().strip()) < MIN_KEY_LENGTH:
        raise SettingsError(
            f"BALLAST_APP_ASSERTION_KEY needs at least {MIN_KEY_LENGTH} characters; `python -c 'import secrets;"
            " print(secrets.token_urlsafe(32))'` makes one. App and API need the same."
        )


def _mac(key: SecretStr, body: str) -> bytes:
    check_assertion_key(key)
    return hmac.new(key.get_secret_value().strip().encode(), body.encode(), hashlib.sha256).digest()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

"""Statements of the app to the API: what holds, for how long, and what does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from infra.runtime.assertions import AssertionRefusedError, is_assertion, read_assertion, sign_assertion
from infra.runtime.errors import SettingsError

KEY = SecretStr("k" * 32)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def made(payload: Any, key: SecretStr = KEY) -> str:
    """A statement of any content, rightly signed."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    body = "ballast-app." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    mac = hmac.new(key.get_secret_value().encode(), body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize("age_s", [-5, 0, 59, 60])
def test_assertion__names_the_person_for_a_minute(age_s: int) -> None:
    token = sign_assertion(KEY, "ann", NOW)
    assert is_assertion(token.encode())
    assert read_assertion(KEY, token, NOW + timedelta(seconds=age_s)) == "ann"


@pytest.mark.parametrize("age_s", [-6, 61, 3600])
def test_assertion__is_refused_outside_of_its_minute(age_s: int) -> None:
    with pytest.raises(AssertionRefusedError, match="too old, or the clocks"):
        read_assertion(KEY, sign_assertion(KEY, "ann", NOW), NOW + timedelta(seconds=age_s))


@pytest.mark.parametrize("place", range(12, 120, 7))
def test_assertion__a_changed_character_is_refused(place: int) -> None:
    token = sign_assertion(KEY, "ann", NOW)
    changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    with pytest.raises(AssertionRefusedError):
        read_assertion(KEY, changed, NOW)


def test_assertion__another_key_is_refused() -> None:
    with pytest.raises(AssertionRefusedError, match="BALLAST_APP_ASSERTION_KEY"):
        read_assertion(SecretStr("o" * 32), sign_assertion(KEY, "ann", NOW), NOW)


_GOOD = {"aud": "ballast-api", "sub": "ann", "iat": int(NOW.timestamp())}


@pytest.mark.parametrize(
    "payload",
    [
        _GOOD | {"aud": "other"},
        _GOOD | {"aud": ["ballast-api"]},
        _GOOD | {"sub": ""},
        _GOOD | {"sub": 7},
        _GOOD | {"iat": "soon"},
        _GOOD | {"role": "officer"},
        {"sub": "ann"},
        [],
        "not json",
    ],
)
def test_assertion__a_signed_statement_of_another_form_is_refused(payload: Any) -> None:
    assert read_assertion(KEY, made(_GOOD), NOW) == "ann"
    with pytest.raises(AssertionRefusedError):
        read_assertion(KEY, made(payload), NOW)


@pytest.mark.parametrize(
    "token", ["", "ballast-app.", "ballast-app..", "other.e30.e30", "ballast-app." + "a" * 2000, "\xe9"]
)
def test_assertion__what_is_none_is_refused(token: str) -> None:
    with pytest.raises(AssertionRefusedError):
        read_assertion(KEY, token, NOW)


def test_assertion__a_short_key_is_no_key() -> None:
    with pytest.raises(SettingsError, match="at least 32"):
        sign_assertion(SecretStr("short"), "ann", NOW)
    with pytest.raises(SettingsError, match="at least 32"):
        read_assertion(SecretStr(" " * 40), made(_GOOD), NOW)

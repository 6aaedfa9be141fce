"""Sessions: what the cookie says, how long it counts, and what ends it."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from compliance.api.people import people_of
from compliance.authorization import Action
from compliance.model import Role
from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings
from streamlit_app.server import session
from streamlit_app.server.session import LIFETIME, Revoked, Sessions, Visitor, sessions_of


def test_session__names_the_person_and_no_role(sessions: Sessions) -> None:
    token = sessions.open("ann")
    content = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    assert set(content) == {"name", "id", "at"}
    assert sessions.visitor(token) == Visitor("ann", Role.OFFICER)


def test_session__has_todays_role_and_ends_with_its_person(sessions: Sessions, register) -> None:
    token = sessions.open("ann")
    register.people = people_of(SecretStr("ann:viewer:token-of-ann-0123456789"))
    assert sessions.visitor(token) == Visitor("ann", Role.VIEWER)
    register.people = people_of(SecretStr("bob:viewer:token-of-bob-0123456789"))
    assert sessions.visitor(token) is None


@pytest.mark.parametrize(("later", "counts"), [(LIFETIME - timedelta(seconds=1), True), (LIFETIME, False)])
def test_session__lasts_twelve_hours(sessions: Sessions, clock: FixedClock, later: timedelta, counts: bool) -> None:
    token = sessions.open("ann")
    clock.advance(later)
    assert (sessions.visitor(token) is not None) is counts


def test_session__of_the_future_does_not_count(sessions: Sessions, clock: FixedClock) -> None:
    token = sessions.open("ann")
    clock.advance(timedelta(minutes=-2))
    assert sessions.visitor(token) is None


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: "x" + t, lambda t: t + "=" * 2000, lambda _: "", lambda _: "a.b"]
)
def test_session__changed_or_made_up_does_not_count(sessions: Sessions, change) -> None:
    assert sessions.visitor(change(sessions.open("ann"))) is None
    assert sessions.visitor(None) is None


def test_session__of_another_key_or_purpose_does_not_count(sessions: Sessions, register, clock, monkeypatch) -> None:
    other = Sessions(SecretStr("o" * 40), register, clock)
    assert sessions.visitor(other.open("ann")) is None
    monkeypatch.setattr(session, "_SALT", "another.purpose")
    assert sessions.visitor(Sessions(SecretStr("k" * 40), register, clock).open("ann")) is None


def test_session__keys_can_be_rotated(sessions: Sessions, register, clock) -> None:
    rotated = Sessions(SecretStr(f"{'n' * 40},{'k' * 40}"), register, clock)
    assert rotated.visitor(sessions.open("ann")) is not None
    assert Sessions(SecretStr("n" * 40), register, clock).visitor(rotated.open("ann")) is not None
    assert sessions.visitor(rotated.open("ann")) is None


def test_revoke__ends_this_session_only(sessions: Sessions) -> None:
    token, other = sessions.open("ann"), sessions.open("ann")
    sessions.revoke(token)
    sessions.revoke("none")
    assert sessions.visitor(token) is None
    assert sessions.visitor(other) is not None


def test_revoke__survives_a_restart_and_a_torn_line(register, clock: FixedClock, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    before = Sessions(SecretStr("k" * 40), register, clock, Revoked(file, clock))
    token, other = before.open("ann"), before.open("ann")
    before.revoke(token)
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open("a") as stream:
        stream.write("half-a-li")
    after = Sessions(SecretStr("k" * 40), register, clock, Revoked(file, clock))
    assert after.visitor(token) is None
    assert after.visitor(other) is not None
    assert "half" not in file.read_text()


def test_revoke__forgets_what_has_ended_by_itself(clock: FixedClock, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    revoked = Revoked(file, clock)
    revoked.add("old", clock.now() + timedelta(hours=1))
    clock.advance(timedelta(hours=2))
    revoked.add("new", clock.now() + timedelta(hours=1))
    assert "old" not in revoked
    assert "new" in revoked
    Revoked(file, clock)
    assert file.read_text().split()[::2] == ["new"]


def test_revoke__counts_in_the_process_where_the_disk_takes_nothing(clock: FixedClock, tmp_path: Path) -> None:
    revoked = Revoked(tmp_path / "not there" / "out.txt", clock)
    revoked.add("id", clock.now() + timedelta(hours=1))
    assert "id" in revoked


@pytest.mark.parametrize("key", [None, "", "short", f"{'k' * 40},short"])
def test_sessions__need_long_keys(key: str | None, tmp_path: Path, clock: FixedClock) -> None:
    settings = Settings(app_session_key=None if key is None else SecretStr(key), state_dir=tmp_path)
    with pytest.raises(SettingsError, match="BALLAST_APP_SESSION_KEY"):
        sessions_of(settings, clock)


def test_sessions__a_role_that_does_not_sign_in_has_none(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    token = sessions.open("ann")
    monkeypatch.setattr(session, "SIGN_IN_ROLES", frozenset({Role.VIEWER}))
    assert sessions.visitor(token) is None


def test_visitor__can_do_what_the_role_may() -> None:
    assert Visitor("ann", Role.OFFICER).can(Action.CLOSE)
    assert not Visitor("bob", Role.VIEWER).can(Action.CLOSE)

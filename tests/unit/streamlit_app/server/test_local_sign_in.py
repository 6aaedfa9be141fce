"""Sign-in by name and password: the pause after wrong tries, the form, where it leads, and sign-out."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from compliance.api.people import People, people_of
from infra.runtime.clock import FixedClock
from streamlit_app.server.session import COOKIE, Sessions
from streamlit_app.server.sign_in import Attempt, Gate, SignIn, safe_target, sign_out_routes

GOOD = {"name": "ann", "password": "token-of-ann-0123456789"}


@pytest.fixture
def gate(register, clock: FixedClock) -> Gate:
    return Gate(register, clock)


@pytest.fixture
def app(gate: Gate, sessions: Sessions) -> Starlette:
    return Starlette(routes=[*SignIn(gate, sessions, is_https=False).routes(), *sign_out_routes(sessions)])


def _post(ask, app: Starlette, form: dict[str, str]):
    return ask(app, "/sign-in", "POST", content=urlencode(form))


def test_gate__doubles_the_pause_up_to_half_a_minute(gate: Gate, clock: FixedClock) -> None:
    pauses = []
    for _ in range(8):
        assert gate.attempt("ann", "wrong")[0] is Attempt.WRONG
        pauses.append(gate.wait_s())
        clock.advance(timedelta(seconds=gate.wait_s()))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_gate__looks_at_nothing_during_the_pause(gate: Gate, clock: FixedClock) -> None:
    gate.attempt("bob", "wrong")
    assert gate.attempt(**GOOD) == (Attempt.TOO_SOON, None)
    clock.advance(timedelta(seconds=1))
    assert gate.wait_s() == 0
    assert gate.attempt(**GOOD)[0] is Attempt.ACCEPTED


def test_gate__a_right_password_ends_the_row_of_wrong_ones(gate: Gate, clock: FixedClock) -> None:
    for _ in range(3):
        gate.attempt("ann", "wrong")
        clock.advance(timedelta(minutes=1))
    gate.attempt(**GOOD)
    gate.attempt("ann", "wrong")
    assert gate.wait_s() == 1


def test_form__works_without_scripts_and_keeps_the_way(ask, app: Starlette) -> None:
    page = ask(app, "/sign-in?to=%2Fapp%2F%3Faccount%3D%22%3E%3Cb%3E").text
    assert "<script" not in page
    assert 'name="to" value="/app/?account=%22%3E%3Cb%3E"' in page
    assert 'method="post" action="/sign-in"' in page


def test_sign_in__opens_a_session_and_leads_on(ask, app: Starlette, sessions: Sessions) -> None:
    answer = _post(ask, app, GOOD | {"to": "/app/?account=acct-1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/app/?account=acct-1")
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie
    visitor = sessions.visitor(answer.cookies[COOKIE])
    assert visitor is not None
    assert visitor.name == "ann"


def test_sign_in__is_for_https_only_where_the_app_is(ask, gate: Gate, sessions: Sessions) -> None:
    app = Starlette(routes=[*SignIn(gate, sessions, is_https=True).routes()])
    assert "Secure" in _post(ask, app, GOOD).headers["set-cookie"]


@pytest.mark.parametrize(
    "form",
    [
        {"name": "ann", "password": "token-of-bob-0123456789"},
        {"name": "nobody", "password": "token-of-ann-0123456789"},
        {"name": "ann"},
        {},
        {"name": "ann", "password": "x" * 9_000},
    ],
)
def test_sign_in__says_the_same_of_a_wrong_name_and_a_wrong_password(ask, app: Starlette, form) -> None:
    answer = _post(ask, app, form | {"to": "/app/"})
    assert answer.status_code == 401
    assert "Name and password do not belong together." in answer.text
    assert "set-cookie" not in answer.headers
    assert form.get("password", "-----") not in answer.text


def test_sign_in__too_soon_is_said_with_the_time_to_wait(ask, app: Starlette, clock: FixedClock) -> None:
    _post(ask, app, {"name": "ann", "password": "wrong"})
    answer = _post(ask, app, GOOD)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    clock.advance(timedelta(seconds=1))
    assert _post(ask, app, GOOD).status_code == 303


@pytest.mark.parametrize("body", [b"\xff\xfe", b"name=ann&name=bob&password=x", b"&".join([b"a=b"] * 30)])
def test_sign_in__an_unreadable_form_is_a_wrong_one(ask, app: Starlette, body: bytes) -> None:
    assert ask(app, "/sign-in", "POST", content=body).status_code == 401


def test_sign_in__says_where_nobody_can(ask, app: Starlette, register) -> None:
    register.people = People()
    assert "BALLAST_COMPLIANCE_USERS" in ask(app, "/sign-in").text


def test_sign_in__who_is_signed_in_goes_on(ask, app: Starlette, sessions: Sessions) -> None:
    answer = ask(app, "/sign-in?to=/app/", headers={"Cookie": f"{COOKIE}={sessions.open('ann')}"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/app/")


def test_sign_in__of_a_role_that_does_not_sign_in_is_wrong(ask, app: Starlette, monkeypatch) -> None:
    monkeypatch.setattr("streamlit_app.server.sign_in.SIGN_IN_ROLES", frozenset())
    assert _post(ask, app, GOOD).status_code == 401


def test_sign_out__ends_the_session_by_a_button(ask, app: Starlette, sessions: Sessions) -> None:
    token = sessions.open("ann")
    header = {"Cookie": f"{COOKIE}={token}"}
    assert 'method="post"' in ask(app, "/sign-out", headers=header).text
    assert sessions.visitor(token) is not None
    answer = ask(app, "/sign-out", "POST", headers=header)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?out=1")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert sessions.visitor(token) is None


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/app/?account=acct-1#top", "/app/?account=acct-1#top"),
        ("/app/caf\xe9", "/app/caf%C3%A9"),
        (None, "/"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("///evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("\\/evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        (" //evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("app/", "/"),
        ("/sign-in?to=/x", "/"),
        ("/sign-out", "/"),
        ("/auth/start", "/"),
        ("/" + "a" * 3_000, "/"),
    ],
)
def test_safe_target__stays_on_this_host(wanted: str | None, target: str) -> None:
    assert safe_target(wanted) == target


def test_gate__compares_with_people_of_today(gate: Gate, register) -> None:
    register.people = people_of(SecretStr("bob:viewer:token-of-bob-0123456789"))
    assert gate.attempt(**GOOD)[0] is Attempt.WRONG

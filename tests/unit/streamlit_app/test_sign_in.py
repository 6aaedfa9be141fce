"""The password gate, and that nothing is shown before it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import streamlit as st
from pydantic import SecretStr

from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings
from streamlit_app import data
from streamlit_app.components.sign_in import Attempt, Gate


@pytest.fixture
def gate(now_clock: FixedClock) -> Gate:
    return Gate("p\u00e4ss \u2603", now_clock)


def test_gate__accepts_only_the_password(gate: Gate, now_clock: FixedClock) -> None:
    for wrong in ("", "pass", "p\u00e4ss \u2603 "):
        assert gate.attempt(wrong) is Attempt.WRONG
        now_clock.advance(timedelta(minutes=1))
    assert gate.attempt("p\u00e4ss \u2603") is Attempt.ACCEPTED


def test_gate__looks_at_nothing_during_the_pause(gate: Gate, now_clock: FixedClock) -> None:
    gate.attempt("wrong")
    assert gate.attempt("p\u00e4ss \u2603") is Attempt.TOO_SOON
    assert gate.wait_s() == 1
    now_clock.advance(timedelta(seconds=1))
    assert gate.wait_s() == 0
    assert gate.attempt("p\u00e4ss \u2603") is Attempt.ACCEPTED


def test_gate__doubles_the_pause_up_to_half_a_minute(gate: Gate, now_clock: FixedClock) -> None:
    pauses = []
    for _ in range(8):
        assert gate.attempt("wrong") is Attempt.WRONG
        pauses.append(gate.wait_s())
        now_clock.advance(timedelta(seconds=gate.wait_s()))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_gate__a_right_password_ends_the_row_of_wrong_ones(gate: Gate, now_clock: FixedClock) -> None:
    for _ in range(3):
        gate.attempt("wrong")
        now_clock.advance(timedelta(minutes=1))
    gate.attempt("p\u00e4ss \u2603")
    gate.attempt("wrong")
    assert gate.wait_s() == 1


def test_app__shows_and_reads_nothing_before_sign_in(app) -> None:
    app.at.run()
    assert app.at.text_input[0].label == "Password"
    assert app.parts() == {}
    assert not app.at.selectbox
    assert app.reader.asked == []


def test_app__a_wrong_password_shows_no_data(app) -> None:
    app.sign_in("wrong")
    assert "not the password" in app.at.error[0].value
    assert app.parts() == {}
    assert app.reader.asked == []


def test_app__a_try_too_soon_is_refused_even_with_the_password(app) -> None:
    app.sign_in("wrong").sign_in()
    assert "Too soon" in app.at.warning[0].value
    assert app.parts() == {}
    app.clock.advance(timedelta(seconds=1))
    app.sign_in()
    assert "totals" in app.parts()


@pytest.mark.parametrize("password", [None, SecretStr("")])
def test_app__without_a_password_nobody_signs_in(
    app, monkeypatch: pytest.MonkeyPatch, password: SecretStr | None
) -> None:
    closed = Settings(app_password=password)
    monkeypatch.setattr(data, "load_settings", lambda: closed)
    st.cache_resource.clear()
    app.at.run()
    assert "BALLAST_APP_PASSWORD" in app.at.error[0].value
    assert not app.at.text_input
    assert app.parts() == {}


def test_app__sign_out_ends_the_session(app) -> None:
    app.sign_in()
    next(button for button in app.at.button if button.label == "Sign out").click().run()
    assert app.at.text_input[0].label == "Password"
    assert app.parts() == {}

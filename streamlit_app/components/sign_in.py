"""The password form before everything, and what slows guessing down."""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import streamlit as st

from infra.runtime.clock import Clock
from infra.runtime.settings import Settings
from streamlit_app import data

SIGNED_IN = "signed_in"
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)


class Attempt(StrEnum):
    """What became of a try to sign in."""

    ACCEPTED = "accepted"
    WRONG = "wrong"
    TOO_SOON = "too_soon"


@dataclass
class Gate:
    """Compares passwords for all sessions of the process.

    After each wrong try in a row the next one is looked at only after a pause that doubles from one second to
    thirty; a try before that is refused unseen. The pause is the process's, so many sessions do not guess faster.
    """

    password: str
    clock: Clock
    _wrong: int = 0
    _open_at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attempt(self, given: str) -> Attempt:
        """Compare in constant time, unless it is too soon."""
        with self._lock:
            now = self.clock.now()
            if self._open_at is not None and now < self._open_at:
                return Attempt.TOO_SOON
            if hmac.compare_digest(_digest(given), _digest(self.password)):
                self._wrong, self._open_at = 0, None
                return Attempt.ACCEPTED
            self._wrong += 1
            self._open_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._wrong - 1, 10))
            return Attempt.WRONG

    def wait_s(self) -> int:
        """Seconds until the next try is looked at, rounded up."""
        with self._lock:
            left = (self._open_at - self.clock.now()).total_seconds() if self._open_at else 0.0
        return max(0, -int(-left // 1))


def _digest(value: str) -> bytes:
    # Equal lengths: the comparison tells nothing about the password's length.
    return hashlib.sha256(value.encode()).digest()


@st.cache_resource(show_spinner=False)
def _gate(_password: str) -> Gate:
    return Gate(_password, data.system_clock())


def is_signed_in() -> bool:
    """Whether this session may see data; shows the form, or why nobody can sign in, where it may not."""
    if st.session_state.get(SIGNED_IN) is True:
        return True
    secret = data.settings().app_password
    password = secret.get_secret_value() if secret else ""
    with st.container(horizontal_alignment="center"), st.container(key="sign_in", width=420):
        st.title("Ballast")
        if password:
            _form(_gate(password))
        else:
            _closed(data.settings())
    return False


def sign_out() -> None:
    """Forget everything of this session."""
    st.session_state.clear()


def _form(gate: Gate) -> None:
    st.write("Margin and risk of the lending book. Sign in to see it.")
    with st.form("sign_in_form"):
        given = st.text_input("Password", type="password", autocomplete="current-password")
        if not st.form_submit_button("Sign in", type="primary", width="stretch"):
            return
    match gate.attempt(given):
        case Attempt.ACCEPTED:
            st.session_state[SIGNED_IN] = True
            st.rerun()
        case Attempt.WRONG:
            st.error(f"That is not the password. The next try is possible in {max(1, gate.wait_s())} s.")
        case Attempt.TOO_SOON:
            st.warning(f"Too soon after a wrong password: wait {max(1, gate.wait_s())} s, then try again.")


def _closed(settings: Settings) -> None:
    st.error(
        "Nobody can sign in: no password is set. Set `BALLAST_APP_PASSWORD` in the environment, or in "
        f"`{settings.env_file.name}` of the state folder (`ballast up` writes one there), and start the app again."
    )

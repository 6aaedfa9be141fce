"""Sign-in by name and password, which slows guessing down, and sign-out; both without scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from html import escape
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from compliance.api.people import SIGN_IN_ROLES, People
from compliance.model import Actor
from infra.runtime.clock import Clock
from streamlit_app.server.door import SIGN_IN_PATH, session_of
from streamlit_app.server.plain_page import plain_page, says
from streamlit_app.server.session import COOKIE, LIFETIME, Sessions

SIGN_OUT_PATH = "/sign-out"
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
MAX_FORM_BYTES = 8_000
MAX_TARGET_LENGTH = 2_000
_TARGET_SAFE = "/?&=%#~:@!$'()*+,;-._"


class Attempt(StrEnum):
    """What became of a try to sign in."""

    ACCEPTED = "accepted"
    WRONG = "wrong"
    TOO_SOON = "too_soon"


@dataclass
class Gate:
    """Compares names and passwords (the people's tokens) for all visitors of the process.

    After each wrong try in a row the next one is looked at only after a pause that doubles from one second to
    thirty; a try before that is refused unseen. The pause is the process's, so many visitors do not guess faster.
    """

    people: Callable[[], People]
    clock: Clock
    _wrong: int = 0
    _open_at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def attempt(self, name: str, password: str) -> tuple[Attempt, Actor | None]:
        """Compare with every person, unless it is too soon."""
        with self._lock:
            now = self.clock.now()
            if self._open_at is not None and now < self._open_at:
                return Attempt.TOO_SOON, None
            actor = self.people().signed_in_as(name, password)
            if actor is not None and actor.role in SIGN_IN_ROLES:
                self._wrong, self._open_at = 0, None
                return Attempt.ACCEPTED, actor
            self._wrong += 1
            self._open_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._wrong - 1, 10))
            return Attempt.WRONG, None

    def wait_s(self) -> int:
        """Seconds until the next try is looked at, rounded up."""
        with self._lock:
            left = (self._open_at - self.clock.now()).total_seconds() if self._open_at else 0.0
        return max(0, -int(-left // 1))


@dataclass(frozen=True)
class SignIn:
    """The routes of local sign-in."""

    gate: Gate
    sessions: Sessions
    is_https: bool

    def routes(self) -> list[Route]:
        """`/sign-in`; sign-out has a route of its own for every mode."""
        return [
            Route(SIGN_IN_PATH, self.show, methods=["GET"]),
            Route(SIGN_IN_PATH, self.take, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form, or the way on for somebody who is signed in."""
        target = safe_target(request.query_params.get("to"))
        if self.sessions.visitor(session_of(request.headers)) is not None:
            return RedirectResponse(target, 303)
        note = says("You are signed out.") if "out" in request.query_params else ""
        if not self.gate.people():
            note = says("Nobody can sign in: BALLAST_COMPLIANCE_USERS names no one.", is_bad=True)
        return form_page(target, note)

    async def take(self, request: Request) -> Response:
        """Let in who gives a name and its password; never tells which of the two was wrong."""
        form = await _form(request)
        target = safe_target(form.get("to"))
        attempt, actor = self.gate.attempt(form.get("name", "").strip(), form.get("password", "").strip())
        if actor is not None:
            return signed_in(RedirectResponse(target, 303), self.sessions.open(actor.name), is_https=self.is_https)
        wait = max(1, self.gate.wait_s())
        if attempt is Attempt.TOO_SOON:
            text = f"Too soon after a wrong try: wait {wait} s, then try again."
            return form_page(target, says(text, is_bad=True), 429, {"Retry-After": str(wait)})
        text = f"Name and password do not belong together. The next try is possible in {wait} s."
        return form_page(target, says(text, is_bad=True), 401)


def sign_out_routes(sessions: Sessions, after: str = f"{SIGN_IN_PATH}?out=1") -> list[Route]:
    """`/sign-out`: a button for those who come by a link, and the end of the session for those who press it."""

    async def ask(_request: Request) -> Response:
        button = f'<form method="post" action="{SIGN_OUT_PATH}"><button type="submit">Sign out</button></form>'
        return plain_page("Sign out", f"<p>This ends your session in all tabs.</p>{button}")

    async def end(request: Request) -> Response:
        sessions.revoke(session_of(request.headers))
        response = RedirectResponse(after, 303)
        response.delete_cookie(COOKIE, path="/")
        return response

    return [Route(SIGN_OUT_PATH, ask, methods=["GET"]), Route(SIGN_OUT_PATH, end, methods=["POST"])]


def signed_in(response: Response, token: str, *, is_https: bool) -> Response:
    """The response with the session's cookie."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_https,
    )
    return response


def safe_target(wanted: str | None) -> str:
    """Where to go after signing in: a path of this app, or `/` for anything else."""
    if not wanted or len(wanted) > MAX_TARGET_LENGTH or not wanted.isprintable() or "\\" in wanted:
        return "/"
    if not wanted.startswith("/") or wanted.startswith("//"):
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or parts.path.startswith((SIGN_IN_PATH, SIGN_OUT_PATH, "/auth/")):
        return "/"
    return quote(wanted, safe=_TARGET_SAFE)


def form_page(target: str, note: str = "", status: int = 200, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """The sign-in form; `note` is HTML."""
    body = (
        f'<p class="soft">Margin, risk and compliance of the lending book.</p>{note}'
        f'<form method="post" action="{SIGN_IN_PATH}">'
        f'<input type="hidden" name="to" value="{escape(target)}">'
        '<label for="name">Name</label>'
        '<input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required'
        ' autofocus maxlength="64">'
        '<label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required'
        ' maxlength="500">'
        '<button type="submit">Sign in</button></form>'
    )
    return plain_page("Ballast", body, status, headers)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a plain form; nothing where it is too long or unreadable."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return {}
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}

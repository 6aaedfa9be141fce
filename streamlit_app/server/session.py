"""Who is signed in: a signed cookie that names a person, whose role is looked up anew at every use."""

from __future__ import annotations

import functools
import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from starlette.requests import HTTPConnection

from compliance.api.people import SIGN_IN_ROLES, People, people_of
from compliance.authorization import Action, is_allowed
from compliance.model import Role
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import SettingsError
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings, load_settings

COOKIE = "ballast_session"
LIFETIME = timedelta(hours=12)
MIN_KEY_LENGTH = 32
MAX_TOKEN_LENGTH = 1_000
VISITOR_KEY = "ballast.visitor"
"""Where the door puts the `Visitor` of a request, in its scope."""
STILL_IN_KEY = "ballast.still_in"
"""Where the door puts a function that tells whether the visitor is still signed in, for answers that last."""
SESSION_HEADER = "x-ballast-session"
"""Header of a page's connection, set by the door alone, with a session that it checked; scripts read it."""
REVOKED_FILE = "app-signed-out.txt"
_SALT = "ballast.app.session"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is signed in to the app."""

    name: str
    role: Role

    def can(self, action: Action) -> bool:
        """Whether the role may do it; the API asks again when it is done."""
        return is_allowed(self.role, action)


class _Claims(BaseModel):
    """What a session says: the person's name, its own id, and when it began (seconds since 1970)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(max_length=64)
    id: str = Field(max_length=64)
    at: int


@dataclass
class Revoked:
    """Ids of sessions that were signed out, until they would have ended by themselves; also after a restart.

    `file` holds one `id seconds` a line; None: kept in memory only.
    """

    file: Path | None
    clock: Clock
    _until: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.file is None or not self.file.exists():
            return
        now = self.clock.now().timestamp()
        for line in self.file.read_text(encoding="utf-8", errors="replace").splitlines():
            session_id, _, until = line.partition(" ")
            # The last line may be half of one, where the process was killed.
            if until.isdecimal() and int(until) > now:
                self._until[session_id] = int(until)
        self._write("w", self._until)

    def __contains__(self, session_id: str) -> bool:
        with self._lock:
            return session_id in self._until

    def add(self, session_id: str, until: datetime) -> None:
        """Refuse this session from now on."""
        seconds = int(until.timestamp()) + 1
        with self._lock:
            now = self.clock.now().timestamp()
            self._until = {known: end for known, end in self._until.items() if end > now} | {session_id: seconds}
            self._write("a", {session_id: seconds})

    def _write(self, mode: str, entries: Mapping[str, int]) -> None:
        if self.file is None:
            return
        try:
            with self.file.open(mode, encoding="utf-8") as stream:
                stream.writelines(f"{session_id} {until}\n" for session_id, until in entries.items())
            self.file.chmod(0o600)
        except OSError as error:
            # Signed out in this process at least; after a restart the cookie would count again.
            _log.error("sign_out_not_kept", reason=type(error).__name__)


class Sessions:
    """Opens, reads and ends sessions. The same for the server and for the scripts of the pages."""

    def __init__(
        self, keys: SecretStr | None, people: Callable[[], People], clock: Clock, revoked: Revoked | None = None
    ) -> None:
        self.people = people
        self._clock = clock
        self._revoked = revoked or Revoked(None, clock)
        # The library takes the key that signs last.
        self._signer = URLSafeSerializer(
            list(reversed(_keys(keys))),
            salt=_SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def open(self, name: str) -> str:
        """A new session of the person, as the cookie's value."""
        claims = _Claims(name=name, id=secrets.token_urlsafe(16), at=int(self._clock.now().timestamp()))
        token: str | bytes = self._signer.dumps(claims.model_dump())
        return token if isinstance(token, str) else token.decode()

    def visitor(self, token: str | None) -> Visitor | None:
        """Who this session is, with today's role; None where it is none, has ended, or its person is gone."""
        claims = self._claims(token)
        if claims is None or claims.id in self._revoked:
            return None
        age = self._clock.now() - datetime.fromtimestamp(claims.at, UTC)
        if not timedelta(seconds=-60) <= age < LIFETIME:
            return None
        return visitor_named(self.people(), claims.name)

    def revoke(self, token: str | None) -> None:
        """End the session for good, wherever its cookie is."""
        claims = self._claims(token)
        if claims is not None:
            self._revoked.add(claims.id, datetime.fromtimestamp(claims.at, UTC) + LIFETIME)

    def _claims(self, token: str | None) -> _Claims | None:
        if not token or len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            return _Claims.model_validate(self._signer.loads(token))
        except (BadData, ValidationError):
            return None


def visitor_named(people: People, name: str) -> Visitor | None:
    """The person as a visitor; None for one who is unknown, or whose role does not sign in."""
    actor = people.named(name)
    if actor is None or actor.role not in SIGN_IN_ROLES:
        return None
    return Visitor(actor.name, actor.role)


def request_visitor(request: HTTPConnection) -> Visitor:
    """Who asks; raises `RuntimeError` where no door stands before the route, which must never answer then."""
    found = request.scope.get(VISITOR_KEY)
    if not isinstance(found, Visitor):
        raise RuntimeError(f"No visitor at {request.url.path}: the route is not behind the door.")
    return found


def is_still_in(request: HTTPConnection) -> bool:
    """Whether the visitor of a long answer is still signed in."""
    check: Any = request.scope.get(STILL_IN_KEY)
    return bool(check is not None and check())


@functools.cache
def process_sessions() -> Sessions:
    """The sessions of this process by its settings: one for the server and the scripts of the pages."""
    settings, clock = load_settings(), SystemClock()
    return sessions_of(settings, clock)


def sessions_of(settings: Settings, clock: Clock) -> Sessions:
    """Sessions by these settings; raises `SettingsError` where keys or people cannot be used."""
    people = people_of(settings.compliance_users, settings.compliance_emails)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    return Sessions(settings.app_session_key, lambda: people, clock, Revoked(settings.state_dir / REVOKED_FILE, clock))


def _keys(setting: SecretStr | None) -> list[str]:
    text = setting.get_secret_value() if setting is not None else ""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    if not keys or any(len(key) < MIN_KEY_LENGTH for key in keys):
        raise SettingsError(
            f"BALLAST_APP_SESSION_KEY needs keys of at least {MIN_KEY_LENGTH} characters; `python -c 'import secrets;"
            " print(secrets.token_urlsafe(32))'` makes one, and so does `ballast up`."
        )
    return keys

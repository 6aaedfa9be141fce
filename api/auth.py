"""Who may ask: the API's bearer token, or at compliance a person's, refused by default.

The app's statement that a person of compliance asks (`infra/runtime/assertions.py`) is that person everywhere.
Exceptions are the health checks, and addresses whose requests carry a proof of their own: a provider's signature, or a
token in the address that was mailed to somebody.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import TokenInvalidError, TokenMissingError, TokenNotConfiguredError, error_response
from compliance.api.access import ACTOR_KEY
from compliance.api.people import API_TOKEN_READER, SIGN_IN_ROLES, People
from compliance.errors import ForbiddenError
from compliance.model import Actor, Role
from infra.runtime.assertions import PERSON_KEY, AssertionRefusedError, is_assertion, read_assertion
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import BallastError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
CALLBACKS_PREFIX = "/v1/callbacks/"
MAILED_PREFIX = "/v1/alert-verifications/"
COMPLIANCE_PREFIX = "/v1/compliance/"
IDENTITY_PREFIX = f"{COMPLIANCE_PREFIX}webhooks/"
# Their routes check signature or token themselves.
PROVEN_PREFIXES = (CALLBACKS_PREFIX, MAILED_PREFIX, IDENTITY_PREFIX)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Asked by POST, and nothing is changed by it.
COMPUTED_PATHS = frozenset({"/v1/risk/what-if"})
WRITER_ROLES = frozenset({Role.ANALYST, Role.OFFICER, Role.ADMIN})
"""Who may acknowledge alerts and change preferences through the app."""
# Plain segments only, so that no address leads out of the prefix again: no empty one, none that begins with a dot.
_PROVEN_REST = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*")
# A browser's WebSocket sends no headers of its own, so that it offers the token as a second subprotocol.
SUBPROTOCOL = "ballast.v1"
BEARER_SUBPROTOCOL = "bearer."


class BearerAuthentication:
    """Middleware that lets only open paths and the token's holders through to the routes.

    It stands before routing, so an address that no one thought of is closed too, and a stranger cannot tell which
    addresses exist. `people` are let through to compliance alone; who it is stands in the scope, where the API's own
    token is a reader without a name. A person for whom the app speaks, with `assertion_key`, is let through to every
    address over HTTP, under their own name and role.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: SecretStr | None,
        people: People | None = None,
        assertion_key: SecretStr | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._app = app
        self._people = people or People()
        self._assertion_key = assertion_key if has_token(assertion_key) else None
        self._clock = clock or SystemClock()
        self._expected = _digest(token.get_secret_value().encode()) if has_token(token) and token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 (503 where the API has no token)."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http" and has_own_proof(scope["path"], scope.get("raw_path")):
            await self._app(_hide_token(scope), receive, send)
            return
        if scope["type"] == "websocket":
            # The server logs a handshake with its query, where somebody may have put a token; nothing here reads it.
            scope["query_string"] = b""
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await refuse_handshake(scope, receive, send, refusal)
        else:
            await error_response(scope, refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> BallastError | None:
        is_compliance = scope["type"] == "http" and scope["path"].startswith(COMPLIANCE_PREFIX)
        people = self._people if is_compliance else People()
        is_closed = self._expected is None and not people
        if is_closed and (self._assertion_key is None or scope["type"] != "http"):
            return TokenNotConfiguredError(
                "The API has no token, so it refuses every request. Set BALLAST_API_TOKEN and start it again."
            )
        offered = _offered(scope)
        given = offered[0] if len(offered) == 1 else None
        if given is None:
            return TokenMissingError("Send exactly one header 'Authorization: Bearer <token>'.")
        actor = self._actor(given, people)
        if actor is None and scope["type"] == "http" and is_assertion(given):
            actor = self._asserted(given)
            if actor is not None:
                if not is_compliance and not _may_ask(actor, scope):
                    return ForbiddenError(f"Who has the role {actor.role} may look here, and change nothing.")
                scope[PERSON_KEY] = actor.name
        if actor is None:
            return TokenInvalidError("The token is not the API's. Send the value of BALLAST_API_TOKEN.")
        scope[ACTOR_KEY] = actor
        return None

    def _asserted(self, token: bytes) -> Actor | None:
        """The person for whom the app speaks: one of today's, with today's role."""
        if self._assertion_key is None:
            return None
        try:
            name = read_assertion(self._assertion_key, token.decode("latin-1"), self._clock.now())
        except AssertionRefusedError:
            return None
        actor = self._people.named(name)
        return actor if actor is not None and actor.role in SIGN_IN_ROLES else None

    def _actor(self, token: bytes, people: People) -> Actor | None:
        person = people.actor_of(token)
        is_own = self._expected is not None and hmac.compare_digest(_digest(token), self._expected)
        return person or (API_TOKEN_READER if is_own else None)


def _may_ask(actor: Actor, scope: Scope) -> bool:
    """Whether the person may send this outside of compliance, which asks its own matrix."""
    return scope["method"] in _SAFE_METHODS or scope["path"] in COMPUTED_PATHS or actor.role in WRITER_ROLES


def has_own_proof(path: str, raw_path: bytes | None = None) -> bool:
    """Whether the routes of this address authenticate by themselves; an encoded address never does."""
    prefix = next((each for each in PROVEN_PREFIXES if path.startswith(each)), None)
    if prefix is None or (raw_path is not None and raw_path.partition(b"?")[0] != path.encode()):
        return False
    return _PROVEN_REST.fullmatch(path.removeprefix(prefix)) is not None


def _hide_token(scope: Scope) -> Scope:
    """The scope for the routes; what stands outside of them, the access log too, sees no mailed token."""
    inner = dict(scope)
    if scope["path"].startswith(MAILED_PREFIX):
        scope["path"] = MAILED_PREFIX + "..."
        scope["raw_path"] = scope["path"].encode()
    return inner


async def refuse_handshake(scope: Scope, receive: Receive, send: Send, refusal: BallastError) -> None:
    """Answer a WebSocket's handshake with an HTTP error; 403 without words where the server knows no other refusal."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
        return
    await error_response(scope, refusal)(scope, receive, send)
    # uvicorn logs a fault unless the connection has ended before the application returns.
    await asyncio.sleep(0)


def has_token(token: SecretStr | None) -> bool:
    """Whether a token is configured; a blank one is none."""
    return token is not None and bool(token.get_secret_value().strip())


def _offered(scope: Scope) -> list[bytes | None]:
    """The tokens that the request carries; None for a header that is no bearer."""
    found = [_bearer(value) for name, value in scope["headers"] if name == b"authorization"]
    if scope["type"] == "websocket":
        offered = [each for each in scope.get("subprotocols", ()) if each.startswith(BEARER_SUBPROTOCOL)]
        found += [each.removeprefix(BEARER_SUBPROTOCOL).encode("latin-1") for each in offered]
    return found


def _digest(token: bytes) -> bytes:
    # Equal lengths, so that the comparison tells nothing about the token's length either.
    return hashlib.sha256(token).digest()


def _bearer(header: bytes) -> bytes | None:
    scheme, _, token = header.partition(b" ")
    token = token.strip()
    return token if scheme.lower() == b"bearer" and token else None

"""Who may ask: one bearer token for everything except the health checks, refused by default."""

from __future__ import annotations

import hashlib
import hmac

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError, TokenInvalidError, TokenMissingError, TokenNotConfiguredError, error_response

OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class BearerAuthentication:
    """Middleware that lets only open paths and the token's holders through to the routes.

    It stands before routing, so an address that no one thought of is closed too, and a stranger cannot tell which
    addresses exist.
    """

    def __init__(self, app: ASGIApp, token: SecretStr | None) -> None:
        self._app = app
        self._expected = _digest(token.get_secret_value().encode()) if has_token(token) and token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 (503 where the API has no token)."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closing before the handshake makes the server answer 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
        else:
            await error_response(scope, refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        if self._expected is None:
            return TokenNotConfiguredError(
                "The API has no token, so it refuses every request. Set BALLAST_API_TOKEN and start it again."
            )
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        given = _bearer(headers[0]) if len(headers) == 1 else None
        if given is None:
            return TokenMissingError("Send exactly one header 'Authorization: Bearer <token>'.")
        if not hmac.compare_digest(_digest(given), self._expected):
            return TokenInvalidError("The token is not the API's. Send the value of BALLAST_API_TOKEN.")
        return None


def has_token(token: SecretStr | None) -> bool:
    """Whether a token is configured; a blank one is none."""
    return token is not None and bool(token.get_secret_value().strip())


def _digest(token: bytes) -> bytes:
    # Equal lengths, so that the comparison tells nothing about the token's length either.
    return hashlib.sha256(token).digest()


def _bearer(header: bytes) -> bytes | None:
    scheme, _, token = header.partition(b" ")
    token = token.strip()
    return token if scheme.lower() == b"bearer" and token else None

"""Credentials of requests to the inbox, and their bodies within a limit."""

from __future__ import annotations

import base64
import binascii

from fastapi import HTTPException, Request
from pydantic import SecretStr
from starlette.requests import ClientDisconnect

from infra.embedded.access import bearer_of, matches

BROWSER_USER = "ballast"


def require_reader(request: Request, token: SecretStr | None, *, is_browser_allowed: bool = True) -> None:
    """Let a bearer of the inbox token pass, and a browser signed in as `ballast` with it; anybody else gets 401."""
    given = bearer(request)
    if given is None and is_browser_allowed:
        user, password = basic(request)
        given = password if user == BROWSER_USER else None
    if not matches(given, token):
        raise HTTPException(401, "The inbox token is needed.", {"www-authenticate": 'Basic realm="Ballast inbox"'})


def bearer(request: Request) -> str | None:
    """The bearer token of the request."""
    return bearer_of(request.headers.get("authorization", ""))


def basic(request: Request) -> tuple[str | None, str | None]:
    """User and password of HTTP Basic authentication; (None, None) without a readable header."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        user, separator, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return (user, password) if separator else (None, None)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body; HTTP 413 when it has more than `max_bytes`, 400 when its sender left."""
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > max_bytes:
                raise HTTPException(413, f"The body has more than {max_bytes} bytes.")
    except ClientDisconnect:
        raise HTTPException(400, "The body is incomplete.") from None
    return bytes(content)


def text_of(body: bytes) -> str:
    """The body for display."""
    return body.decode(errors="replace")

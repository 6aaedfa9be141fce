"""The handshake of `/v1/stream`; the token was checked before routing."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, WebSocket

from api.auth import SUBPROTOCOL, refuse_handshake
from api.dependencies import get_hub
from api.errors import ApiError, StreamOriginError, StreamsFullError
from api.stream.hub import Hub
from api.stream.session import Session

router = APIRouter(prefix="/v1", tags=["stream"])


@router.websocket("/stream")
async def stream(socket: WebSocket, hub: Annotated[Hub, Depends(get_hub)]) -> None:
    """Live health, prices and alerts; see docs/architecture/stream.md."""
    refusal = _refusal(socket, hub)
    if refusal is not None:
        await refuse_handshake(socket.scope, socket.receive, socket.send, refusal)
        return
    await Session(socket, hub).run(SUBPROTOCOL if SUBPROTOCOL in socket.scope.get("subprotocols", ()) else None)


def _refusal(socket: WebSocket, hub: Hub) -> ApiError | None:
    origin = socket.headers.get("origin")
    if origin is not None and not is_allowed_origin(origin, socket.headers.get("host", ""), hub.policy.allowed_origins):
        return StreamOriginError("A page of another host may not open this stream. Serve the page from the API's host.")
    if hub.is_full:
        return StreamsFullError("All streams of this API are taken. Try again in a few seconds.")
    return None


def is_allowed_origin(origin: str, host: str, allowed: frozenset[str]) -> bool:
    """Whether a page of `origin` may connect: one of the same host name, on any port, or one that is listed."""
    if origin in allowed:
        return True
    try:
        own, given = urlsplit(f"//{host}").hostname, urlsplit(origin)
        return given.scheme in ("http", "https") and given.hostname is not None and given.hostname == own
    except ValueError:
        return False

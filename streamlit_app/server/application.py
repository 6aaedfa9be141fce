"""One ASGI application: the door, the light page and its stream, sign-in, files, and Streamlit below `/app`."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp
from streamlit import config, file_util

from infra.runtime.clock import Clock
from infra.runtime.errors import SettingsError
from infra.runtime.logs import get_logger
from infra.runtime.settings import PROJECT_ROOT, Settings
from streamlit_app.server import exports, first_paint, home, live
from streamlit_app.server.compressed import Compressed
from streamlit_app.server.door import SIGN_IN_PATH, CookieIdentifier, Door, Identifier
from streamlit_app.server.headers import SecurityHeaders
from streamlit_app.server.iap import SIGN_OUT_AT, iap_identifier
from streamlit_app.server.live import Hub
from streamlit_app.server.oidc import CALLBACK_PATH, START_PATH, oidc_of
from streamlit_app.server.session import Sessions
from streamlit_app.server.sign_in import Gate, SignIn, sign_out_routes
from streamlit_app.server.static import APP_PATH, StreamlitFiles
from streamlit_app.server.topics import register_topics

SCRIPT = PROJECT_ROOT / "streamlit_app" / "app.py"
FAVICON = PROJECT_ROOT / "streamlit_app" / "favicon.svg"
CACHE_FOLDER = "app-cache"
_FOREIGN_LOGS = frozenset({"streamlit", "uvicorn", "websockets"})
_LOADED = re.compile(r'(?:src|href)="\./(static/[^"]+)"')
_log = get_logger(__name__)


@dataclass(frozen=True)
class Application:
    """The application to serve, and its parts that the process ends in order."""

    asgi: ASGIApp
    routes: tuple[BaseRoute, ...]
    hub: Hub
    compressed: Compressed

    def close_streams(self) -> None:
        """End answers that would last, so that the server can stop."""
        self.hub.close()


@dataclass(frozen=True)
class _Ways:
    """How visitors sign in: who is taken for whom, and the open routes that lead there."""

    identifier: Identifier
    routes: Sequence[BaseRoute]
    open_paths: frozenset[str]


def create_app(settings: Settings, sessions: Sessions, clock: Clock) -> Application:
    """The application for these settings; it opens nothing before its lifespan begins.

    Raises `SettingsError` where sign-in is not configured, or Streamlit does not stand at `/app`.
    """
    _check_streamlit()
    ways = _ways(settings, sessions, clock)
    hub = register_topics(Hub())
    compressed = compressed_of(settings, clock)
    files = StreamlitFiles(Path(file_util.get_static_dir()), compressed, first_paint.with_first_paint)
    routes: list[BaseRoute] = [
        Route("/healthz", _health, methods=["GET"]),
        Route("/favicon.svg", _favicon, methods=["GET"]),
        Route("/favicon.ico", _favicon, methods=["GET"]),
        *ways.routes,
        *home.routes(hub),
        *live.routes(hub),
        *exports.routes(),
        *first_paint.routes(hub),
        *files.routes(),
    ]

    @asynccontextmanager
    async def lifespan(_app: st.App) -> AsyncIterator[dict[str, Any]]:
        _take_over_logs()
        compressed.start()
        try:
            yield {}
        finally:
            hub.close()
            compressed.stop()

    streamlit = st.App(SCRIPT, routes=routes, lifespan=lifespan, on_script_error=on_script_error)
    door = Door(streamlit, ways.identifier, sessions, settings.app_url, ways.open_paths)
    headers = SecurityHeaders(door, is_https=_is_https(settings))
    return Application(headers, tuple(routes), hub, compressed)


def compressed_of(settings: Settings, clock: Clock) -> Compressed:
    """Streamlit's files, compressed in a folder of this version; what its page loads at once comes first."""
    source = Path(file_util.get_static_dir())
    html = (source / "index.html").read_text(encoding="utf-8")
    folder = settings.app_cache_dir or settings.state_dir / CACHE_FOLDER
    return Compressed(source, folder / f"streamlit-{st.__version__}", frozenset(_LOADED.findall(html)), clock)


def on_script_error(error: Exception) -> bool:
    """Show that a page failed, and log where: what an error says may be about persons, so its words are kept back."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)]
    _log.error("page_failed", error=type(error).__name__, frames=frames[-12:])
    st.error("This page failed, and what it shows may be incomplete. Reload it; the app's log tells where it failed.")
    return True


def _ways(settings: Settings, sessions: Sessions, clock: Clock) -> _Ways:
    is_https = _is_https(settings)
    match settings.app_sign_in:
        case "iap":
            routes = sign_out_routes(sessions, SIGN_OUT_AT)
            return _Ways(iap_identifier(settings, sessions, clock), routes, frozenset())
        case "oidc":
            oidc = oidc_of(settings, sessions, clock)
            own, paths = oidc.routes(), frozenset({SIGN_IN_PATH, START_PATH, CALLBACK_PATH})
        case _:
            own, paths = SignIn(Gate(sessions.people, clock), sessions, is_https).routes(), frozenset({SIGN_IN_PATH})
    return _Ways(CookieIdentifier(sessions), [*own, *sign_out_routes(sessions)], paths)


def _check_streamlit() -> None:
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    if base != APP_PATH.strip("/"):
        raise SettingsError(
            f"Streamlit would stand at /{base}, not at {APP_PATH}: start the app in {PROJECT_ROOT}, where"
            " .streamlit/config.toml says so, and without STREAMLIT_SERVER_BASE_URL_PATH."
        )
    # It would log what an error says; `on_script_error` logs where it happened.
    logging.getLogger("streamlit.error_util").setLevel(logging.CRITICAL)
    _take_over_logs()


def _take_over_logs() -> None:
    """Let our log, which hides secrets, have what Streamlit and its server would write past it."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in _FOREIGN_LOGS:
            logger.handlers.clear()
            # Addresses hold the codes of sign-ins.
            logger.propagate = name != "uvicorn.access"


def _is_https(settings: Settings) -> bool:
    return settings.app_url.startswith("https:")


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _favicon(_request: Request) -> Response:
    return FileResponse(FAVICON, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})

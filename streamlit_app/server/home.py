"""The light page at `/`: the book's real figures in one small answer, kept current by the stream."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path

import brotli
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from streamlit import file_util

from infra.runtime.clock import Clock, SystemClock
from streamlit_app.components import states
from streamlit_app.components.live import STREAM_ROOT
from streamlit_app.components.scope import APP_ROOT
from streamlit_app.pages import pages_for
from streamlit_app.server.channels import LivePage
from streamlit_app.server.compressed import accepted
from streamlit_app.server.headers import content_policy
from streamlit_app.server.html import BOOT_JS, light_page
from streamlit_app.server.live import Hub
from streamlit_app.server.session import request_visitor
from streamlit_app.server.topics import HOME

# Who waits longer than this gets a page that says so, and the figures by the stream.
PATIENCE_S = 1.2
_LOADED = re.compile(r'<(?:script|link)\b[^>]*?(?:src|href)="\./(static/[^"]+\.(js|css))"')
_KINDS = {"js": "script", "css": "style"}
_CONNECTING = LivePage({"state": states.CONNECTING})


def routes(hub: Hub, clock: Clock | None = None) -> list[Route]:
    """`/`, which must stand behind the door; the hub must know the topics."""
    time = clock or SystemClock()
    policy = content_policy([BOOT_JS])

    async def home(request: Request) -> Response:
        visitor = request_visitor(request)
        page = await hub.page(HOME, PATIENCE_S) or _CONNECTING
        shown = pages_for(visitor.role)
        html = light_page(visitor, page, shown, STREAM_ROOT + HOME, app_files(), time.now())
        return _answer(html, request.headers.get("accept-encoding", ""), policy)

    return [Route("/", home, methods=["GET"])]


@cache
def app_files() -> tuple[tuple[str, str], ...]:
    """What the full app loads first, as addresses with the kind that a browser calls them by."""
    html = (Path(file_util.get_static_dir()) / "index.html").read_text(encoding="utf-8")
    return tuple((APP_ROOT + name, _KINDS[kind]) for name, kind in _LOADED.findall(html))


def _answer(html: str, accept_encoding: str, policy: str) -> Response:
    body = html.encode()
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding", "Content-Security-Policy": policy}
    encoding = next(iter(accepted(accept_encoding)), None)
    match encoding:
        case "br":
            # A quality that costs a few milliseconds: the page is made anew for everybody.
            body = brotli.compress(body, quality=5)
        case "gzip":
            body = gzip.compress(body, 6, mtime=0)
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    return Response(body, media_type="text/html; charset=utf-8", headers=headers)

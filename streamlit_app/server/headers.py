"""What every answer of the app tells a browser: load nothing from elsewhere, stand in no frame, keep nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer a browser sends forms without an origin, which the door would refuse.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS = "max-age=31536000; includeSubDomains"


def content_policy(inline_scripts: Sequence[str] = (), *, is_streamlit: bool = False) -> str:
    """The Content-Security-Policy of a page that holds these inline scripts and no others.

    Streamlit makes modules and workers out of blobs; styles stand inline everywhere.
    """
    scripts = ["'self'", *(script_hash(text) for text in inline_scripts), *(["blob:"] if is_streamlit else [])]
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src {' '.join(scripts)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            f"media-src 'self'{' blob:' if is_streamlit else ''}",
            f"worker-src 'self'{' blob:' if is_streamlit else ''}",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-src 'self'" if is_streamlit else "frame-src 'none'",
            "frame-ancestors 'none'",
        )
    )


def script_hash(text: str) -> str:
    """The source expression that lets exactly this inline script run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class SecurityHeaders:
    """Middleware outside of everything that completes the headers of each answer; what a route has set stays.

    An answer without a Cache-Control is not kept: most show the book.
    """

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._headers = {**_FIXED, **({"Strict-Transport-Security": _HSTS} if is_https else {})}
        self._policy = content_policy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def completed(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", self._policy)
                headers.setdefault("Cache-Control", "no-store")
                if "server" in headers:
                    del headers["server"]
            await send(message)

        await self._app(scope, receive, completed)

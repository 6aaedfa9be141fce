"""The address in a verification mail; the token in it is the proof, so it stands outside the API's authentication."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alerting.preferences.codes import MAX_CODE_LENGTH
from alerting.preferences.dependencies import ContextDependency
from alerting.preferences.pages import CONTENT_POLICY, STATUS, render_page
from alerting.preferences.verification import TokenState, TokenView, confirm_token, read_token

PREFIX = "/v1/alert-verifications"

router = APIRouter(prefix=PREFIX, tags=["alert verifications"])
TokenPath = Annotated[str, Path(description="token of the mail")]
_HTML: dict[str, Any] = {"text/html": {"schema": {"type": "string"}}}
_PAGES: dict[int | str, dict[str, Any]] = {
    404: {"description": "A page: the token is unknown.", "content": _HTML},
    410: {"description": "A page: the token was used or has expired.", "content": _HTML},
}


@router.get("/{token}", response_class=HTMLResponse, responses=_PAGES)
def get_alert_verification(context: ContextDependency, token: TokenPath) -> HTMLResponse:
    """A page with a button that confirms the address. It changes nothing: scanners of mail follow links."""
    return _page(read_token(context, token) if len(token) <= MAX_CODE_LENGTH else TokenView(TokenState.UNKNOWN))


@router.post("/{token}", response_class=HTMLResponse, responses=_PAGES)
def confirm_alert_verification(context: ContextDependency, token: TokenPath) -> HTMLResponse:
    """Confirm the address that the token was sent to, and say so on a page."""
    return _page(confirm_token(context, token) if len(token) <= MAX_CODE_LENGTH else TokenView(TokenState.UNKNOWN))


def _page(view: TokenView) -> HTMLResponse:
    return HTMLResponse(render_page(view), STATUS[view.state])


class PagePolicy:
    """Middleware that allows the pages their one style sheet, by its hash; all other answers keep their policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers["Content-Security-Policy"] = CONTENT_POLICY
            await send(message)

        await self._app(scope, receive, answer)

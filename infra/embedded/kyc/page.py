"""The page that stands for a provider's own: nobody is verified here, the outcome is chosen."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from fastapi.responses import HTMLResponse

# Outcome: Persona's status and Sumsub's review.
OUTCOMES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "approved": ("approved", {"reviewStatus": "completed", "reviewResult": {"reviewAnswer": "GREEN"}}),
    "declined": (
        "declined",
        {
            "reviewStatus": "completed",
            "reviewResult": {"reviewAnswer": "RED", "reviewRejectType": "FINAL", "rejectLabels": ["FORGERY"]},
        },
    ),
    "review": ("needs_review", {"reviewStatus": "onHold"}),
}
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}


def verify_page(provider: str) -> HTMLResponse:
    """A form with the outcomes."""
    buttons = "\n".join(
        f'<p><button name="outcome" value="{html.escape(name)}">{html.escape(name)}</button></p>' for name in OUTCOMES
    )
    return _page(
        f"Local stand-in for {provider}",
        f'<p>No document is looked at. Choose how it ends.</p><form method="post">{buttons}</form>',
    )


def done_page() -> HTMLResponse:
    """What a customer sees at the end."""
    return _page("Handed in", "<p>You may close this page.</p>")


def _page(title: str, content: str) -> HTMLResponse:
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    document = (
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{html.escape(title)}</h1>{content}</body></html>'
    )
    return HTMLResponse(document, 200, _HEADERS)

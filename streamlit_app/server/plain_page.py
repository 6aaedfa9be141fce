"""Small pages without scripts: sign-in, sign-out, and what went wrong before a visitor is known."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.responses import HTMLResponse

_CSS = """
:root { color-scheme: light dark; --back: #F7F8FA; --card: #FFFFFF; --text: #1A2230; --soft: #546071; --line: #D9DEE5;
  --field: #8A94A3; --main: #1F5FA8; --on-main: #FFFFFF; --bad: #9B1C12; --bad-back: #FBE3E0; --info-back: #E1ECF8; }
@media (prefers-color-scheme: dark) { :root { --back: #11161D; --card: #1A212B; --text: #E7ECF3; --soft: #A9B4C3;
  --line: #303A48; --field: #7C8796; --main: #8DBBF0; --on-main: #11161D; --bad: #FF9D8F; --bad-back: #46201C;
  --info-back: #1B3350; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem 1rem; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: 100%; max-width: 26rem; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 2rem 1.75rem; }
h1 { margin: 0 0 0.35rem; font-size: 1.5rem; letter-spacing: -0.01em; }
p { margin: 0 0 1.1rem; }
.soft { color: var(--soft); }
label { display: block; margin: 0 0 0.3rem; font-weight: 600; font-size: 0.92rem; }
input { width: 100%; font: inherit; color: inherit; background: var(--back); border: 1px solid var(--field);
  border-radius: 8px; padding: 0.6rem 0.75rem; margin: 0 0 1rem; min-height: 44px; }
button, .button { display: block; width: 100%; font: inherit; font-weight: 600; text-align: center; cursor: pointer;
  color: var(--on-main); background: var(--main); border: 1px solid var(--main); border-radius: 8px;
  padding: 0.6rem 1rem; min-height: 44px; text-decoration: none; }
a { color: var(--main); }
:focus-visible { outline: 3px solid var(--main); outline-offset: 2px; }
.says { border-left: 4px solid currentColor; border-radius: 6px; padding: 0.6rem 0.8rem; margin: 0 0 1.1rem;
  background: var(--info-back); }
.says.bad { background: var(--bad-back); color: var(--bad); }
"""


def plain_page(title: str, body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """A page of one card; `body` is HTML, `title` is text."""
    name = title if title == "Ballast" else f"{title} - Ballast"
    html = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(name)}</title><link rel="icon" href="/favicon.svg"><style>{_CSS}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return HTMLResponse(html, status, {"Cache-Control": "no-store", **(headers or {})})


def says(text: str, *, is_bad: bool = False) -> str:
    """A message in a coloured box that a screen reader speaks."""
    return f'<p class="says{" bad" if is_bad else ""}" role="{"alert" if is_bad else "status"}">{escape(text)}</p>'


def problem_page(text: str, status: int, again: str = "/") -> HTMLResponse:
    """Why there is no page, and a link to try again."""
    titles = {400: "Not usable", 401: "Not signed in", 403: "No access", 404: "Not found", 503: "Not available now"}
    body = f'{says(text, is_bad=True)}<p><a href="{escape(again)}">Try again</a></p>'
    return plain_page(titles.get(status, "Not possible"), body, status)

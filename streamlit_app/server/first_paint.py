"""Streamlit's page with a first paint of ours: figures of the book while the full app still loads.

It rests on the exact text of Streamlit's `index.html`: where that differs, the page stays as Streamlit made it.
"""

from __future__ import annotations

import json
import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from infra.runtime.logs import get_logger
from streamlit_app.components import markup
from streamlit_app.components.theme import light_page_css
from streamlit_app.server.live import Hub
from streamlit_app.server.topics import HOME

PATH = "/first-paint"
PATIENCE_S = 1.0
# The full app is asked for at the latest after this, and the first paint goes at the latest after that.
LOAD_AFTER_MS = 1_200
GONE_AFTER_MS = 30_000
AGAIN_AFTER_MS = 3_000
_ENTRY = re.compile(r'\s*<script type="module" crossorigin src="(\./static/js/index\.[\w-]+\.js)"></script>')
_PRELOADS = re.compile(r'\s*<link rel="modulepreload" crossorigin href="(\./static/js/[\w.-]+\.js)">')
_STYLES = re.compile(r'\s*<link rel="stylesheet" crossorigin href="(\./static/css/index\.[\w-]+\.css)">')
# The pages use the system's font.
_FONT = re.compile(r'\s*<link\s+rel="preload"\s+href="\./static/media/SourceSans[^>]*>')
_ROOT = '<div id="root"></div>'
_log = get_logger(__name__)

_CSS = """
#first { position: fixed; inset: 0; z-index: 10; overflow: auto; background: var(--st-background-color); }
#first main { padding-top: 3.2rem; }
#first .lead { margin: 0 0 1rem; font-size: 1.05rem; }
"""
_SHELL = (
    '<div id="first" role="status" aria-busy="true"><main><h1>Loading the app\u2026</h1>'
    '<p class="lead">Menus, tables and charts follow in a moment. On the overview the figures of the book stand here '
    "meanwhile, read anew every few seconds.</p>"
    '<div class="root" data-old="no" data-silent="no"></div></main></div>'
)


def with_first_paint(html: str) -> str:
    """The page that paints at once and loads Streamlit behind it; the same page where it is not the expected one."""
    entry, styles = _ENTRY.search(html), _STYLES.search(html)
    if entry is None or styles is None or html.count(_ROOT) != 1 or not _FONT.search(html):
        _log.warning("first_paint_left_out", reason="Streamlit's index.html is not the expected one")
        return html
    boot = _boot(entry[1], styles[1], _PRELOADS.findall(html))
    for pattern in (_ENTRY, _PRELOADS, _STYLES, _FONT):
        html = pattern.sub("", html)
    html = html.replace("</head>", f"<style>{light_page_css(_CSS)}</style></head>")
    return html.replace(_ROOT, f"{_SHELL}{_ROOT}<script>{boot}</script>")


def routes(hub: Hub) -> list[Route]:
    """The figures of the first paint, which must stand behind the door; empty where they take too long."""

    async def first(_request: Request) -> Response:
        page = await hub.page(HOME, PATIENCE_S)
        if page is None or page.is_old:
            # What cannot count its age on by itself shows no old figures.
            return Response(status_code=204)
        names = [name for name in page.sections if name != "banner"]
        return HTMLResponse("".join(markup.filled(page.sections[name], page.ages) for name in names))

    return [Route(PATH, first, methods=["GET"])]


def _boot(entry: str, styles: str, preloads: list[str]) -> str:
    links = [["stylesheet", styles], *(["modulepreload", each] for each in preloads)]
    return f"""
(() => {{
  const first = document.getElementById("first");
  let isLoading = false;
  const load = () => {{
    if (isLoading) return;
    isLoading = true;
    {json.dumps(links)}.forEach(([rel, href]) =>
      document.head.append(Object.assign(document.createElement("link"), {{ rel, href, crossOrigin: "" }})));
    document.head.append(
      Object.assign(document.createElement("script"), {{ type: "module", crossOrigin: "", src: "{entry}" }}));
  }};
  const painted = () => requestAnimationFrame(() => setTimeout(load));
  const isBook = /^\\/app\\/(portfolio)?$/.test(location.pathname) && !location.search;
  // Figures that could not be fetched anew go: nothing here counts their age on.
  const show = () =>
    fetch("{PATH}", {{ cache: "no-store" }})
      .then((answer) => (answer.status === 200 ? answer.text() : ""), () => "")
      .then((html) => {{ if (first.isConnected) first.querySelector(".root").innerHTML = html; }});
  const again = isBook && setInterval(show, {AGAIN_AFTER_MS});
  if (isBook) show().then(painted);
  else painted();
  setTimeout(load, {LOAD_AFTER_MS});
  const root = document.getElementById("root");
  const gone = () => {{ watcher.disconnect(); clearInterval(again); first.remove(); }};
  const watcher = new MutationObserver(() => {{
    if (root.querySelector('[data-testid="stMain"] h1, [data-testid="stException"], [data-testid="stAlert"]'))
      setTimeout(gone, 250);
  }});
  watcher.observe(root, {{ childList: true, subtree: true }});
  setTimeout(gone, {GONE_AFTER_MS});
}})();"""

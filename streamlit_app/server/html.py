"""The light page as HTML: everything that it needs stands in it, so that one answer shows real figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from streamlit_app.components import formats, markup
from streamlit_app.components.live_script import LIVE_JS, SILENT_AFTER_S
from streamlit_app.components.scope import APP_ROOT
from streamlit_app.components.theme import light_page_css
from streamlit_app.pages import PageSpec, address_of
from streamlit_app.server.channels import LivePage
from streamlit_app.server.session import Visitor
from streamlit_app.views.parts import ROLE_WORDS

REFRESH_S = 15
# Prefetching waits until the page is at rest, or until somebody is about to follow a link.
PREFETCH_AFTER_MS = 3_000

BOOT_JS = (
    "(() => {"
    + LIVE_JS
    + f"""
const root = document.querySelector(".root");
const state = JSON.parse(root.dataset.state);
root.heardAt = root.shownAt = root.freshAt = Date.now();
root.ages = state.ages;
begin(root, {SILENT_AFTER_S});
connect(root, state.stream);
let isWarm = false;
const warm = () => {{
  if (isWarm || navigator.connection?.saveData) return;
  isWarm = true;
  state.prefetch.forEach(([href, as]) => {{
    const link = document.createElement("link");
    Object.assign(link, {{ rel: "prefetch", href, as }});
    document.head.append(link);
  }});
}};
const rest = window.requestIdleCallback ?? ((act) => setTimeout(act, 1));
addEventListener("load", () => setTimeout(() => rest(warm), {PREFETCH_AFTER_MS}));
const soon = (event) => {{ if (event.target.closest?.('a[href^="{APP_ROOT}"]')) warm(); }};
["pointerover", "focusin"].forEach((name) => addEventListener(name, soon, {{ passive: true }}));
}})();"""
)
"""The page's only script: the same text for everybody, so that its hash can stand in the page's policy."""


def light_page(
    visitor: Visitor,
    page: LivePage,
    pages: Iterable[PageSpec],
    stream: str,
    prefetch: Sequence[tuple[str, str]],
    now: datetime,
) -> str:
    """The whole document: the figures of `page`, links to `pages`, and what keeps it current (`stream`).

    `prefetch` are addresses of the full app with their kind, which the browser fetches when it is idle.
    """
    state = json.dumps({"ages": dict(page.ages), "stream": stream, "prefetch": list(prefetch)}, separators=(",", ":"))
    sections = "".join(
        f'<div data-name="{escape(name)}">{markup.filled(html, page.ages)}</div>'
        for name, html in page.sections.items()
        if html
    )
    old = "yes" if page.is_old else "no"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="description" content="Margin and risk of the lending book, live.">'
        f'<title>Ballast: the book now</title><link rel="icon" href="/favicon.svg"><style>{light_page_css()}</style>'
        f'<noscript><meta http-equiv="refresh" content="{REFRESH_S}"></noscript></head><body>'
        f'<a class="skip link" href="#figures">To the figures</a>{_top(visitor, pages)}'
        f'<main id="figures" tabindex="-1"><h1>The book now</h1>{_without_scripts(now)}'
        f'<div class="root" data-old="{old}" data-silent="no" data-state="{escape(state)}">{sections}</div>'
        f"</main><script>{BOOT_JS}</script></body></html>"
    )


def _top(visitor: Visitor, pages: Iterable[PageSpec]) -> str:
    links = "".join(f'<a href="{escape(address_of(each))}">{escape(each.title)}</a>' for each in pages)
    role = formats.words(visitor.role.value, ROLE_WORDS)
    return (
        f'<header class="bar-top"><span class="brand">Ballast</span><nav aria-label="Pages">{links}</nav>'
        f'<div class="who"><span>{escape(visitor.name)}, {escape(role)}</span>'
        '<form method="post" action="/sign-out"><button class="link" type="submit">Sign out</button></form>'
        "</div></header>"
    )


def _without_scripts(now: datetime) -> str:
    words = f"Made at {formats.moment(now)}. Without scripts it does not change by itself, but loads anew every"
    return f"<noscript>{markup.banner('info', words, f'{REFRESH_S} s.')}</noscript>"

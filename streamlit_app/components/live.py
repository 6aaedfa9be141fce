"""Shows the app's own markup in place: it changes without flicker, keeps the focus, and ages in the browser.

`st.html` would strip SVG and remount; a component keeps its element and replaces only what changed. With a topic the
browser listens to the server's stream by itself, so that no script runs for a new figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

import streamlit as st

from streamlit_app import data
from streamlit_app.components.live_script import LIVE_JS, SILENT_AFTER_S
from streamlit_app.components.theme import CSS

STREAM_ROOT = "/live/"
HTML = '<div class="root"></div>'

JS = (
    LIVE_JS
    + """
export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  draw(root, data);
  root.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const row = event.target.closest("tr");
    const named = event.target.closest("[data-account]") ?? row?.querySelector("[data-account]");
    if (!named) return;
    event.preventDefault();
    setTriggerValue("account", named.dataset.account);
  };
  return live(root, data);
}
"""
)


@cache
def _component() -> Callable[..., Any]:
    return st.components.v2.component("ballast_live", html=HTML, css=CSS, js=JS)


def show(
    key: str,
    sections: Mapping[str, str],
    *,
    ages: Mapping[str, float | None] | None = None,
    is_old: bool = False,
    on_account: Callable[[], None] | None = None,
    topic: str | None = None,
    is_static: bool = False,
) -> None:
    """Show named pieces of HTML under a stable `key`; `on_account` is called when an account's link is followed.

    A piece is replaced only when it changed. Elements with `data-age="name"` show the age `ages[name]` (seconds
    now) and count on in the browser. `is_old` greys the figures. With a `topic` of the hub the browser then shows what
    the hub sends; without one the script must run again within `SILENT_AFTER_S`, unless the content `is_static`.
    """
    shown = {name: html for name, html in sections.items() if html}
    message = {
        "sections": [[name, html] for name, html in shown.items()],
        "order": list(shown),
        "ages": dict(ages or {}),
        "is_old": is_old,
        "stream": STREAM_ROOT + quote(topic, safe=":") if topic else None,
        "silent_after_s": 0 if is_static else SILENT_AFTER_S,
        # Data that did not change would not reach the browser's script, which counts the silence.
        "sent_at": data.system_clock().now().isoformat(),
    }
    pressed = {} if on_account is None else {"on_account_change": on_account}
    _component()(key=key, data=message, **pressed)

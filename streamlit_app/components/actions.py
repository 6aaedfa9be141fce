"""A live part in which people act: chips, pages and acknowledgements are buttons of its own markup.

It shows what `live.show` shows, by the same script, and tells the page which button was pressed. The focus stays on the
button or link that had it, in its own section, while the markup around it is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote

import streamlit as st

from streamlit_app import data
from streamlit_app.components import scope
from streamlit_app.components.live import HTML, STREAM_ROOT
from streamlit_app.components.live_script import LIVE_JS, SILENT_AFTER_S
from streamlit_app.components.theme import CSS
from streamlit_app.server.channels import LivePage

# What is for people who may change something; the component hides it from others.
CHANGES = "changes"

ACTION_CSS = """
[data-name]:focus { outline: none; }
.chips, .pager { display: flex; flex-wrap: wrap; gap: 0.45rem; align-items: center; margin: 0 0 0.9rem; }
.pager { margin: 0.9rem 0 0; }
.chip { font: inherit; font-size: 0.86rem; min-height: 32px; padding: 0.15rem 0.75rem; border-radius: 999px;
  border: 1px solid var(--st-border-color); background: transparent; color: var(--st-text-color); cursor: pointer;
  display: inline-flex; gap: 0.45rem; align-items: center; }
.chip b { font-weight: 650; }
.chip[aria-pressed="true"] { border: 2px solid var(--st-primary-color); font-weight: 650;
  background: color-mix(in srgb, var(--st-primary-color) 12%, transparent); }
.chip:hover { border-color: var(--st-primary-color); }
.chip:disabled { cursor: default; opacity: 0.6; }
.chip:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 3px; }
.chip .fill { width: 0.65rem; height: 0.65rem; border-radius: 2px; }
.root:not([data-may-change="yes"]) .changes { display: none; }
.flat { margin: 0; }
.tags { display: flex; flex-wrap: wrap; gap: 0.25rem 0.35rem; }
.scroll { overflow-x: auto; }
.tag.failed, .tag.below_target { background: var(--st-red-background-color); color: var(--st-red-text-color); }
.tag.accepted, .tag.delivered { background: var(--st-green-background-color); color: var(--st-green-text-color); }
.tag.unknown, .tag.no_data { color: var(--st-text-color); border: 1px dashed var(--st-gray-text-color);
  background: repeating-linear-gradient(45deg, var(--st-gray-background-color) 0 5px, transparent 5px 8px); }
.timeline { list-style: none; margin: 1rem 0 0; padding: 0 0 0 1.3rem; border-left: 2px solid var(--st-border-color); }
.timeline > li { position: relative; padding: 0 0 1.1rem; }
.timeline > li::before { content: ""; position: absolute; left: calc(-1.3rem - 6px); top: 0.4rem; width: 10px;
  height: 10px; border-radius: 50%; background: var(--st-primary-color); }
.timeline > li.gap::before { background: var(--st-secondary-background-color);
  border: 2px dashed var(--st-gray-text-color); width: 8px; height: 8px; }
.timeline h3 { margin: 0 0 0.2rem; display: flex; flex-wrap: wrap; gap: 0.3rem 0.6rem; align-items: baseline; }
.timeline .lines { font-size: 0.88rem; }
.timeline .lines span { overflow-wrap: anywhere; min-width: 0; }
@container (min-width: 641px) { tbody th .link { white-space: nowrap; } }
.breakable { overflow-wrap: anywhere; }
"""

JS = (
    LIVE_JS
    + """
const nameOf = (element) => {
  const own = element.dataset.act ?? element.getAttribute("href");
  return `${element.closest("[data-name]")?.dataset.name}|${own}`;
};

const keepFocus = (root) => {
  if (root.keeper) return;
  root.addEventListener("focusin", (event) => {
    root.focused = event.target.closest("button, a");
    root.focusedName = root.focused && nameOf(root.focused);
  });
  // What is removed loses the focus too; what lost it and is still there was left by the person.
  root.addEventListener("focusout", (event) => setTimeout(() => {
    if (root.focused === event.target && event.target.isConnected) root.focused = null;
  }));
  root.keeper = new MutationObserver(() => {
    if (!root.focused || root.focused.isConnected) return;
    const name = root.focusedName;
    root.focused = null;
    const same = [...root.querySelectorAll("button, a")].find((each) => nameOf(each) === name);
    const first = root.querySelector("[data-first]");
    const section = root.querySelector(`[data-name="${CSS.escape(name.split("|")[0])}"]`);
    if (section) section.tabIndex = -1;
    // What was pressed is done and gone: its section keeps the place, or another page begins.
    if (same) same.focus({ preventScroll: true });
    else if (first) first.focus();
    else section?.focus({ preventScroll: true });
  });
  root.keeper.observe(root, { childList: true, subtree: true });
};

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  root.dataset.mayChange = data.may_change ? "yes" : "no";
  draw(root, data);
  keepFocus(root);
  root.onclick = (event) => {
    const pressed = event.target.closest("[data-act]");
    if (!pressed || pressed.disabled) return;
    event.preventDefault();
    setTriggerValue("act", pressed.dataset.act);
  };
  return live(root, data);
}
"""
)


@cache
def _component() -> Callable[..., Any]:
    return st.components.v2.component("ballast_actions", html=HTML, css=CSS + ACTION_CSS, js=JS)


def show(
    key: str,
    page: LivePage,
    *,
    topic: str | None = None,
    on_act: Callable[[str, str], None],
    may_change: bool = False,
) -> None:
    """Show the page; with a `topic` of the hub the browser keeps it current, without one it stays as it is.

    `on_act(name, value)` is called with what a pressed `button` names, before the script runs again. Buttons of class
    `changes` are shown only with `may_change`.
    """
    shown = {name: html for name, html in page.sections.items() if html}
    message = {
        "sections": [[name, html] for name, html in shown.items()],
        "order": list(shown),
        "ages": dict(page.ages),
        "is_old": page.is_old,
        "stream": STREAM_ROOT + quote(topic, safe=":") if topic else None,
        "silent_after_s": SILENT_AFTER_S if topic else 0,
        "may_change": may_change,
        "sent_at": data.system_clock().now().isoformat(),
    }

    def pressed() -> None:
        name, _, value = str(st.session_state[key].act or "").partition(":")
        if name:
            on_act(name, value)

    _component()(key=key, data=message, on_act_change=pressed)


def button(
    name: str,
    value: str,
    words: str,
    *,
    kind: str = "chip",
    is_pressed: bool | None = None,
    is_disabled: bool = False,
    is_first: bool = False,
    label: str = "",
) -> str:
    """A button that tells the page `name` and `value`; `words` is ready HTML, `label` says more to a screen reader.

    Where the part that had the focus goes, the button that `is_first` gets it.
    """
    pressed = "" if is_pressed is None else f' aria-pressed="{"true" if is_pressed else "false"}"'
    more = f' aria-label="{escape(label)}"' if label else ""
    more += " data-first" if is_first else ""
    off = " disabled" if is_disabled else ""
    act = escape(f"{name}:{value}")
    return f'<button type="button" class="{escape(kind)}" data-act="{act}"{pressed}{more}{off}>{words}</button>'


def account_link(account_id: str) -> str:
    """A link to the account; one account may have several, each of which keeps the focus by itself."""
    return f'<a class="link" href="{escape(scope.address_of(account_id))}">{escape(account_id)}</a>'


def pager(page: int, has_more: bool, words: str) -> str:
    """Ways to the pages before and behind `page`, which counts from 1; `words` says what stands here."""
    before = button("page", str(page - 1), "Previous", is_disabled=page <= 1, label="Previous page")
    behind = button("page", str(page + 1), "Next", is_disabled=not has_more, label="Next page")
    return f'<nav class="pager" aria-label="Pages">{before}<span class="small">{escape(words)}</span>{behind}</nav>'

"""Shows the app's own markup in place: it changes without flicker, keeps the focus, and ages in the browser.

`st.html` would strip SVG and remount; a component keeps its element and replaces only what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import streamlit as st

from streamlit_app import data
from streamlit_app.components.theme import CSS

# A part that hears nothing from the server for so long marks its figures as old by itself.
SILENT_AFTER_S = 10

HTML = '<div class="root"></div>'

JS = """
const words = (seconds) => {
  const s = Math.max(0, Math.floor(seconds));
  const two = (a, u, b, v) => (b ? `${a} ${u} ${b} ${v}` : `${a} ${u}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
};

const tick = (root) => {
  const since = (Date.now() - root.shownAt) / 1000;
  root.dataset.silent = root.silentAfter && since > root.silentAfter ? "yes" : "no";
  root.querySelectorAll("[data-age]").forEach((element) => {
    const base = root.ages[element.dataset.age];
    if (base !== undefined && base !== null) element.textContent = words(base + since);
  });
  root.querySelectorAll("[data-silence]").forEach((element) => { element.textContent = words(since); });
};

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  root.shownAt = Date.now();
  root.ages = data.ages;
  root.silentAfter = data.silent_after_s;
  root.dataset.old = data.is_old ? "yes" : "no";
  const focused = parentElement.activeElement?.dataset?.account;
  const before = new Map([...root.children].map((section) => [section.dataset.name, section]));
  data.sections.forEach(([name, markup], index) => {
    const section = before.get(name) ?? document.createElement("div");
    before.delete(name);
    section.dataset.name = name;
    if (section.markup !== markup) section.innerHTML = section.markup = markup;
    if (root.children[index] !== section) root.insertBefore(section, root.children[index] ?? null);
  });
  before.forEach((section) => section.remove());
  if (focused !== undefined && !parentElement.activeElement)
    root.querySelector(`button[data-account="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  root.onclick = (event) => {
    const row = event.target.closest("tr");
    const button = event.target.closest("[data-account]") ?? row?.querySelector("[data-account]");
    if (button) setTriggerValue("account", button.dataset.account);
  };
  tick(root);
  clearInterval(root.timer);
  root.timer = setInterval(() => tick(root), 1000);
  return () => clearInterval(root.timer);
}
"""


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
) -> None:
    """Show named pieces of HTML under a stable `key`; `on_account` is called when an account's button is pressed.

    A piece is replaced only when it changed. Elements with `data-age="name"` show the age `ages[name]` (seconds
    now) and count on in the browser. `is_old` greys the figures.
    """
    message = {
        "sections": [[name, html] for name, html in sections.items() if html],
        "ages": dict(ages or {}),
        "is_old": is_old,
        "silent_after_s": SILENT_AFTER_S,
        # Data that did not change would not reach the browser's script, which counts the silence.
        "sent_at": data.system_clock().now().isoformat(),
    }
    pressed = {} if on_account is None else {"on_account_change": on_account}
    _component()(key=key, data=message, **pressed)

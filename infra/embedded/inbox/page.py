"""The inbox for people: one page, rendered here, that renews itself every two seconds."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_SEVERITIES = ("early_warning", "margin_call", "liquidation", "recovered", "unpriced")

_STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6675; --line: #dde2e8; --card: #fff; --page: #f4f6f8;
  --early_warning: #8a6100; --margin_call: #b04300; --liquidation: #b3122a; --recovered: #1b6e3a; --unpriced: #5a4b9c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #9aa6b4; --line: #2b3440; --card: #1a212a;
  --page: #11161c; --early_warning: #e3b341; --margin_call: #f0883e; --liquidation: #ff7b85; --recovered: #56d385;
  --unpriced: #b3a4f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.25rem; margin-bottom: 1rem; }
h1 { font-size: 1.3rem; margin: 0; }
.count { color: var(--soft); } .count b { color: var(--ink); font-variant-numeric: tabular-nums; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .6rem; }
li { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--mark, var(--soft));
  border-radius: 8px; padding: .7rem .9rem; display: grid; grid-template-columns: 9.5rem 1fr 6rem 8rem;
  gap: .2rem 1rem; align-items: baseline; }
.severity { font-weight: 650; color: var(--mark, var(--ink)); }
.account { overflow-wrap: anywhere; font-weight: 550; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.label { display: block; color: var(--soft); font-size: .78rem; }
.meta { grid-column: 1 / -1; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
.meta b { color: var(--liquidation); }
details { grid-column: 1 / -1; } summary { color: var(--soft); font-size: .85rem; cursor: pointer; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; margin: .5rem 0 0; }
.empty { color: var(--soft); text-align: center; padding: 3rem 0; }
#away { display: none; color: var(--liquidation); } .is-away #away { display: inline; }
@media (max-width: 40rem) { li { grid-template-columns: 1fr 1fr; } .number { text-align: left; } }
"""

_SCRIPT = """
const renew = async () => {
  const open = new Set([...document.querySelectorAll("details[open]")].map((each) => each.id));
  try {
    const answer = await fetch("/", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.status);
    const page = await answer.text();
    const part = page.slice(page.indexOf("<main>"), page.indexOf("</main>"));
    const fresh = new DOMParser().parseFromString(part, "text/html").querySelector("main");
    for (const each of fresh.querySelectorAll("details")) each.open = open.has(each.id);
    document.querySelector("main").replaceWith(fresh);
    document.body.classList.remove("is-away");
  } catch { document.body.classList.add("is-away"); }
  setTimeout(renew, 2000);
};
setTimeout(renew, 2000);
"""


def render_page(messages: Sequence[Mapping[str, Any]], counts: Mapping[str, int], now: datetime, nonce: str) -> str:
    """The whole page, newest message first; everything that came from outside is escaped."""
    items = "".join(_item(message, now) for message in messages)
    listing = f"<ol>{items}</ol>" if items else '<p class="empty">No message has arrived yet.</p>'
    marks = "".join(f".is-{name} {{ --mark: var(--{name}); }}" for name in _SEVERITIES)
    shown = "".join(f'<span class="count"><b>{counts[name]}</b> {name}</span>' for name in counts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Ballast inbox</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<style nonce="{nonce}">{_STYLE}{marks}</style></head><body><main>'
        f'<header><h1>Inbox</h1>{shown}<span id="away" role="status">The inbox does not answer</span></header>'
        f'{listing}</main><script nonce="{nonce}">{_SCRIPT}</script></body></html>'
    )


def _item(message: Mapping[str, Any], now: datetime) -> str:
    severity = message["severity"]
    css = f' class="is-{severity}"' if severity in _SEVERITIES else ""
    title = severity.replace("_", " ") if severity else message["title"]
    seconds = message["seconds_since_event"]
    return (
        f'<li{css}><span class="severity">{_text(title)}</span>'
        f'<span class="account">{_text(message["account_id"] or message["recipient"] or "no account")}</span>'
        f'<span class="number"><span class="label">health</span>{_health(message["health"])}</span>'
        f'<span class="number"><span class="label">after the event</span>{_seconds(seconds)}</span>'
        f'<span class="meta">{_meta(message, now)}</span>'
        f'<details id="m{message["id"]}"><summary>Message</summary>'
        f"<pre>{_text(message['content'])}</pre></details></li>"
    )


def _meta(message: Mapping[str, Any], now: datetime) -> str:
    received = datetime.fromisoformat(message["received_at"])
    age_s = max(0, round((now - received).total_seconds()))
    parts = [f"{_text(message['channel'])} / {_text(message['endpoint'])}"]
    if message["recipient"]:
        parts.append(f"to {_text(message['recipient'])}")
    parts.append(f"{received:%Y-%m-%d %H:%M:%S} UTC, {_age(age_s)} ago")
    if message["is_simulated"]:
        parts.append("simulated")
    if message["duplicates"]:
        parts.append(f"<b>{message['duplicates']} duplicate(s)</b>")
    return " · ".join(parts)


def _health(value: str | None) -> str:
    try:
        return "unknown" if value is None else f"{float(value):.2f} %"
    except ValueError:
        return _text(value)


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} s"


def _age(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _text(value: object) -> str:
    return html.escape(str(value))

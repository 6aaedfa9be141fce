"""The inbox for people: one page, rendered here, that renews itself every two seconds."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.embedded.inbox.models import InboxChannel
from infra.embedded.inbox.page_style import DRAWINGS, SCRIPT, SEVERITIES, STYLE

KINDS = {
    InboxChannel.EMAIL: "Email",
    InboxChannel.SMS: "SMS",
    InboxChannel.WEBHOOK: "Webhook",
    InboxChannel.PAGERDUTY: "Page",
}


@dataclass(frozen=True)
class Shown:
    """What the page shows: the newest messages, of one channel or of all, and how many there are."""

    messages: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    by_channel: Mapping[str, int]
    channel: InboxChannel | None = None


def render_page(shown: Shown, now: datetime, nonce: str) -> str:
    """The whole page, newest message first; everything that came from outside is escaped."""
    items = "".join(_item(message, now) for message in shown.messages)
    listing = f"<ol>{items}</ol>" if items else '<p class="empty">No message has arrived yet.</p>'
    marks = "".join(f".is-{name} {{ --mark: var(--{name}); }}" for name in SEVERITIES)
    marks += "".join(f".kind-{kind} {{ --kind: var(--{kind}); }}" for kind in KINDS)
    counts = "".join(f'<span class="count"><b>{shown.counts[name]}</b> {name}</span>' for name in shown.counts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Ballast inbox</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<style nonce="{nonce}">{STYLE}{marks}</style></head><body><main>'
        f'<header><h1>Inbox</h1>{counts}<span id="away" role="status">The inbox does not answer</span></header>'
        f'{_filters(shown)}{listing}</main><script nonce="{nonce}">{SCRIPT}</script></body></html>'
    )


def _filters(shown: Shown) -> str:
    total = sum(shown.by_channel.values())
    links = [f'<a href="/"{_current(shown.channel is None)}>All <b>{total}</b></a>']
    for kind, word in KINDS.items():
        links.append(
            f'<a class="kind-{kind}" href="/?channel={kind}"{_current(shown.channel is kind)}>'
            f"{_drawing(kind)}{word} <b>{shown.by_channel[kind]}</b></a>"
        )
    return f'<nav aria-label="Kinds of messages">{"".join(links)}</nav>'


def _current(is_current: bool) -> str:
    return ' aria-current="page"' if is_current else ""


def _item(message: Mapping[str, Any], now: datetime) -> str:
    kind = InboxChannel(message["channel"])
    severity = message["severity"]
    mark = f" is-{severity}" if severity in SEVERITIES else ""
    recipient = message["recipient"] or message["endpoint"]
    return (
        f'<li class="kind-{kind}{mark}">'
        f'<span class="kind">{_drawing(kind)}{KINDS[kind]}</span>'
        f'<span class="title">{_text(_title(message))}</span>'
        f'<span class="severity">{_text((severity or "").replace("_", " "))}</span>'
        f'<span class="to">to</span><span class="recipient">{_text(recipient)}</span>'
        f'<span class="number">{" · ".join(_numbers(message))}</span>'
        f"{_body(message)}"
        f'<span class="meta">{" · ".join(_meta(message, now))}</span></li>'
    )


def _title(message: Mapping[str, Any]) -> str:
    if message["channel"] == InboxChannel.WEBHOOK and message["account_id"]:
        return f"{message['title']}, {message['account_id']}"
    return str(message["title"])


def _body(message: Mapping[str, Any]) -> str:
    """A text is short and stands there; anything longer is opened by who wants it."""
    content = str(message["content"])
    if message["channel"] == InboxChannel.SMS:
        return f'<p class="text">{_text(content)}</p>'
    is_mail = message["channel"] == InboxChannel.EMAIL
    css, word = (' class="is-mail"', "Text") if is_mail else ("", "Content")
    shown = content if is_mail else _indented(content)
    return f'<details id="m{message["id"]}"{css}><summary>{word}</summary><pre>{_text(shown)}</pre></details>'


def _indented(content: str) -> str:
    try:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return content


def _numbers(message: Mapping[str, Any]) -> Iterator[str]:
    if message["health"] is not None:
        yield f"health {_health(message['health'])}"
    seconds = message["seconds_since_event"]
    if seconds is not None:
        yield f"{seconds:.1f} s after the event"
    elif message["channel"] in (InboxChannel.EMAIL, InboxChannel.WEBHOOK):
        yield "seconds after the event unknown"


def _meta(message: Mapping[str, Any], now: datetime) -> Iterator[str]:
    received = datetime.fromisoformat(message["received_at"])
    age_s = max(0, round((now - received).total_seconds()))
    yield f"{_text(message['channel'])} / {_text(message['endpoint'])}"
    yield f"{received:%Y-%m-%d %H:%M:%S} UTC, {_age(age_s)} ago"
    if message["notification_id"]:
        yield f"notification {_text(message['notification_id'])}"
    if message["incident_state"]:
        yield f"incident {_text(message['incident_id'])} is {_text(message['incident_state'])}"
    if message["outcome"] not in (None, "delivered"):
        yield f"<b>{_text(message['outcome'])}</b>"
    if message["has_html"]:
        yield f'<a href="/messages/{message["id"]}/html">as HTML</a>'
    if message["is_simulated"]:
        yield "simulated"
    if message["duplicates"]:
        yield f"<b>{message['duplicates']} duplicate{'s' if message['duplicates'] > 1 else ''}</b>"


def _drawing(kind: InboxChannel) -> str:
    return f'<svg viewBox="0 0 24 24" aria-hidden="true">{DRAWINGS[kind]}</svg>'


def _health(value: str) -> str:
    try:
        return f"{float(value):.2f} %"
    except ValueError:
        return _text(value)


def _age(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _text(value: object) -> str:
    return html.escape(str(value))

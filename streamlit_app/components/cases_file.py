"""The head of a case's file and its history as markup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from compliance.api.case_schemas import CaseDetail, CaseEventView, CaseView
from streamlit_app.components import cases_words as words
from streamlit_app.components import formats, markup, scope
from streamlit_app.components.cases_queue import case_address, due_tag

_CASE_ID = re.compile(r"\bcas_[0-9a-f]{32}\b")
_QUIET = frozenset({"version", "changes", "text", "reason", "details", "title", "kind"})


def head_html(case: CaseView, now: datetime) -> str:
    """What the case is, how it stands, and what is proposed."""
    kind = formats.words(case.kind.value, words.KIND_WORDS)
    state = formats.words(case.state.value, words.STATE_WORDS)
    priority = formats.words(case.priority.value, words.PRIORITY_WORDS)
    tags = (
        markup.tag("plain", kind)
        + markup.tag(words.PRIORITY_CLASSES.get(case.priority, "plain"), f"{priority} priority")
        + markup.tag(words.STATE_CLASSES.get(case.state, "plain"), state)
        + due_tag(case, now)
    )
    account = _account(case.account_id)
    rows = [
        ("Case", escape(case.case_id)),
        ("Subject", escape(case.subject_id)),
        ("Account", account),
        ("Customer", escape(case.user_id or "none")),
        ("Assignee", escape(case.assignee or "nobody")),
        ("Due", formats.moment(case.sla_due_at)),
        ("Opened", formats.moment(case.opened_at)),
        ("Version", str(case.version)),
    ]
    if case.closed_at is not None:
        rows.append(("Closed", f"{formats.moment(case.closed_at)}: {escape(case.outcome or 'no outcome')}"))
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    title = f'<div class="head"><h2>{escape(case.title)}</h2>{markup.old_tag()}</div>'
    body = f'<div class="tags">{tags}</div><dl class="facts">{facts}</dl>{_proposal(case)}'
    return markup.card(title, body)


def changed_html(seen: CaseView, newest: CaseDetail) -> str:
    """That the case is not any more what the forms below were made for, and what changed."""
    return markup.banner(
        "away",
        "This case changed while you had it open.",
        f"{escape(difference(seen, newest))} The form below still answers version {seen.version}.",
    )


def new_checks_html() -> str:
    """That a provider said something since the form was made."""
    return markup.banner(
        "away",
        "A new answer on this verification came while you had it open.",
        "A decision by the form above is refused until you reload the page's form.",
    )


def difference(seen: CaseView, newest: CaseDetail) -> str:
    """What happened since the version that was seen, in one sentence each."""
    since = [event for event in newest.history if int(event.body.get("version") or 0) > seen.version]
    said = [f"{event.actor}: {_event_words(event.kind).lower()}{_changes_in(event)}" for event in since]
    return "; ".join(said) + "." if said else f"It is at version {newest.version} now."


def timeline_html(history: Sequence[CaseEventView]) -> str:
    """Everything that happened, newest first, each with the hash of its entry in the chain."""
    entries = "".join(_event(event) for event in reversed(history))
    more = f"{formats.count(len(history), 'entry', 'entries')}, newest first"
    title = markup.head("History", more=more)
    return markup.card(title, f'<ol class="events" aria-label="History, newest first">{entries}</ol>')


def _proposal(case: CaseView) -> str:
    proposal = case.proposal
    if proposal is None or case.outcome is not None:
        return ""
    return markup.banner(
        "info",
        f"{proposal.by} proposes to {words.proposal_words(proposal.outcome)}.",
        f"{escape(proposal.reason)} <span class='muted small'>{formats.moment(proposal.at)}; another person must"
        " approve or reject it.</span>",
    )


def _account(account_id: str | None) -> str:
    if account_id is None:
        return "none"
    return f'<a class="link" href="{escape(scope.address_of(account_id))}" target="_self">{escape(account_id)}</a>'


def _event(event: CaseEventView) -> str:
    body = event.body
    parts = [f"<p>{_linked(line)}</p>" for line in _lines(body)]
    said = body.get("text") or body.get("reason")
    if said:
        parts.append(f'<p class="said">{escape(str(said))}</p>')
    who = "the system" if event.actor == "system" else f"{event.actor}, {event.role}"
    return (
        f"<li><p><b>{escape(_event_words(event.kind))}</b> "
        f'<span class="muted small">{escape(who)}, {formats.moment(event.at)}</span></p>{"".join(parts)}'
        f'<p class="hash" title="Entry {event.sequence} of the chain">#{event.sequence} {escape(event.hash)}</p></li>'
    )


def _lines(body: Mapping[str, Any]) -> list[str]:
    changes = [
        f"{words.name_words(name)}: {words.value_words(name, change.get('old'))} \u2192 "
        f"{words.value_words(name, change.get('new'))}"
        for name, change in (body.get("changes") or {}).items()
        if name != "proposal" or change.get("new") is not None
    ]
    details = body.get("details") or {}
    said = [f"{words.name_words(str(name))}: {words.value_words(str(name), each)}" for name, each in details.items()]
    rest = [
        f"{words.name_words(name)}: {words.value_words(name, each)}"
        for name, each in body.items()
        if name not in _QUIET and each is not None
    ]
    return changes + said + rest


def _linked(line: str) -> str:
    """The line with links to the cases that it names."""
    return _CASE_ID.sub(
        lambda found: f'<a class="link" href="{escape(case_address(found[0]))}" target="_self">{found[0]}</a>',
        escape(line),
    )


def _changes_in(event: CaseEventView) -> str:
    changes = event.body.get("changes") or {}
    new = changes.get("state", {}).get("new")
    return f" ({formats.words(str(new), words.STATE_WORDS).lower()} now)" if new else ""


def _event_words(kind: str) -> str:
    return formats.words(kind, words.EVENT_WORDS)

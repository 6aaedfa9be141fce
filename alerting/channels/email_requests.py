"""Mails as SendGrid's v3 requests: many different ones in one request, and what an answer says about each.

Source: SendGrid's OpenAPI (tsg_mail_v3.json): 1,000 personalizations, no address twice, 10,000 bytes of substitutions
for one personalization. The content stands once as tags, which each personalization replaces by its own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alerting.channels.base import EmailContent, OutboundMessage

MAX_PERSONALIZATIONS = 1000
MAX_SUBSTITUTION_BYTES = 10_000
# Far below SendGrid's 30 MB: a request must be written, read and answered within seconds.
MAX_REQUEST_BYTES = 900_000
TEXT_TAG = "%ballast_text%"
HTML_TAG = "%ballast_html%"
# Two tags, and per person the JSON around the words and the arguments.
_TAG_BYTES = len(TEXT_TAG) + len(HTML_TAG)
_PERSON_BYTES = 600
_PERSON_FIELD = re.compile(r"personalizations[.\[](\d{1,4})\b")
_SENDER_FIELD = re.compile(r"(?:from|reply_to)\b")


@dataclass(frozen=True, slots=True)
class MailItem:
    """One mail of a `deliver` call: its place there, its checked address in ASCII, its words."""

    index: int
    address: str = field(repr=False)
    message: OutboundMessage = field(repr=False)
    content: EmailContent = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of its words."""
        return len(self.content.text.encode()) + len(self.content.html.encode())

    @property
    def stands_alone(self) -> bool:
        """Whether it can share no request: too many words for substitutions, or one of our tags among them."""
        words = (self.content.subject, self.content.text, self.content.html)
        return self.size + _TAG_BYTES > MAX_SUBSTITUTION_BYTES or any(
            tag in text for tag in (TEXT_TAG, HTML_TAG) for text in words
        )


@dataclass(slots=True)
class _Draft:
    items: list[MailItem] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    size: int = 0

    def takes(self, item: MailItem) -> bool:
        return (
            len(self.items) < MAX_PERSONALIZATIONS
            and self.size + item.size + _PERSON_BYTES <= MAX_REQUEST_BYTES
            and item.address.casefold() not in self.addresses
        )

    def add(self, item: MailItem) -> None:
        self.items.append(item)
        self.addresses.add(item.address.casefold())
        self.size += item.size + _PERSON_BYTES


def planned_requests(items: Sequence[MailItem]) -> list[list[MailItem]]:
    """The items in as few requests as the limits allow, in order; one that stands alone gets its own."""
    alone: list[list[MailItem]] = []
    drafts: list[_Draft] = []
    for item in items:
        if item.stands_alone:
            alone.append([item])
            continue
        draft = next((draft for draft in drafts if draft.takes(item)), None)
        if draft is None:
            draft = _Draft()
            drafts.append(draft)
        draft.add(item)
    return [draft.items for draft in drafts] + alone


def rendered_request(items: Sequence[MailItem], sender: str) -> bytes:
    """The JSON body; a single mail has its words inline. Links and openings are not tracked: links in alerts decide."""
    if len(items) == 1:
        text, html = items[0].content.text, items[0].content.html
    else:
        text, html = TEXT_TAG, HTML_TAG
    parts = [("text/plain", text), ("text/html", html)]
    request: dict[str, Any] = {
        "from": {"email": sender},
        "personalizations": [_personalization(item, is_shared=len(items) > 1) for item in items],
        "content": [{"type": kind, "value": value} for kind, value in parts if value],
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
        },
    }
    return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()


def _personalization(item: MailItem, *, is_shared: bool) -> dict[str, Any]:
    arguments = {name: str(value) for name, value in item.message.arguments.items()}
    person: dict[str, Any] = {
        "to": [{"email": item.address}],
        # A line break would end the header.
        "subject": " ".join(item.content.subject.split()),
        "custom_args": {**arguments, "notification_id": item.message.notification_id},
    }
    if is_shared:
        person["substitutions"] = {TEXT_TAG: item.content.text, HTML_TAG: item.content.html}
    return person


@dataclass(frozen=True, slots=True)
class MailErrors:
    """What a refusal names: reasons by place in the request, whether the sender is at fault, words for the rest."""

    reasons: dict[int, str]
    is_sender: bool
    words: str


def mail_errors(content: Any, count: int) -> MailErrors:
    """The errors of `{"errors": [{message, field}]}` for a request of `count` mails; anything else names nothing."""
    reasons: dict[int, str] = {}
    words: list[str] = []
    is_sender = False
    errors = content.get("errors") if isinstance(content, dict) else None
    for error in errors if isinstance(errors, list) else []:
        if not isinstance(error, dict):
            continue
        message, name = str(error.get("message") or ""), str(error.get("field") or "")
        words.append(message)
        is_sender = is_sender or _SENDER_FIELD.match(name) is not None
        found = _PERSON_FIELD.match(name)
        if found is not None and int(found[1]) < count:
            reasons.setdefault(int(found[1]), message)
    return MailErrors(reasons, is_sender, "; ".join(words))

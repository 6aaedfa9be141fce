"""Provider's words made fit to store: no personal data, nothing that PostgreSQL cannot hold, bounded."""

from __future__ import annotations

import re

from alerting.channels.redaction import redacted

MAX_ID = 200
MAX_DETAIL = 300
UNKNOWN_KIND = "unknown"
_KIND = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
# A part of an address that is this short stands in other words too.
_MIN_PART = 3


def storable(value: object) -> str | None:
    """An identifier as given; None for what is no text, empty, too long, or not to be held by PostgreSQL."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID or _CONTROL.search(value):
        return None
    return value if value.isascii() else None


def kind_of(value: object) -> str:
    """The kind of a report as the provider named it; `unknown` where that is no name."""
    return value if isinstance(value, str) and _KIND.fullmatch(value) else UNKNOWN_KIND


def reason(words: object, address: object = None) -> str | None:
    """The provider's words in one line, without addresses, numbers and links, nor any part of `address`."""
    if not isinstance(words, str):
        return None
    parts = (address, *address.split("@")[:1]) if isinstance(address, str) else ()
    text = redacted(words, *(part for part in parts if len(part) >= _MIN_PART))
    return " ".join(text.split())[:MAX_DETAIL] or None

"""What a live topic is about, as text: filters travel in its name, so that the hub renders what a browser shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote_plus, urlencode

MAX_PAGE = 1_000
MAX_PLAIN = 40
# How much longer a text may be in a topic, where most signs take three.
_ESCAPES = 20
_CODE = re.compile(r"[A-Za-z0-9_]{1,24}")
_NUMBER = re.compile(r"[0-9]{1,5}")
MAX_TEXT_LENGTH = 230
"""A topic has at most 250 characters."""


def written(values: Mapping[str, str]) -> str:
    """The values that are not empty, in the order of their names, so that equal filters share a topic."""
    return urlencode({name: value for name, value in sorted(values.items()) if value})


def read(text: str | None) -> dict[str, str]:
    """The values of a text; nothing of one that is none, for anybody may ask for any topic."""
    if not text or len(text) > MAX_TEXT_LENGTH:
        return {}
    try:
        return dict(parse_qsl(text, max_num_fields=20))
    except ValueError:
        return {}


def code(value: str | None) -> str:
    """A status, channel or other code; empty for what can be none."""
    return value if value and _CODE.fullmatch(value) else ""


def plain(value: str | None, max_length: int = MAX_PLAIN) -> str:
    """A text that somebody looks for, as far as a topic holds it."""
    text = "".join(char for char in value or "" if char.isascii() and char.isprintable()).strip()[:max_length]
    while len(quote_plus(text)) > max_length + _ESCAPES:
        text = text[:-1]
    return text


def page_of(value: str | None) -> int:
    """A page's number from 1; 1 for what is none."""
    return min(max(int(value), 1), MAX_PAGE) if value and _NUMBER.fullmatch(value) else 1


def topic(name: str, text: str) -> str:
    """The topic's name."""
    return f"{name}:{text}" if text else name

"""SendGrid's substitutions: tags in subject and contents that each recipient's personalization replaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

# Source: SendGrid's limit for the substitutions of one personalization.
MAX_BYTES = 10_000


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`text` with every tag replaced, in one pass: what a value holds is not replaced again; longer tags win."""
    tags = tuple(values)
    if not tags or not text:
        return text
    return _pattern(tags)(lambda match: values[match.group()], text)


def size_of(values: Mapping[str, str]) -> int:
    """Bytes of tags and values."""
    return sum(len(tag.encode()) + len(value.encode()) for tag, value in values.items())


@lru_cache(maxsize=64)
def _pattern(tags: tuple[str, ...]) -> Callable[[Callable[[re.Match[str]], str], str], str]:
    longest_first = sorted((tag for tag in tags if tag), key=len, reverse=True)
    if not longest_first:
        return lambda _replace, text: text
    return re.compile("|".join(map(re.escape, longest_first))).sub

"""Text messages in the GSM 7-bit alphabet, because one character outside it more than halves what a segment holds.

Source: 3GPP TS 23.038, default alphabet and its extension table. A message of up to 160 septets is one segment; a
longer one is cut into segments of 153 septets each.
"""

from __future__ import annotations

import re
import unicodedata

SINGLE_SEPTETS = 160
PART_SEPTETS = 153

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these takes two septets: the escape and the character. The table's form feed has no use in a text for people.
_EXTENDED = "^{}\\[~]|€"
_FOREIGN = re.compile(f"[^{re.escape(_BASIC + _EXTENDED)}]+")
_UNKNOWN = "?"
# What Unicode's compatibility decomposition does not turn into GSM-7 by itself.
_REPLACED = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a`\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022", "-"),
    **dict.fromkeys("\v\f\x85\u2028\u2029", "\n"),
    "\t": " ",
    "\u2026": "...",
    "\u00b7": ".",
    "\u2044": "/",
    "\u00d7": "x",
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2192": "->",
    "\u2190": "<-",
    "\u00ba": "o",
    "\u00aa": "a",
    "\u0131": "i",
    "\u0142": "l",
    "\u0141": "L",
    "\u0111": "d",
    "\u0110": "D",
    "\u0153": "oe",
    "\u0152": "OE",
    "\u1e9e": "SS",
}
_INVISIBLE = frozenset({"Cc", "Cf", "Mn", "Me"})


def to_gsm7(text: str) -> str:
    """`text` in GSM-7: accents that it lacks are dropped, marks replaced by their plain form, the rest becomes `?`."""
    # A letter and its combining accent become one character first, since GSM-7 may have that one.
    return _FOREIGN.sub(_plain, unicodedata.normalize("NFC", text))


def is_gsm7(text: str) -> bool:
    """Whether every character of `text` is in the alphabet."""
    return _FOREIGN.search(text) is None


def septets(text: str) -> int:
    """Length of a GSM-7 text in septets."""
    return len(text) + sum(map(text.count, _EXTENDED))


def segments(text: str) -> int:
    """How many segments a GSM-7 text takes, none when it is empty; `ValueError` for a text that is not GSM-7."""
    if not is_gsm7(text):
        raise ValueError("the text is not GSM-7; pass it through to_gsm7 first")
    if not text:
        return 0
    if septets(text) <= SINGLE_SEPTETS:
        return 1
    count, used = 1, 0
    for character in text:
        size = 2 if character in _EXTENDED else 1
        # A segment never ends between the escape and its character.
        if used + size > PART_SEPTETS:
            count, used = count + 1, 0
        used += size
    return count


def _plain(found: re.Match[str]) -> str:
    return "".join(map(_plain_character, found.group()))


def _plain_character(character: str) -> str:
    if character in _REPLACED:
        return _REPLACED[character]
    if unicodedata.category(character) in _INVISIBLE:
        return ""
    parts = []
    for part in unicodedata.normalize("NFKD", character):
        if not _FOREIGN.match(part):
            parts.append(part)
        elif part in _REPLACED:
            parts.append(_REPLACED[part])
        elif unicodedata.category(part) not in _INVISIBLE:
            return _UNKNOWN
    return "".join(parts) or _UNKNOWN

"""Words of providers and receivers, made fit for the ledger: they may repeat addresses, numbers and credentials."""

from __future__ import annotations

import re

EXCERPT_CHARS = 200
# Patterns are tried on this much only: a hostile text must not cost more.
_MAX_CHARS = 1000

_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://\S*", re.IGNORECASE)
_MAIL = re.compile(r"[^\s@<>()\[\]\",;:]{1,128}(?:@|%40)[^\s@<>()\[\]\",;:]{1,255}", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"\b(?:bearer|basic|authorization|api[_-]?key|routing[_-]?key|token|secret|password)\b\s*[:=]?\s*(?:bearer\s+|basic\s+)?"
    r"(?=\S*\d)[\w.~+/=-]{6,}|\bwhsec_\S+|\bv1a?,\S{16,}|\bSG\.[\w.-]+|\beyJ[\w.-]+",
    re.IGNORECASE,
)
# A run that is no word: letters and digits mixed, or so long that nobody would write it.
_TOKEN = re.compile(r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[a-z])[\w+/=-]{20,}|[\w+/=-]{40,}", re.IGNORECASE)
_PHONE = re.compile(r"(?<!\w)(?:\+|00|\(|\b)\d(?:[\s().\u2010-\u2015-]{0,3}\d){6,}")


def redacted(text: str, *private: str) -> str:
    """`text` on one line without mail addresses, phone numbers, web addresses and what looks like a credential.

    `private` are texts that must go whatever they look like, such as the recipient's address. Of a long text only the
    start is kept, up to a blank, so that no half address stays. Dates may go too: rather too much than too little.
    """
    kept = "".join(c if c.isprintable() else " " for c in text[: _MAX_CHARS + 1])
    if len(kept) > _MAX_CHARS:
        kept = kept[:_MAX_CHARS].rpartition(" ")[0]
    for secret in private:
        if secret:
            kept = re.sub(re.escape(secret), "[recipient]", kept, flags=re.IGNORECASE)
    kept = _URL.sub("[url]", kept)
    kept = _MAIL.sub("[mail address]", kept)
    kept = _CREDENTIAL.sub("[credential]", kept)
    kept = _TOKEN.sub("[token]", kept)
    return _PHONE.sub("[number]", kept).strip()


def excerpt(body: bytes, *private: str) -> str:
    """The redacted start of an answer's body, at most `EXCERPT_CHARS` characters."""
    return redacted(body[: 4 * _MAX_CHARS].decode(errors="replace"), *private)[:EXCERPT_CHARS].strip()

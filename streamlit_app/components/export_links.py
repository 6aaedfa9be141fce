"""Links to the files that a page can be taken away as."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

EXPORT_ROOT = "/export/"
KINDS = (("csv", "CSV", "every figure exactly, for a spreadsheet"), ("pdf", "PDF", "a report to read and to send"))
BOOK = "book"
ACCOUNT = "account"
_STYLE = (
    "display:inline-flex;align-items:center;min-height:2.5rem;padding:0 0.75rem;border-radius:8px;color:inherit;"
    "text-decoration:none;border:1px solid color-mix(in srgb, currentColor 30%, transparent)"
)


def address_of(kind: str, account_id: str = "") -> str:
    """The address of the export of an account, or of the book for an empty id; `kind` is csv or pdf."""
    name = f"{ACCOUNT}/{quote(account_id, safe='')}" if account_id else BOOK
    return f"{EXPORT_ROOT}{name}.{kind}"


def links_html(account_id: str = "", page: str = "") -> str:
    """The links, as one group for screen readers, and the one to `page`, the address of the account's page."""
    what = f"account {account_id}" if account_id else "the book"
    links = "".join(
        f'<a href="{escape(address_of(kind, account_id))}" target="_blank" rel="noopener" style="{_STYLE}" '
        f'title="{escape(name)}: {escape(words)}" aria-label="Export {escape(what)} as {name}">{name}</a>'
        for kind, name, words in KINDS
    )
    if page:
        links = f'<a href="{escape(page)}" target="_self" style="{_STYLE}">Account page</a>{links}'
    return f'<nav aria-label="Exports" style="display:flex;gap:0.5rem;align-items:center">{links}</nav>'

"""Mail from rendered templates: the plain text, and the same as HTML in the one layout.

A template's first line is the subject. Blank lines part paragraphs; lines that begin with two spaces are figures,
`label: value`; a line that ends with the notice's link becomes a button.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import Template

from alerting.channels.base import EmailContent
from alerting.errors import TemplateError

Block = tuple[str, str | tuple[str, str] | list[tuple[str, str]]]

_INDENT = "  "
_BLANK_LINES = re.compile(r"\n\s*\n")
_ACCENTS = {
    "liquidation": "#b42318",
    "critical": "#b42318",
    "margin_call": "#e07b00",
    "warning": "#e07b00",
    "early_warning": "#b08d1a",
    "recovered": "#2a8c82",
    "unpriced": "#8a94a3",
}
_PLAIN_ACCENT = "#1f5fa8"


class MailComposer:
    """Puts rendered templates into the layout."""

    def __init__(self, layout: Template) -> None:
        self._layout = layout

    def compose(
        self,
        rendered: str,
        *,
        lang: str,
        severity: str,
        footer: str,
        link: str | None = None,
        mark: str | None = None,
        note: str | None = None,
    ) -> EmailContent:
        """The mail; `mark` stands before the subject and `note` above the text, which say what must not be missed."""
        subject, _, body = rendered.strip("\n").partition("\n")
        subject = subject.strip()
        paragraphs = [part.strip("\n") for part in _BLANK_LINES.split(body.strip("\n")) if part.strip()]
        if not subject or not paragraphs:
            raise TemplateError("The mail has no subject or no text.")
        if mark:
            subject = f"[{mark}] {subject}"
        blocks: list[Block] = [("note", note)] if note else []
        for paragraph in paragraphs:
            blocks.extend(_blocks(paragraph.split("\n"), link))
        html = self._layout.render(
            {
                "lang": lang,
                "subject": subject,
                "accent": _ACCENTS.get(severity, _PLAIN_ACCENT),
                "blocks": blocks,
                "footer": footer,
            }
        )
        text = "\n\n".join([note, *paragraphs, footer] if note else [*paragraphs, footer])
        return EmailContent(subject, f"{text}\n", html)


def _blocks(lines: Sequence[str], link: str | None) -> list[Block]:
    blocks: list[Block] = []
    rows: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(_INDENT):
            label, _, value = line[len(_INDENT) :].partition(": ")
            if not rows:
                blocks.append(("rows", rows))
            rows.append((label, value))
            continue
        rows = []
        if link and line.endswith(f": {link}"):
            blocks.append(("link", (line[: -len(link) - 2], link)))
        else:
            blocks.append(("text", line))
    return blocks

"""HTML as a person would read it, without its markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_PARAGRAPHS = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"})
_LINES = frozenset({"address", "article", "br", "div", "footer", "header", "li", "main", "section", "tr"})
_UNSEEN = frozenset({"head", "script", "style", "template", "title"})


class _TextOf(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0
        self._links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _PARAGRAPHS | _LINES:
            self._break(tag)
        elif tag in ("td", "th"):
            self.parts.append("  ")
        elif tag == "a":
            self._links.append(dict(attrs).get("href"))

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _PARAGRAPHS | _LINES:
            self._break(tag)
        elif tag == "a" and self._links:
            address = self._links.pop()
            if address:
                self.parts.append(f" <{address}>")

    def _break(self, tag: str) -> None:
        """End the line; an empty one stands around paragraphs only."""
        if tag in _PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag == "br" or not "".join(self.parts[-2:]).endswith("\n"):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            # White space between tags must not hide that a line has just begun.
            text = re.sub(r"\s+", " ", data)
            if text != " " or (self.parts and not self.parts[-1].endswith("\n")):
                self.parts.append(text)


def text_of_html(html: str) -> str:
    """The text, one line for each block, links with their address behind them."""
    parser = _TextOf()
    parser.feed(html)
    parser.close()
    lines = [re.sub(r"[ \xa0]{3,}", "  ", line).strip() for line in "".join(parser.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

"""Small pieces of HTML; every text that comes from data is escaped here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape

from streamlit_app.components import formats, scope

SIMULATED_HELP = "Rests on prices that the simulator made up, not on a market."
_AGE_SPAN = re.compile(r'<span data-age="([^"]*)"></span>')


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and whether it holds numbers (aligned right)."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell: ready `html`, and under it a smaller line of text."""

    html: str
    under: str = ""


def text(value: str, under: str = "") -> Cell:
    """A cell of plain text."""
    return Cell(escape(value), under)


def tag(kind: str, label: str, title: str = "") -> str:
    """A small label; `kind` is a class of the style sheet."""
    help_text = f' title="{escape(title)}"' if title else ""
    return f'<span class="tag {escape(kind)}"{help_text}>{escape(label)}</span>'


def simulated_tag(is_simulated: bool) -> str:
    """The mark of figures that rest on simulated prices; nothing otherwise."""
    return tag("simulated", "simulated", SIMULATED_HELP) if is_simulated else ""


def old_tag() -> str:
    """A mark that shows only while the figures are old."""
    return '<span class="tag warn only-old">old figures</span>'


def head(title: str, *marks: str, more: str = "") -> str:
    """The heading of a card with its marks; `more` stands at the right."""
    right = f'<span class="more muted small">{escape(more)}</span>' if more else ""
    return f'<div class="head"><h2>{escape(title)}</h2>{"".join(marks)}{old_tag()}{right}</div>'


def card(heading: str, body: str) -> str:
    """A card; its body is greyed while the figures are old."""
    return f'<section class="card">{heading}<div class="fades">{body}</div></section>'


def pair(left: str, right: str) -> str:
    """Two cards or stacks of cards beside each other, below each other on a narrow screen."""
    return f'<div class="pair"><div class="stack">{left}</div><div class="stack">{right}</div></div>'


def note(words: str) -> str:
    """A line under a figure."""
    return f'<p class="note">{escape(words)}</p>' if words else ""


def banner(kind: str, title: str, words: str = "", role: str = "status") -> str:
    """A message across the page; `words` is ready HTML."""
    return f'<div class="banner {kind}" role="{role}"><strong>{escape(title)}</strong> {words}</div>'


def account_link(account_id: str, words: str = "", kind: str = "link") -> str:
    """A link that opens the account, or the whole book for an empty id; a page of the app stays where it is."""
    shown = escape(account_id)
    return (
        f'<a class="{kind}" href="{escape(scope.address_of(account_id))}" data-account="{shown}">{words or shown}</a>'
    )


def age_span(name: str) -> str:
    """An age that the browser counts on; `filled` writes the age of a moment into it."""
    return f'<span data-age="{escape(name)}"></span>'


def filled(html: str, ages: Mapping[str, float | None]) -> str:
    """The markup with the ages (seconds) written into it, for who has no scripts."""
    return _AGE_SPAN.sub(lambda found: f"{found[0][:-7]}{formats.age(ages.get(unescape(found[1])))}</span>", html)


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], is_clickable: bool = False) -> str:
    """A table whose first column names the row; on a narrow screen each row becomes a block.

    The roles are written out because browsers drop them when a table is laid out as blocks.
    """
    headings = "".join(
        f'<th scope="col" role="columnheader"{_number(column)}>{escape(column.heading)}</th>' for column in columns
    )
    body = "".join(_row(columns, row, is_clickable) for row in rows)
    return (
        f'<table role="table" aria-label="{escape(caption)}">'
        f'<thead role="rowgroup"><tr role="row">{headings}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values on a line."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{items}</dl>'


def _row(columns: Sequence[Column], row: Sequence[Cell], is_clickable: bool) -> str:
    cells = []
    for index, (column, cell) in enumerate(zip(columns, row, strict=True)):
        under = f'<span class="under">{escape(cell.under)}</span>' if cell.under else ""
        attributes = f'data-label="{escape(column.heading)}"{_number(column)}'
        if index == 0:
            cells.append(f'<th scope="row" role="rowheader" {attributes}><div>{cell.html}{under}</div></th>')
        else:
            cells.append(f'<td role="cell" {attributes}><div>{cell.html}{under}</div></td>')
    kind = ' class="chosen-able"' if is_clickable else ""
    return f'<tr role="row"{kind}>{"".join(cells)}</tr>'


def _number(column: Column) -> str:
    return ' class="number"' if column.is_number else ""

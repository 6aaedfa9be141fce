"""The paper of the reports: fonts, page numbers, tables and the gauge, with the same bytes for the same content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace, TTFFont

from streamlit_app.components import formats
from streamlit_app.components.gauge import SCALE_END_PCT, Gauge, GaugeState, spans, zone_at

FONTS = Path(__file__).with_name("fonts")
FAMILY = "DejaVu"
MARGIN_MM = 16.0
TEXT, SOFT, RULE = (27, 36, 48), (84, 96, 113), (217, 222, 229)
WARN_TEXT, WARN_BACK = (138, 70, 0), (253, 235, 211)
ZONE_COLOURS = {
    "liquidation": (180, 35, 24),
    "margin_call": (224, 123, 0),
    "watch": (201, 168, 56),
    "healthy": (42, 140, 130),
}
UNKNOWN_COLOUR = (200, 206, 214)
GAUGE_RADIUS_MM, GAUGE_WIDTH_MM = 24.0, 6.0
_ARC_STEPS = 24
LEGEND_PER_LINE = 2


@dataclass(frozen=True)
class Columns:
    """Headings of a table with their relative widths; `numbers` are the places of those aligned right."""

    headings: Sequence[str]
    widths: Sequence[int]
    numbers: frozenset[int] = frozenset()


class Report(FPDF):
    """A report of one moment; `marks` stand on every page, so that no page is taken for what it is not."""

    def __init__(self, title: str, as_of: datetime, marks: Sequence[str]) -> None:
        super().__init__(orientation="portrait", unit="mm", format="A4")
        self._title, self._as_of, self._marks = title, formats.moment(as_of), tuple(marks)
        self.set_creation_date(as_of)
        self.set_title(f"{title}, {self._as_of}")
        self.set_author("Ballast")
        self.set_creator("Ballast")
        self.set_lang("en")
        self.add_font(FAMILY, "", FONTS / "DejaVuSans.ttf")
        self.add_font(FAMILY, "B", FONTS / "DejaVuSans-Bold.ttf")
        self.set_margins(MARGIN_MM, MARGIN_MM, MARGIN_MM)
        self.set_auto_page_break(True, 20)
        self.add_page()

    def header(self) -> None:
        """What every page but the first begins with."""
        if self.page_no() == 1:
            return
        self._font(8, colour=SOFT)
        self.cell(0, 5, printable(f"{self._title}, as of {self._as_of}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)

    def footer(self) -> None:
        """The marks, and which page this is."""
        self.set_y(-15)
        self._font(7.5, colour=SOFT)
        self.set_draw_color(*RULE)
        self.line(MARGIN_MM, self.get_y(), self.w - MARGIN_MM, self.get_y())
        self.cell(self.epw - 30, 8, printable("   ".join(self._marks)))
        self.cell(30, 8, f"Page {self.page_no()} of {{nb}}", align="R")

    def heading(self, words: str, more: str = "") -> None:
        """The report's title and what it is about."""
        self._font(18, "B")
        self.cell(0, 9, printable(words), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._font(10, colour=SOFT)
        self.multi_cell(0, 5, printable(f"As of {self._as_of}. {more}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)

    def caveats(self, words: Sequence[str]) -> None:
        """What the reader must know before the figures."""
        if not words:
            return
        self._font(9, "B", WARN_TEXT)
        self.set_fill_color(*WARN_BACK)
        self.cell(0, 6.5, " Read this first", fill=True, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._font(9, colour=WARN_TEXT)
        for each in words:
            text = printable(f" \u2022 {each}")
            self.multi_cell(0, 5.2, text, fill=True, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(4)

    def section(self, words: str, note: str = "") -> None:
        """The heading of a part; a page ends before it rather than right behind it."""
        if self.will_page_break(40):
            self.add_page()
        self.ln(2)
        self._font(12, "B")
        self.cell(0, 7, printable(words), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if note:
            self._font(8.5, colour=SOFT)
            self.multi_cell(0, 4.4, printable(note), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(1)

    def say(self, words: str) -> None:
        """A sentence in place of a table."""
        self._font(9)
        self.multi_cell(0, 5, printable(words), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def rows(self, columns: Columns, rows: Sequence[Sequence[str]]) -> None:
        """A table whose headings are repeated on every page."""
        self._font(8)
        self.set_draw_color(*RULE)
        self.set_fill_color(255, 255, 255)
        aligned = ["RIGHT" if index in columns.numbers else "LEFT" for index in range(len(columns.headings))]
        with self.table(
            col_widths=tuple(columns.widths),
            text_align=tuple(aligned),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            line_height=4.6,
            padding=(0.9, 1.2, 0.9, 0),
            headings_style=FontFace(emphasis="BOLD", color=SOFT),
        ) as table:
            for each in (columns.headings, *rows):
                row = table.row()
                for words in each:
                    row.cell(printable(words))

    def gauge_and_facts(self, shown: Gauge, facts: Sequence[tuple[str, str]]) -> None:
        """The gauge at the left, names and values at its right."""
        top = self.get_y()
        self._gauge(shown, MARGIN_MM + 34, top + 30)
        left = MARGIN_MM + 78
        for index, (name, value) in enumerate(facts):
            self.set_xy(left, top + 1 + index * 6.6)
            self._font(9, colour=SOFT)
            self.cell(42, 6, printable(name))
            self._font(10, "B")
            self.cell(0, 6, printable(value), align="R")
        self.set_xy(MARGIN_MM, max(top + 46, top + 3 + len(facts) * 6.6))

    def _gauge(self, shown: Gauge, x: float, y: float) -> None:
        if shown.state is GaugeState.PRICED and shown.zones:
            for zone in shown.zones:
                self._arc(x, y, float(zone.start_pct), float(zone.end_pct), ZONE_COLOURS[zone.kind])
        else:
            self._arc(x, y, 0, 100, UNKNOWN_COLOUR)
        self._font(6.5, colour=SOFT)
        for at in sorted({Decimal(0), Decimal(100), *(zone.end_pct for zone in shown.zones)}):
            tick_x, tick_y = _point(x, y, float(at), GAUGE_RADIUS_MM + 3.4)
            self.set_xy(tick_x - 5, tick_y - 1.6)
            self.cell(10, 3.2, f"{at.normalize():f}", align="C")
        if shown.state is GaugeState.PRICED and shown.health_pct is not None:
            needle = min(100.0, max(0.0, float(shown.health_pct)))
            self.set_draw_color(*TEXT)
            self.set_line_width(0.9)
            inner, outer = (
                _point(x, y, needle, GAUGE_RADIUS_MM - GAUGE_WIDTH_MM - 4),
                _point(x, y, needle, GAUGE_RADIUS_MM + 0.5),
            )
            self.line(*inner, *outer)
            self.set_line_width(0.2)
        value, word = _gauge_words(shown)
        self._font(15, "B")
        self.set_xy(x - 26, y - 5)
        self.cell(52, 7, printable(value), align="C")
        self._font(8, colour=SOFT)
        self.set_xy(x - 34, y + 2.5)
        self.cell(68, 4, printable(word), align="C")
        self._font(6, colour=SOFT)
        known = [words for _, words in spans(shown.zones)]
        # In one line they would run into what stands beside the gauge.
        for line, first in enumerate(range(0, len(known), LEGEND_PER_LINE)):
            self.set_xy(x - 36, y + 7 + 3 * line)
            self.cell(72, 3, printable("   ".join(known[first : first + LEGEND_PER_LINE])), align="C")

    def _arc(self, x: float, y: float, start: float, end: float, colour: tuple[int, int, int]) -> None:
        steps = [start + (end - start) * index / _ARC_STEPS for index in range(_ARC_STEPS + 1)]
        outer = [_point(x, y, at, GAUGE_RADIUS_MM) for at in steps]
        inner = [_point(x, y, at, GAUGE_RADIUS_MM - GAUGE_WIDTH_MM) for at in reversed(steps)]
        self.set_fill_color(*colour)
        self.set_draw_color(255, 255, 255)
        self.polygon(outer + inner, style="DF")

    def _font(self, size: float, style: str = "", colour: tuple[int, int, int] = TEXT) -> None:
        self.set_font(FAMILY, style, size)
        self.set_text_color(*colour)


def printable(words: str) -> str:
    """The words with a mark in place of each character that the fonts lack."""
    known = _characters()
    return "".join(each if ord(each) in known else "\ufffd" for each in words)


@cache
def _characters() -> frozenset[int]:
    paper = FPDF()
    paper.add_font(FAMILY, "", FONTS / "DejaVuSans.ttf")
    paper.add_font(FAMILY, "B", FONTS / "DejaVuSans-Bold.ttf")
    fonts = [font for font in paper.fonts.values() if isinstance(font, TTFFont)]
    known = frozenset.intersection(*(frozenset(font.cmap) for font in fonts))
    for font in fonts:
        font.close()
    return known


def _point(x: float, y: float, pct: float, radius: float) -> tuple[float, float]:
    angle = math.pi * (1 - pct / 100)
    return x + radius * math.cos(angle), y - radius * math.sin(angle)


def _gauge_words(shown: Gauge) -> tuple[str, str]:
    match shown.state:
        case GaugeState.NO_DEBT:
            return "No debt", "nothing to measure"
        case GaugeState.UNPRICED:
            last = "no last value" if shown.health_pct is None else f"last value {formats.health(shown.health_pct)}"
            return "Unpriced", last
        case GaugeState.PRICED:
            zone = zone_at(shown.zones, shown.health_pct) if shown.health_pct is not None else None
            beyond = "" if shown.health_pct is None or shown.health_pct <= SCALE_END_PCT else ", above the scale"
            return formats.health(shown.health_pct), f"{zone.label}{beyond}" if zone else ""

"""The quality of each asset's prices over days: spans from the oracle's words and its silence, and their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from html import escape

from assets.market_data.price_quality_queries import Period
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text

# A span narrower than this share of the whole could not be seen; several at one place are drawn once.
LEAST_SHARE = Decimal("0.002")
SHOWN_SPANS = 12


class Quality(StrEnum):
    """What was known of a price; `silent` is a time in which the oracle published nothing."""

    OK = "ok"
    DEGRADED = "degraded"
    MISSING = "missing"
    SILENT = "silent"


WORDS = {"ok": "Current", "degraded": "Degraded", "missing": "No price", "silent": "Nothing published"}
_TAGS = {"ok": "ok", "degraded": "degraded", "missing": "liquidation", "silent": "stale"}
_FILLS = {
    "ok": "var(--st-green-color)",
    "degraded": "repeating-linear-gradient(45deg,var(--st-orange-color) 0 4px,var(--st-text-color) 4px 6px)",
    "missing": "var(--st-red-color)",
    "silent": "repeating-linear-gradient(-45deg,var(--st-gray-background-color) 0 4px,var(--st-gray-color) 4px 6px)",
}
_GRID = "display:grid;grid-template-columns:3.4rem minmax(0,1fr);gap:0.4rem 0.6rem;align-items:center"
_TRACK = "position:relative;height:1.1rem;overflow:hidden;border-radius:3px"


@dataclass(frozen=True)
class Span:
    """A time of one quality; `is_open` where it lasts on."""

    asset: str
    quality: Quality
    began_at: datetime
    ended_at: datetime
    reason: str = ""
    is_open: bool = False

    @property
    def lasted(self) -> timedelta:
        """How long."""
        return self.ended_at - self.began_at


def spans(
    periods: Sequence[Period], assets: Sequence[str], since: datetime, now: datetime, max_silence: timedelta
) -> dict[str, list[Span]]:
    """The times of each asset from `since` to `now`, oldest first, without gaps; `assets` should have a price.

    A price holds until the next one, but not longer than `max_silence`: what follows its last word is silence.
    """
    by_asset: dict[str, list[Period]] = {asset: [] for asset in assets}
    for period in sorted(periods, key=lambda each: each.began_at):
        by_asset.setdefault(period.asset, []).append(period)
    return {asset: _of_asset(asset, found, since, now, max_silence) for asset, found in sorted(by_asset.items())}


def timeline_html(found: Mapping[str, Sequence[Span]], since: datetime, now: datetime) -> str:
    """A row an asset with its spans; each says by hovering what it is. What is degraded or silent has stripes."""
    rows = [
        f'<span>{escape(asset)}</span><div style="{_TRACK}">{"".join(_pieces(of_asset, since, now))}</div>'
        for asset, of_asset in found.items()
    ]
    summary = "Quality of each asset's prices over time; the table below says the same in figures."
    days = f'<span></span><div style="position:relative;height:1.3rem">{"".join(_days(since, now))}</div>'
    return f'<div role="img" aria-label="{summary}" style="{_GRID}">{"".join(rows)}{days}</div>{_legend()}'


def shares_html(found: Mapping[str, Sequence[Span]]) -> str:
    """How long each asset's price was of which quality."""
    columns = (Column("Asset"), *(Column(WORDS[each], True) for each in Quality), Column("Longest not current"))
    rows = []
    for asset, of_asset in found.items():
        whole = sum((each.lasted for each in of_asset), timedelta())
        worst = max(
            (each for each in of_asset if each.quality is not Quality.OK), key=lambda each: each.lasted, default=None
        )
        rows.append(
            (
                text(asset),
                *(_share(of_asset, quality, whole) for quality in Quality),
                text("none")
                if worst is None
                else text(_lasted(worst), f"{WORDS[worst.quality]}, from {formats.moment(worst.began_at)}"),
            )
        )
    return markup.table("Time by quality of the price", columns, rows)


def periods_html(found: Mapping[str, Sequence[Span]]) -> str:
    """The newest times in which a price was not current."""
    wanted = [each for of_asset in found.values() for each in of_asset if each.quality is not Quality.OK]
    if not wanted:
        return '<p class="muted">None: every price was current all the time.</p>'
    wanted.sort(key=lambda each: (each.is_open, each.ended_at), reverse=True)
    columns = (Column("Asset"), Column("Quality"), Column("Began"), Column("Lasted", True), Column("Reason"))
    rows = [
        (
            text(each.asset),
            Cell(markup.tag(_TAGS[each.quality], WORDS[each.quality])),
            text(formats.moment(each.began_at)),
            text(_lasted(each)),
            text(each.reason or "none given"),
        )
        for each in wanted[:SHOWN_SPANS]
    ]
    more = len(wanted) - SHOWN_SPANS
    note = markup.note(f"and {formats.count(more, 'older one')}") if more > 0 else ""
    return markup.table("Times in which a price was not current", columns, rows) + note


def _of_asset(
    asset: str, periods: Sequence[Period], since: datetime, now: datetime, max_silence: timedelta
) -> list[Span]:
    found: list[Span] = []
    known_until = since
    for period in periods:
        if period.began_at - known_until > max_silence:
            found.append(Span(asset, Quality.SILENT, known_until, period.began_at))
        elif found:
            found[-1] = _until(found[-1], period.began_at)
        began = period.began_at if found else since
        ended = max(period.last_at, began)
        found.append(Span(asset, Quality(period.quality), began, ended, period.reason or ""))
        known_until = ended
    if now - known_until > max_silence:
        found.append(Span(asset, Quality.SILENT, known_until, now, "", is_open=True))
    else:
        found[-1] = _until(found[-1], now, is_open=True)
    return found


def _until(span: Span, at: datetime, is_open: bool = False) -> Span:
    return Span(span.asset, span.quality, span.began_at, max(at, span.began_at), span.reason, is_open)


def _pieces(of_asset: Sequence[Span], since: datetime, now: datetime) -> list[str]:
    """Current spans first, so that a short trouble is not hidden by what surrounds it."""
    drawn = []
    taken: set[tuple[int, Quality]] = set()
    for each in sorted(of_asset, key=lambda span: span.quality is not Quality.OK):
        left, right = _place(each.began_at, since, now), _place(each.ended_at, since, now)
        place = (int(left / LEAST_SHARE), each.quality)
        if right - left < LEAST_SHARE and place in taken:
            continue
        taken.add(place)
        words = f"{each.asset}: {WORDS[each.quality]} for {_lasted(each)} from {formats.moment(each.began_at)}"
        why = f"; {each.reason}" if each.reason else ""
        drawn.append(
            f'<i title="{escape(words + why)}" style="position:absolute;top:0;bottom:0;min-width:2px;'
            f'left:{left * 100:.2f}%;width:{(right - left) * 100:.2f}%;background:{_FILLS[each.quality]}"></i>'
        )
    return drawn


def _days(since: datetime, now: datetime) -> list[str]:
    """The day of the month at each midnight (UTC) that has room behind it."""
    day = since.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    shown = []
    while (left := _place(day, since, now)) < Decimal("0.97"):
        shown.append(
            f'<span class="muted small" style="position:absolute;left:{left * 100:.2f}%;'
            f'border-left:1px solid var(--st-border-color);padding-left:3px">{day:%d}</span>'
        )
        day += timedelta(days=1)
    return shown


def _place(at: datetime, since: datetime, now: datetime) -> Decimal:
    """Where a time lies between the two, from 0 to 1."""
    whole = max((now - since) // timedelta(milliseconds=1), 1)
    return min(max(Decimal((at - since) // timedelta(milliseconds=1)) / whole, Decimal(0)), Decimal(1))


def _legend() -> str:
    items = "".join(
        f'<li><i style="background:{_FILLS[each]}" aria-hidden="true"></i>{WORDS[each]}</li>' for each in Quality
    )
    return f'<ul class="legend">{items}</ul>'


def _share(of_asset: Sequence[Span], quality: Quality, whole: timedelta) -> Cell:
    lasted = sum((each.lasted for each in of_asset if each.quality is quality), timedelta())
    if not lasted or not whole:
        return text("0.0%")
    share = Decimal(lasted // timedelta(milliseconds=1)) / Decimal(whole // timedelta(milliseconds=1)) * 100
    return text(formats.percent(share), formats.age(lasted.total_seconds()))


def _lasted(span: Span) -> str:
    return formats.age(span.lasted.total_seconds()) + (" so far" if span.is_open else "")

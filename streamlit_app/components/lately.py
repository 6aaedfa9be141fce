"""The price panel, and what changed in the last hour, as markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape

from assets.risk.overview_queries import AssetPrice, Flow, PricePoint, StatusChange
from streamlit_app.components import charts, formats, markup
from streamlit_app.components.markup import Cell, Column, text

WINDOW = timedelta(hours=1)
# How far before the hour the price may lie that a move is measured from.
SLACK = timedelta(minutes=10)
SHOWN_CHANGES = 8
PRICE_AGE = "price:"
SOURCE_WORDS = {"chainlink": "Chainlink", "pyth": "Pyth", "simulated": "Simulator", "stooq": "Stooq"}
FLOW_WORDS = {
    "deposit": "Deposits",
    "withdrawal": "Withdrawals",
    "draw": "Draws",
    "repayment": "Repayments",
    "seizure": "Seizures",
    "interest": "Interest",
}


@dataclass(frozen=True)
class Move:
    """How a price went in the last hour: the change in percent, None where there is no price from an hour ago."""

    change_pct: Decimal | None
    path: tuple[float, ...]


def moves(points: Sequence[PricePoint], now: datetime) -> dict[str, Move]:
    """The move of each asset from the last price that was an hour old, but not older than `SLACK` more."""
    by_asset: dict[str, list[PricePoint]] = {}
    for point in points:
        by_asset.setdefault(point.asset, []).append(point)
    return {asset: _move(found, now) for asset, found in by_asset.items()}


def price_ages(prices: Sequence[AssetPrice], since_read_s: float) -> dict[str, float | None]:
    """The ages in seconds that the panel shows, by the name that its elements ask for."""
    return {
        PRICE_AGE + price.asset: None if price.price_age_seconds is None else price.price_age_seconds + since_read_s
        for price in prices
    }


def prices_html(prices: Sequence[AssetPrice], moved: Mapping[str, Move]) -> str:
    """Each asset's price with its move, whether it may be relied upon, where it comes from, and its age."""
    columns = (Column("Asset"), Column("Price", True), Column("Last hour", True), Column("Status"), Column("Sources"))
    # Where all are simulated the heading says so.
    is_marked = not all(price.is_simulated for price in prices)
    rows = [
        (
            text(price.asset),
            text(formats.price(price.price_usd), _confidence(price)),
            _moved(price, moved.get(price.asset)),
            _status(price, is_marked),
            text(", ".join(formats.words(name, SOURCE_WORDS) for name in price.sources) or formats.UNKNOWN),
        )
        for price in prices
    ]
    unknown = sum(1 for price in prices if (move := moved.get(price.asset)) is None or move.change_pct is None)
    note = markup.note(f"Of {formats.count(unknown, 'asset')} the move is unknown: no price from an hour ago.")
    return markup.table("Prices", columns, rows) + (note if unknown else "")


def changes_html(
    changes: Sequence[StatusChange] | None, flows: Sequence[Flow] | None, problems: Sequence[str] = ()
) -> str:
    """Accounts whose status changed, the number of margin events, and what settled; `problems` is ready HTML."""
    parts = list(problems)
    if changes is not None:
        parts.append(f"<h3>Accounts that changed status</h3>{_changes(changes)}")
    if flows is not None:
        parts.append(f"<h3>Settled</h3>{_flows(flows)}")
    return "".join(parts)


def _move(found: Sequence[PricePoint], now: datetime) -> Move:
    ordered = sorted(found, key=lambda point: point.published_at)
    before = [point for point in ordered if now - WINDOW - SLACK <= point.published_at <= now - WINDOW]
    path = [*before[-1:], *(point for point in ordered if point.published_at > now - WINDOW)]
    change = None
    if before and path and before[-1].price_usd > 0:
        first, last = before[-1].price_usd, path[-1].price_usd
        change = (last - first) / first * 100
    return Move(change, tuple(float(point.price_usd) for point in path))


def _confidence(price: AssetPrice) -> str:
    if price.price_usd is None or price.confidence_usd is None:
        return ""
    return formats.half_width(price.confidence_usd)


def _moved(price: AssetPrice, move: Move | None) -> Cell:
    known = move is not None and move.change_pct is not None
    words = formats.change(move.change_pct) if move is not None and known else formats.UNKNOWN
    line = charts.sparkline(move.path, f"{price.asset} in the last hour: {words}") if move else ""
    return Cell(f'<span class="moved">{line}<span>{escape(words)}</span></span>')


def _status(price: AssetPrice, is_marked: bool) -> Cell:
    label = formats.words(price.price_status, formats.PRICE_STATUS_WORDS)
    marks = f"{markup.tag(price.price_status, label)} {markup.simulated_tag(price.is_simulated and is_marked)}"
    age = "never had a price" if price.price_age_seconds is None else f"{markup.age_span(PRICE_AGE + price.asset)} old"
    why = f"; {escape(price.degraded_reason.replace('_', ' '))}" if price.degraded_reason else ""
    return Cell(f'{marks}<span class="under">{age}{why}</span>')


def _changes(changes: Sequence[StatusChange]) -> str:
    if not changes:
        return '<p class="muted">None.</p>'
    by_account: dict[str, list[StatusChange]] = {}
    for change in sorted(changes, key=lambda each: each.detected_at, reverse=True):
        by_account.setdefault(change.account_id, []).append(change)
    lines = [_change(found) for found in list(by_account.values())[:SHOWN_CHANGES]]
    more = len(by_account) - SHOWN_CHANGES
    rest = f'<p class="note">and {formats.count(more, "more account")}</p>' if more > 0 else ""
    total = f"{formats.count(len(changes), 'margin event')} of {formats.count(len(by_account), 'account')}"
    return f'<p class="muted small">{total}</p><ul class="lines">{"".join(lines)}</ul>{rest}'


def _change(found: Sequence[StatusChange]) -> str:
    """From the state before the first change of the hour to the one after the last; newest first."""
    last, first = found[0], found[-1]
    before = first.previous_severity
    start = (
        markup.tag(before, formats.words(before, formats.SEVERITY_WORDS))
        if before
        else markup.tag("none", "no open episode")
    )
    end = markup.tag(last.severity, formats.words(last.severity, formats.SEVERITY_WORDS))
    simulated = markup.simulated_tag(any(each.is_simulated for each in found))
    return (
        f"<li>{markup.account_link(last.account_id)} {start} <span>to</span> {end} {simulated} "
        f'<span class="muted small">{escape(formats.time_of_day(last.detected_at))}</span></li>'
    )


def _flows(flows: Sequence[Flow]) -> str:
    if not flows:
        return '<p class="muted">Nothing.</p>'
    lines = []
    for flow in flows:
        value = "value unknown: a price is missing" if flow.value_usd is None else formats.usd(flow.value_usd)
        of = f"{formats.count(flow.events, 'event')} of {formats.count(flow.accounts, 'account')}"
        lines.append(
            f"<li><b>{escape(formats.words(flow.kind, FLOW_WORDS))}</b> <span>{escape(value)}</span> "
            f'<span class="muted small">{of}</span> {markup.simulated_tag(flow.is_simulated)}</li>'
        )
    return f'<ul class="lines">{"".join(lines)}</ul>'

"""Where the price of an asset lies between the ones at which margin call and liquidation fall due, as a small ruler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from assets.risk.queries import LiquidationPrice, MarginHealth
from streamlit_app.components import formats, triggers

# Of the span between the outermost marks, on each side of them.
PADDING = 0.12
STYLE = """<style>
.ruler { margin: 0 0 1.1rem; }
.ruler h3 { margin: 0 0 0.3rem; }
.ruler .track { position: relative; height: 2rem; }
.ruler .track i { position: absolute; top: 0.7rem; height: 0.6rem; }
.ruler .track i:first-of-type { border-radius: 999px 0 0 999px; }
.ruler .track i:last-of-type { border-radius: 0 999px 999px 0; }
.ruler .below-liquidation { background: var(--st-red-color); }
.ruler .below-call { background: repeating-linear-gradient(45deg, var(--st-orange-color) 0 5px, transparent 5px 7px); }
.ruler .clear { background: var(--st-green-color); opacity: 0.55; }
.ruler .track b { position: absolute; top: 0; width: 3px; height: 2rem; margin-left: -1.5px; border-radius: 2px;
  background: var(--st-text-color); }
.ruler .track b.now { width: 1rem; height: 1rem; top: 0.5rem; margin-left: -0.5rem; border-radius: 50%;
  border: 3px solid var(--st-text-color); background: var(--st-secondary-background-color); }
.ruler .track b.last { border-style: dashed; }
.ruler ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.1rem 1.4rem;
  font-size: 0.86rem; }
.ruler li span { color: var(--st-gray-text-color); }
</style>"""


@dataclass(frozen=True)
class Ruler:
    """One asset's prices in USD; `now_usd` is the last one, not current where `is_unpriced`."""

    asset: str
    now_usd: Decimal
    margin_call: LiquidationPrice | None
    liquidation: LiquidationPrice | None
    is_unpriced: bool

    @property
    def marks(self) -> list[Decimal]:
        """The prices that lie on it."""
        found = [row.trigger_price_usd for row in (self.margin_call, self.liquidation) if row is not None]
        return [self.now_usd, *(price for price in found if price is not None)]


def rulers_of(prices: Sequence[LiquidationPrice], account: MarginHealth) -> list[Ruler]:
    """A ruler for each asset that has a price and at least one trigger, in the order of the rows."""
    by_asset: dict[str, dict[str, LiquidationPrice]] = {}
    for price in prices:
        by_asset.setdefault(price.asset, {})[price.threshold] = price
    unpriced = triggers.unpriced_assets(account)
    found = []
    for asset, rows in by_asset.items():
        now = next(iter(rows.values())).price_usd
        if now is not None and any(row.trigger_price_usd is not None for row in rows.values()):
            found.append(Ruler(asset, now, rows.get("margin_call"), rows.get("liquidation"), asset in unpriced))
    return found


def rulers_html(rulers: Sequence[Ruler], account: MarginHealth) -> str:
    """The rulers below each other; the words under each carry the same figures."""
    return STYLE + "".join(_ruler(ruler, account) for ruler in rulers) if rulers else ""


def _ruler(ruler: Ruler, account: MarginHealth) -> str:
    low, high = float(min(ruler.marks)), float(max(ruler.marks))
    room = (high - low or high or 1.0) * PADDING
    start, span = low - room, (high - low) + 2 * room

    def place(price: Decimal) -> float:
        return (float(price) - start) / span * 100

    now = f'<b class="now{" last" if ruler.is_unpriced else ""}" style="left:{place(ruler.now_usd):.2f}%"></b>'
    rows = [row for row in (ruler.margin_call, ruler.liquidation) if row is not None]
    lines = "".join(
        f'<b style="left:{place(row.trigger_price_usd):.2f}%"></b>' for row in rows if row.trigger_price_usd is not None
    )
    zones = "".join(
        f'<i class="{kind}" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        for kind, left, right in _zones(ruler, account, place)
    )
    return (
        f'<div class="ruler"><h3>{escape(ruler.asset)}</h3>'
        f'<div class="track" aria-hidden="true">{zones}{lines}{now}</div><ul>{_words(ruler, rows, account)}</ul></div>'
    )


def _zones(ruler: Ruler, account: MarginHealth, place: Callable[[Decimal], float]) -> list[tuple[str, float, float]]:
    """Parts of the track from the left, in percent of its width."""
    priced = {
        row.threshold: row.trigger_price_usd
        for row in (ruler.margin_call, ruler.liquidation)
        if row is not None and row.trigger_price_usd is not None
    }
    call, liquidation = priced.get("margin_call"), priced.get("liquidation")
    if call is not None and liquidation is not None:
        call_at, end_at = place(call), place(liquidation)
        if call >= liquidation:
            return [("below-liquidation", 0.0, end_at), ("below-call", end_at, call_at), ("clear", call_at, 100.0)]
        return [("clear", 0.0, call_at), ("below-call", call_at, end_at), ("below-liquidation", end_at, 100.0)]
    row = ruler.margin_call if call is not None else ruler.liquidation
    if row is None or row.trigger_price_usd is None:
        return []
    kind, at = ("below-call" if call is not None else "below-liquidation"), place(row.trigger_price_usd)
    # A threshold that is passed lies between the price and safety; one that is not, between the price and danger.
    is_danger_below = (row.trigger_price_usd < ruler.now_usd) != triggers.is_passed(row, account)
    if is_danger_below:
        return [(kind, 0.0, at), ("clear", at, 100.0)]
    return [("clear", 0.0, at), (kind, at, 100.0)]


def _words(ruler: Ruler, rows: Sequence[LiquidationPrice], account: MarginHealth) -> str:
    label = "Last price, not current" if ruler.is_unpriced else "Now"
    items = [f"<li><b>{label}</b> {escape(formats.price(ruler.now_usd))}</li>"]
    for row in rows:
        name = formats.words(row.threshold, triggers.THRESHOLD_WORDS)
        if row.trigger_price_usd is None:
            reason = formats.words(row.reason or "unknown", formats.REASON_WORDS)
            items.append(f"<li><b>{escape(name)}</b> {escape(reason)}</li>")
        else:
            at, distance = formats.price(row.trigger_price_usd), triggers.distance_words(row, account)
            items.append(f"<li><b>{escape(name)} at</b> {escape(at)} <span>{escape(distance)}</span></li>")
    return "".join(items)

"""How far a price is from the one at which a margin call or a liquidation falls due, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from assets.risk.queries import LiquidationPrice, MarginHealth
from streamlit_app.components import formats
from streamlit_app.components.breakdown import Position

THRESHOLD_WORDS = {"margin_call": "Margin call", "liquidation": "Liquidation"}


def distance_pct(price: LiquidationPrice) -> Decimal | None:
    """The change of the price, in percent of the last one, that reaches the trigger; None without either."""
    if price.trigger_price_usd is None or price.price_usd is None or price.price_usd <= 0:
        return None
    return (price.trigger_price_usd - price.price_usd) / price.price_usd * 100


def is_passed(price: LiquidationPrice, account: MarginHealth) -> bool:
    """Whether the account's health is already below the threshold of the row."""
    return account.health_pct is not None and account.health_pct < price.threshold_pct


def distance_words(price: LiquidationPrice, account: MarginHealth) -> str:
    """`+7.1% from now`; for a threshold already passed how far the way back is."""
    distance = distance_pct(price)
    if distance is None:
        return "distance unknown: no current price"
    way = (
        f"passed; back at {formats.change(distance)}"
        if is_passed(price, account)
        else f"{formats.change(distance)} from now"
    )
    if account.status == "unpriced":
        return f"{way} (by last prices, not current)"
    return way


def next_trigger(account: MarginHealth, prices: Iterable[LiquidationPrice]) -> LiquidationPrice | None:
    """The trigger not yet passed that the smallest fall of a price reaches; without one, the smallest rise.

    Falls come first because debts are mostly in stablecoins, whose rise is the smaller change but not the danger.
    """
    open_ones = [(p, d) for p in prices if (d := distance_pct(p)) is not None and not is_passed(p, account)]
    return min(open_ones, key=lambda found: (found[1] > 0, abs(found[1])), default=(None, Decimal(0)))[0]


def next_trigger_words(account: MarginHealth, prices: Sequence[LiquidationPrice]) -> tuple[str, str]:
    """The next trigger of an account and how far it is; or why there is none."""
    if account.status == "no_debt":
        return "None", "no debt"
    if account.status == "unpriced":
        return formats.UNKNOWN.capitalize(), unpriced_words(account)
    if not prices:
        return formats.UNKNOWN.capitalize(), "trigger prices not read"
    found = next_trigger(account, prices)
    if found is None:
        passed = account.health_pct is not None and account.health_pct < account.liquidation_threshold_pct
        return ("All passed", "below liquidation") if passed else ("None", "no price of one asset alone does it")
    name = formats.words(found.threshold, THRESHOLD_WORDS)
    return f"{name} at {found.asset} {formats.price(found.trigger_price_usd)}", distance_words(found, account)


def unpriced_assets(account: MarginHealth) -> tuple[str, ...]:
    """The account's assets whose price is stale or missing."""
    return tuple(asset for asset in (account.unpriced_assets or "").split(",") if asset)


def unpriced_words(account: MarginHealth, positions: Iterable[Position] = ()) -> str:
    """Which prices are stale or missing, and since when: `SOL stale, last price 2 h old`."""
    by_asset = {position.asset: position for position in positions}
    named = [_unpriced(asset, by_asset.get(asset)) for asset in unpriced_assets(account)]
    return "; ".join(named) or account.unpriced_reason or "a price is missing"


def _unpriced(asset: str, position: Position | None) -> str:
    if position is None:
        return f"{asset} has no current price"
    if position.price_age_seconds is None:
        return f"{asset} never had a price"
    kind = "stale" if position.price_status == "stale" else "withdrawn"
    return f"{asset} {kind}, last price {formats.age(position.price_age_seconds)} old"

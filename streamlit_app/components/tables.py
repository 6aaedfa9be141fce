"""The tables of the page as markup: assets, trigger prices, accounts, estimates, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape

from assets.risk.queries import LiquidationPrice, MarginEventRow, MarginHealth, ValueAtRisk
from streamlit_app.components import formats, markup, triggers
from streamlit_app.components.breakdown import Position
from streamlit_app.components.markup import Cell, Column, text

ASSET_AGE = "asset:"


def asset_ages(positions: Sequence[Position], since_read_s: float) -> dict[str, float | None]:
    """The ages of the prices in seconds that `assets_html` shows, by the name that its elements ask for."""
    return {
        ASSET_AGE + position.asset: None if (age := position.price_age_seconds) is None else age + since_read_s
        for position in positions
    }


def assets_html(positions: Sequence[Position]) -> str:
    """What is held and owed of each asset, with the price, its status and its age."""
    columns = (
        Column("Asset"),
        Column("Side"),
        Column("Quantity", True),
        Column("Price", True),
        Column("Price status"),
        Column("Value", True),
    )
    rows = [
        (
            text(position.asset),
            text("Collateral" if position.side == "collateral" else "Borrow"),
            text(
                formats.quantity(position.quantity, position.asset),
                "below zero: an event may be missing" if position.quantity < 0 else "",
            ),
            text(formats.price(position.price_usd)),
            _price_status(position),
            text(formats.usd(position.exposure_usd), _value_caveat(position)),
        )
        for position in positions
    ]
    return markup.table("Assets held and owed", columns, rows)


def triggers_html(prices: Sequence[LiquidationPrice], account: MarginHealth) -> str:
    """For each asset the prices at which margin call and liquidation fall due, and how far they are."""
    by_asset: dict[str, dict[str, LiquidationPrice]] = {}
    for price in prices:
        by_asset.setdefault(price.asset, {})[price.threshold] = price
    columns = (
        Column("Asset"),
        Column("Price now", True),
        Column("Margin call at", True),
        Column("Liquidation at", True),
    )
    rows = []
    for asset, found in by_asset.items():
        any_row = next(iter(found.values()))
        is_unpriced = asset in triggers.unpriced_assets(account)
        rows.append(
            (
                text(asset),
                text(formats.price(any_row.price_usd), "last price, not current" if is_unpriced else ""),
                _trigger(found.get("margin_call"), account),
                _trigger(found.get("liquidation"), account),
            )
        )
    return markup.table("Margin-call and liquidation prices", columns, rows)


def accounts_html(accounts: Sequence[MarginHealth], prices: Mapping[str, Sequence[LiquidationPrice]]) -> str:
    """The accounts nearest to a margin call; each opens by its button or its row."""
    columns = (
        Column("Account"),
        Column("Status"),
        Column("Health", True),
        Column("Collateral", True),
        Column("Borrow", True),
        Column("Next trigger"),
    )
    rows = [
        (
            Cell(markup.account_link(account.account_id)),
            Cell(status_tag(account.status)),
            _health(account),
            text(formats.usd(account.collateral_usd)),
            text(formats.usd(account.borrow_usd)),
            text(*triggers.next_trigger_words(account, prices.get(account.account_id, ()))),
        )
        for account in accounts
    ]
    return markup.table("Accounts nearest to margin call", columns, rows, is_clickable=True)


def var_html(estimates: Sequence[ValueAtRisk]) -> str:
    """Value at Risk and Expected Shortfall by confidence with their intervals; without a figure the reason.

    A fallback shows its figure, and that it is one and why: it is not what it stands in for.
    """
    columns = (
        Column("Confidence"),
        Column("Horizon"),
        Column("Value at Risk", True),
        Column("Expected Shortfall", True),
        Column("Rests on"),
    )
    rows = [
        (
            text(formats.plain_percent(estimate.confidence * 100)),
            text(formats.count(estimate.horizon_days, "day")),
            _loss(estimate.var_usd, estimate.var_lower_usd, estimate.var_upper_usd, estimate),
            _loss(estimate.es_usd, estimate.es_lower_usd, estimate.es_upper_usd, estimate),
            _basis(estimate),
        )
        for estimate in estimates
    ]
    return markup.table("Value at Risk and Expected Shortfall", columns, rows) + var_facts(estimates)


def var_facts(estimates: Sequence[ValueAtRisk]) -> str:
    """How the estimates were made: every method among them; for the rest the first stands for all of a build."""
    if not estimates:
        return ""
    first = estimates[0]
    methods = dict.fromkeys((each.method, each.is_fallback) for each in estimates)
    estimators = dict.fromkeys(each.estimator for each in estimates)
    return markup.facts(
        (
            ("Method", ", ".join(_method(method, is_fallback) for method, is_fallback in methods)),
            ("Estimator", ", ".join(formats.words(each, formats.ESTIMATOR_WORDS) for each in estimators)),
            ("Intervals", f"{formats.plain_percent(first.interval_confidence * 100)} confidence"),
            ("Window", formats.count(first.window_observations, "day")),
            ("As of", first.as_of_date.isoformat()),
            ("Price set", first.price_set_id),
            ("Computed", formats.moment(first.computed_at)),
        )
    )


def events_html(events: Sequence[MarginEventRow], is_for_account: bool) -> str:
    """The last transitions, newest first."""
    columns = [
        Column("Time"),
        Column("Event"),
        Column("Health", True),
        Column("Collateral", True),
        Column("Borrow", True),
    ]
    if not is_for_account:
        columns.insert(1, Column("Account"))
    rows = []
    for event in events:
        severity = markup.tag(event.severity, formats.words(event.severity, formats.SEVERITY_WORDS))
        row = [
            text(formats.moment(event.detected_at)),
            Cell(f"{severity} {markup.simulated_tag(event.is_simulated)}"),
            text(formats.health(event.health_pct), _threshold(event)),
            text(formats.usd(event.collateral_usd)),
            text(formats.usd(event.borrow_usd)),
        ]
        if not is_for_account:
            row.insert(1, Cell(markup.account_link(event.account_id)))
        rows.append(row)
    return markup.table("Last margin events", columns, rows)


def status_tag(status: str) -> str:
    """The label of an account's status."""
    return markup.tag(status, formats.words(status, formats.STATUS_WORDS))


def _loss(usd: Decimal | None, lower: Decimal | None, upper: Decimal | None, estimate: ValueAtRisk) -> Cell:
    if usd is None:
        return text("No figure", estimate.reason or "no reason given")
    return text(formats.usd(usd), formats.interval(lower, upper))


def _basis(estimate: ValueAtRisk) -> Cell:
    """The days that a figure comes from, or which method stands in and why."""
    if estimate.is_fallback:
        return text(f"Fallback: {_method(estimate.method)}", estimate.reason or "no reason given")
    days = f"{estimate.window_observations:,} days"
    tail = f"{estimate.tail_observations:,} worst of {days}" if estimate.tail_observations > 1 else f"Worst of {days}"
    is_short = estimate.observations < estimate.window_observations
    return text(tail, f"only {estimate.observations:,} observed" if is_short else "")


def _method(method: str, is_fallback: bool = False) -> str:
    return formats.words(method, formats.METHOD_WORDS) + (" (fallback)" if is_fallback else "")


def _price_status(position: Position) -> Cell:
    label = formats.words(position.price_status, formats.PRICE_STATUS_WORDS)
    seconds = position.price_age_seconds
    mark = f"{markup.tag(position.price_status, label)} {markup.simulated_tag(position.is_simulated)}"
    age = "never had a price" if seconds is None else f"{markup.age_span(ASSET_AGE + position.asset)} old"
    return Cell(f'{mark}<span class="under">{age}</span>')


def _value_caveat(position: Position) -> str:
    if position.exposure_usd is None:
        return "no price"
    return "at the last price" if position.price_status in ("stale", "missing") else ""


def _trigger(price: LiquidationPrice | None, account: MarginHealth) -> Cell:
    if price is None:
        return text(formats.UNKNOWN)
    if price.trigger_price_usd is None:
        return text(formats.words(price.reason or "unknown", formats.REASON_WORDS))
    return text(formats.price(price.trigger_price_usd), triggers.distance_words(price, account))


def _health(account: MarginHealth) -> Cell:
    if account.status == "no_debt":
        return text("No debt")
    shown = formats.health(account.health_pct)
    return Cell(escape(shown), "last value" if account.status == "unpriced" and account.health_pct is not None else "")


def _threshold(event: MarginEventRow) -> str:
    return "" if event.threshold_pct is None else f"threshold {formats.plain_percent(event.threshold_pct)}"

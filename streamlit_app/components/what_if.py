"""The answer to a what-if as markup: before and after beside each other."""

from __future__ import annotations

from decimal import Decimal

from streamlit_app.components import formats, gauge, markup, tables, triggers
from streamlit_app.components.gauge import Gauge, GaugeState
from streamlit_app.components.markup import Cell, Column, text
from streamlit_app.what_if import Answer, Estimate, Start, Trigger

STORED_NOTHING = "Nothing of it is stored, and no account is changed."


def result_sections(before: Answer, after: Answer, start: Start) -> dict[str, str]:
    """Gauges, figures, trigger prices, and what everything rests on, by name."""
    zones = gauge.zones_of(start.liquidation_pct, start.margin_call_pct)
    simulated = markup.simulated_tag(after.is_simulated)
    legend = gauge.legend(zones)
    was, now = (
        markup.card(markup.head(title, simulated), f"{gauge.gauge_svg(_gauge(answer, zones))}{legend}")
        for title, answer in (("Before", before), ("After", after))
    )
    return {
        "gauges": markup.pair(was, now),
        "figures": markup.card(markup.head("Before and after", simulated), _figures(before, after)),
        "prices": markup.card(markup.head("Trigger prices before and after", simulated), _triggers(before, after)),
        "basis": basis_html(after, start),
    }


def basis_html(answer: Answer, start: Start) -> str:
    """What the figures rest on, and what is uncertain about them."""
    closes = [
        f"{each.asset} at the close of {each.price_date.isoformat()}"
        for each in answer.assets
        if each.price_source == "close" and each.price_date is not None
    ]
    parts = [STORED_NOTHING]
    if start.uncertain:
        parts.append(f"No current price of {', '.join(start.uncertain)}: the last one known is used.")
    if closes:
        parts.append(f"Without a price given: {'; '.join(closes)}.")
    parts.append(
        f"Losses from daily closes up to {answer.as_of_date.isoformat()}, price set {answer.price_set_id}. "
        f"Margin call below {formats.plain_percent(start.margin_call_pct)}, liquidation below "
        f"{formats.plain_percent(start.liquidation_pct)}."
    )
    return markup.note(" ".join(parts))


def _gauge(answer: Answer, zones: tuple[gauge.Zone, ...]) -> Gauge:
    state = GaugeState.PRICED if answer.health.health_pct is not None else GaugeState.UNPRICED
    if answer.health.status == "no_debt":
        state = GaugeState.NO_DEBT
    return Gauge(answer.health.health_pct, state, zones)


def _figures(before: Answer, after: Answer) -> str:
    columns = (Column("Figure"), Column("Before", True), Column("After", True), Column("Change", True))
    was, now = before.health, after.health
    rows = [
        (text("Status"), Cell(tables.status_tag(was.status)), Cell(tables.status_tag(now.status)), text("")),
        (
            text("Margin health"),
            _health(was.health_pct),
            _health(now.health_pct),
            _points(was.health_pct, now.health_pct),
        ),
        _usd_row("Collateral", was.collateral_usd, now.collateral_usd),
        _usd_row("Borrow", was.borrow_usd, now.borrow_usd),
        _usd_row(
            f"Deposit that brings health to {formats.plain_percent(now.cure.target_pct)}",
            was.cure.deposit_usd,
            now.cure.deposit_usd,
        ),
        _usd_row("Or repayment", was.cure.repay_usd, now.cure.repay_usd),
    ]
    earlier = {(each.confidence, each.horizon_days): each for each in before.estimates}
    for each in after.estimates:
        old = earlier.get((each.confidence, each.horizon_days))
        words = f"{formats.plain_percent(each.confidence * 100)}, {formats.count(each.horizon_days, 'day')}"
        rows.append(_estimate_row(f"Value at Risk {words}", old, each, "var_usd"))
        rows.append(_estimate_row(f"Expected Shortfall {words}", old, each, "es_usd"))
    return markup.table("Before and after", columns, rows)


def _health(value: Decimal | None) -> Cell:
    return text("No debt" if value is None else formats.health(value))


def _points(was: Decimal | None, now: Decimal | None) -> Cell:
    if was is None or now is None:
        return text("")
    words = formats.change(now - was).removesuffix("%")
    return text(f"{words} points")


def _usd_row(name: str, was: Decimal | None, now: Decimal | None) -> tuple[Cell, ...]:
    return text(name), text(formats.usd(was)), text(formats.usd(now)), _difference(was, now)


def _difference(was: Decimal | None, now: Decimal | None) -> Cell:
    if was is None or now is None:
        return text("")
    words = formats.usd(now - was)
    return text(f"+{words}" if now > was else words)


def _estimate_row(name: str, was: Estimate | None, now: Estimate, figure: str) -> tuple[Cell, ...]:
    old: Decimal | None = getattr(was, figure) if was is not None else None
    new: Decimal | None = getattr(now, figure)
    return text(name, _method(now)), _loss(old, was), _loss(new, now), _difference(old, new)


def _method(estimate: Estimate) -> str:
    name = formats.words(estimate.method, formats.METHOD_WORDS)
    days = formats.count(estimate.window_observations, "day")
    return f"{name} (fallback), {days}" if estimate.is_fallback else f"{name}, {days}"


def _loss(value: Decimal | None, estimate: Estimate | None) -> Cell:
    if value is None:
        return text("No figure", (estimate.reason if estimate is not None else None) or "no reason given")
    return text(formats.usd(value))


def _triggers(before: Answer, after: Answer) -> str:
    columns = (
        Column("Asset"),
        Column("Threshold"),
        Column("Valued at after", True),
        Column("Trigger before", True),
        Column("Trigger after", True),
    )
    earlier = {(each.asset, each.threshold): each for each in before.liquidation_prices}
    valued = {each.asset: each.price_usd for each in after.assets}
    rows = [
        (
            text(each.asset),
            text(formats.words(each.threshold, triggers.THRESHOLD_WORDS)),
            text(formats.price(valued.get(each.asset))),
            _trigger(earlier.get((each.asset, each.threshold))),
            _trigger(each),
        )
        for each in sorted(after.liquidation_prices, key=lambda each: each.trigger_price_usd is None)
    ]
    return markup.table("Trigger prices before and after", columns, rows)


def _trigger(found: Trigger | None) -> Cell:
    if found is None:
        return text("Not held")
    if found.trigger_price_usd is None:
        return text(formats.words(found.reason or "unknown", formats.REASON_WORDS))
    return text(formats.price(found.trigger_price_usd))

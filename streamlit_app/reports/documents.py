"""The reports as PDF: what stands on them, in the words of the pages."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from assets.risk.queries import AssetExposure, Exposure, LiquidationPrice, MarginEventRow, MarginHealth, ValueAtRisk
from streamlit_app.components import formats, triggers
from streamlit_app.components.breakdown import Position
from streamlit_app.components.gauge import Gauge, GaugeState, zones_of
from streamlit_app.components.model_risk import VERDICT_WORDS, worst_verdict
from streamlit_app.reports.content import EVENT_ROWS, EVENTS_WITHIN, AccountContent, BookContent
from streamlit_app.reports.pdf import Columns, Report

BOOK_TITLE = "Portfolio report"
ACCOUNT_TITLE = "Account report"
SIMULATED = "Simulated: these figures rest on prices that a simulator made up, not on a market."
SIMULATED_MARK, UNPRICED_MARK = "SIMULATED PRICES", "UNPRICED: NOT CURRENT"
_POSITIONS = Columns(
    ("Asset", "Side", "Quantity", "Price", "Price status", "Value"), (14, 16, 34, 28, 30, 32), frozenset({2, 3, 5})
)
_ESTIMATES = Columns(
    ("Confidence", "Horizon", "Value at Risk", "Expected Shortfall", "Rests on"),
    (18, 14, 40, 40, 46),
    frozenset({2, 3}),
)
_EVENTS = Columns(
    ("Detected", "Account", "Event", "Health", "Collateral", "Borrow"), (36, 26, 24, 18, 32, 32), frozenset({3, 4, 5})
)
_ACCOUNTS = Columns(
    ("Account", "Status", "Health", "Collateral", "Borrow", "Thresholds"),
    (30, 26, 20, 36, 36, 30),
    frozenset({2, 3, 4}),
)
_TRIGGERS = Columns(("Asset", "Price now", "Margin call at", "Liquidation at"), (14, 30, 60, 60))


def book_pdf(content: BookContent) -> bytes:
    """The report of the whole book."""
    summary = content.summary
    marks = [SIMULATED_MARK] if summary.is_simulated else []
    if not summary.is_complete:
        marks.append(UNPRICED_MARK)
    report = Report(BOOK_TITLE, content.as_of, marks)
    report.heading(BOOK_TITLE, f"The whole book: {formats.count(summary.accounts, 'account')}.")
    caveats = [SIMULATED] if summary.is_simulated else []
    if not summary.is_complete:
        unpriced = formats.count(summary.unpriced, "account is", "accounts are")
        caveats.append(
            f"{unpriced} unpriced: the health of the book is unknown, and totals rest on old or missing prices."
        )
    report.caveats([*caveats, *_stale(content.assets), *_late(summary.late_events_pending), *_model(content)])
    state = GaugeState.PRICED if summary.is_complete and summary.health_pct is not None else GaugeState.UNPRICED
    if summary.borrow_usd <= 0 and summary.is_complete:
        state = GaugeState.NO_DEBT
    thresholds = content.nearest[0] if content.nearest else None
    zones = (
        zones_of(thresholds.liquidation_threshold_pct, thresholds.margin_call_threshold_pct)
        if thresholds is not None
        else ()
    )
    report.gauge_and_facts(
        Gauge(summary.health_pct, state, zones),
        (
            ("Collateral", formats.usd(summary.collateral_usd)),
            ("Borrow", formats.usd(summary.borrow_usd)),
            ("Equity", formats.usd(summary.collateral_usd - summary.borrow_usd)),
            ("Liquidation", formats.count(summary.liquidation, "account")),
            ("Margin call", formats.count(summary.margin_call, "account")),
            ("Unpriced", formats.count(summary.unpriced, "account")),
            ("Healthy; no debt", f"{summary.healthy:,}; {summary.no_debt:,}"),
        ),
    )
    report.section("Assets held and owed")
    _positions(report, content.assets)
    _estimates(report, content.estimates)
    shown = len(content.nearest)
    note = f"The {shown:,} that need eyes first, unpriced ones on top; all {summary.accounts:,} are in the CSV export."
    report.section("Accounts nearest to margin call", note if shown < summary.accounts else "Unpriced ones on top.")
    if content.nearest:
        report.rows(_ACCOUNTS, [_account(account) for account in content.nearest])
    else:
        report.say("No account.")
    _events(report, content.events)
    return bytes(report.output())


def account_pdf(content: AccountContent) -> bytes:
    """The report of one account."""
    health = content.health
    is_unpriced = health.status == "unpriced"
    marks = [SIMULATED_MARK] if health.is_simulated else []
    if is_unpriced:
        marks.append(UNPRICED_MARK)
    report = Report(f"{ACCOUNT_TITLE} {health.account_id}", content.as_of, marks)
    status = formats.words(health.status, formats.STATUS_WORDS)
    report.heading(f"{ACCOUNT_TITLE} {health.account_id}", f"Status: {status}.")
    caveats = [SIMULATED] if health.is_simulated else []
    if is_unpriced:
        caveats.append(
            f"Unpriced: {triggers.unpriced_words(health, content.positions)}. The last value is not current."
        )
    if health.has_negative_position:
        caveats.append("A position is below zero: an event may be missing.")
    if health.has_degraded_price:
        caveats.append("A price of degraded quality was used.")
    stale = [] if is_unpriced else _stale(content.positions)
    report.caveats([*caveats, *stale, *_late(health.late_events_pending)])
    report.gauge_and_facts(
        Gauge(
            health.health_pct,
            _state(health),
            zones_of(health.liquidation_threshold_pct, health.margin_call_threshold_pct),
        ),
        (
            ("Collateral", formats.usd(health.collateral_usd)),
            ("Borrow", formats.usd(health.borrow_usd)),
            ("Equity", formats.usd(health.collateral_usd - health.borrow_usd)),
            ("Early warning below", _pct(health.early_warning_threshold_pct)),
            ("Margin call below", _pct(health.margin_call_threshold_pct)),
            ("Liquidation below", _pct(health.liquidation_threshold_pct)),
            ("Last settlement", formats.moment(health.last_event_at)),
        ),
    )
    report.say(_who(content))
    report.section("Positions")
    _positions(report, content.positions)
    report.section("Margin-call and liquidation prices", "Each while all other prices stay.")
    _triggers(report, content.triggers, health)
    _estimates(report, content.estimates)
    _events(report, content.events)
    return bytes(report.output())


def _state(health: MarginHealth) -> GaugeState:
    if health.status == "no_debt":
        return GaugeState.NO_DEBT
    is_unknown = health.status == "unpriced" or health.health_pct is None
    return GaugeState.UNPRICED if is_unknown else GaugeState.PRICED


def _stale(positions: Sequence[Position]) -> list[str]:
    """Assets whose price is not current, with its age."""
    found = {each.asset: each for each in positions if each.price_status in ("stale", "missing")}
    return [
        f"{asset} has no current price; "
        + (
            "it never had one."
            if each.price_age_seconds is None
            else f"the last is {formats.age(each.price_age_seconds)} old."
        )
        for asset, each in sorted(found.items())
    ]


def _late(events: int) -> list[str]:
    return [f"{formats.count(events, 'late event')} waiting for the next compaction are not in it."] if events else []


def _model(content: BookContent) -> list[str]:
    verdict = worst_verdict(content.backtests)
    if verdict == "green":
        return []
    reasons = "; ".join(
        each.verdict_reason for each in content.backtests if each.verdict == verdict and each.backtest_kind == "history"
    )
    words = f"Backtest of the Value at Risk model: {formats.words(verdict, VERDICT_WORDS)}."
    return [f"{words} {reasons}".strip()]


def _pct(value: Decimal | None) -> str:
    return "none" if value is None else formats.plain_percent(value)


def _who(content: AccountContent) -> str:
    own = content.own_thresholds
    if own is None:
        return "All thresholds are the defaults of the installation."
    return f"Thresholds set for this account by {own.set_by} at {formats.moment(own.set_at)}."


def _positions(report: Report, positions: Sequence[AssetExposure] | Sequence[Exposure]) -> None:
    if not positions:
        report.say("No position.")
        return
    report.rows(_POSITIONS, [_position(each) for each in positions])


def _position(each: Position) -> tuple[str, ...]:
    status = formats.words(each.price_status, formats.PRICE_STATUS_WORDS)
    age = "never had a price" if each.price_age_seconds is None else f"{formats.age(each.price_age_seconds)} old"
    return (
        each.asset,
        "Collateral" if each.side == "collateral" else "Borrow",
        formats.quantity(each.quantity, each.asset),
        formats.price(each.price_usd),
        f"{status}, {age}",
        formats.usd(each.exposure_usd),
    )


def _triggers(report: Report, prices: Sequence[LiquidationPrice], health: MarginHealth) -> None:
    by_asset: dict[str, dict[str, LiquidationPrice]] = {}
    for price in prices:
        by_asset.setdefault(price.asset, {})[price.threshold] = price
    rows = [
        (
            asset,
            formats.price(next(iter(found.values())).price_usd),
            _trigger(found.get("margin_call"), health),
            _trigger(found.get("liquidation"), health),
        )
        for asset, found in by_asset.items()
    ]
    if rows:
        report.rows(_TRIGGERS, rows)
    else:
        report.say("No position.")


def _trigger(price: LiquidationPrice | None, health: MarginHealth) -> str:
    if price is None:
        return formats.UNKNOWN
    if price.trigger_price_usd is None:
        return formats.words(price.reason or "unknown", formats.REASON_WORDS)
    return f"{formats.price(price.trigger_price_usd)}, {triggers.distance_words(price, health)}"


def _estimates(report: Report, estimates: Sequence[ValueAtRisk]) -> None:
    if not estimates:
        report.section("Value at Risk and Expected Shortfall")
        report.say("No figure yet. It is made by the risk_daily_job.")
        return
    first = estimates[0]
    level = formats.plain_percent(first.interval_confidence * 100)
    note = (
        f"Losses over the horizon, positions and closes of {first.as_of_date.isoformat()}, price set "
        f"{first.price_set_id}; in brackets the {level} interval."
    )
    report.section("Value at Risk and Expected Shortfall", note)
    report.rows(_ESTIMATES, [_estimate(each) for each in estimates])


def _estimate(each: ValueAtRisk) -> tuple[str, ...]:
    method = formats.words(each.method, formats.METHOD_WORDS)
    basis = f"{method}, {each.observations:,} of {formats.count(each.window_observations, 'day')}"
    if each.is_fallback:
        basis = f"Fallback: {basis}. {each.reason or 'No reason given'}"
    return (
        formats.plain_percent(each.confidence * 100),
        formats.count(each.horizon_days, "day"),
        _loss(each.var_usd, each.var_lower_usd, each.var_upper_usd, each),
        _loss(each.es_usd, each.es_lower_usd, each.es_upper_usd, each),
        basis,
    )


def _loss(value: Decimal | None, lower: Decimal | None, upper: Decimal | None, estimate: ValueAtRisk) -> str:
    if value is None:
        return f"No figure: {estimate.reason or 'no reason given'}"
    interval = formats.interval(lower, upper)
    return f"{formats.usd(value)} ({interval})" if interval else formats.usd(value)


def _account(account: MarginHealth) -> tuple[str, ...]:
    health = "no debt" if account.status == "no_debt" else formats.health(account.health_pct)
    if account.status == "unpriced":
        health = f"last {health}"
    call, liquidation = account.margin_call_threshold_pct, account.liquidation_threshold_pct
    return (
        account.account_id,
        formats.words(account.status, formats.STATUS_WORDS),
        health,
        formats.usd(account.collateral_usd),
        formats.usd(account.borrow_usd),
        f"{formats.plain_percent(call)} / {formats.plain_percent(liquidation)}",
    )


def _events(report: Report, events: Sequence[MarginEventRow]) -> None:
    report.section("Margin events", f"The last {EVENTS_WITHIN.days} days, newest first, at most {EVENT_ROWS}.")
    if not events:
        report.say("None.")
        return
    rows = [
        (
            formats.moment(event.detected_at),
            event.account_id,
            formats.words(event.severity, formats.SEVERITY_WORDS),
            formats.health(event.health_pct),
            formats.usd(event.collateral_usd),
            formats.usd(event.borrow_usd),
        )
        for event in events
    ]
    report.rows(_EVENTS, rows)

"""The charts of Value at Risk as options of ECharts with their words: distribution, components, forecasts, stress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from assets.risk.queries import ValueAtRisk
from assets.risk.stress_queries import StressedAccount, StressResult
from assets.risk.var_page_queries import DayPnl, Forecast, ScenarioPnl
from assets.risk.var_queries import VarComponent, VarException
from streamlit_app.components import chart_options as options
from streamlit_app.components import formats
from streamlit_app.components.chart_options import ALARM, CALM, QUIET, SECOND, WARNING, Option, point, series

LADDER = "ladder"
SHOWN_PARTS = 15


@dataclass(frozen=True)
class Drawing:
    """A chart: its option, and what it shows in words."""

    option: Option
    summary: str


def distribution(scenarios: Sequence[ScenarioPnl], estimate: ValueAtRisk | None) -> Drawing | None:
    """How often each P&L comes up among the scenarios, with Value at Risk and Expected Shortfall marked.

    None where no scenario is known. A scenario that is unknown is counted, never drawn.
    """
    known = [each.pnl_usd for each in scenarios if each.pnl_usd is not None]
    if not known:
        return None
    var = None if estimate is None else estimate.var_usd
    shortfall = None if estimate is None else estimate.es_usd
    losses = [-loss for loss in (var, shortfall) if loss is not None]
    unit = options.unit_of([*known, *losses])
    found = options.bins(known, None if var is None else -var)
    total = formats.count(len(known), "scenario")
    marks = []
    if estimate is not None and var is not None:
        marks.append(options.mark(unit.of(-var), f"VaR {formats.usd(var)}", ALARM, position="insideEndBottom"))
    if estimate is not None and shortfall is not None:
        marks.append(options.mark(unit.of(-shortfall), f"ES {formats.usd(shortfall)}", SECOND, "dashed"))
    columns = []
    for name, colour, counts in (
        ("Loss at or beyond VaR", ALARM, [each.beyond for each in found]),
        ("Other scenarios", CALM, [each.within for each in found]),
    ):
        # Columns stand on each other by their place: none may be left out.
        data = [
            point(unit.of(each.middle), count, f"{_range(each)}: {count:,} of {total}")
            for each, count in zip(found, counts, strict=True)
        ]
        if any(counts):
            columns.append(series("bar", name, data, colour, stack="count", barCategoryGap="6%"))
    if marks:
        columns[0]["markLine"] = {"symbol": "none", "silent": True, "data": marks}
    ends = [unit.of(found[0].low), unit.of(found[-1].high), *(unit.of(each) for each in losses)]
    option = options.base(has_x_name=True) | {
        "xAxis": options.x_axis(f"P&L, {unit.words}", min=min(ends), max=max(ends)),
        "yAxis": options.y_axis("Scenarios", minInterval=1),
        "series": columns,
    }
    return Drawing(option, _distribution_words(known, len(scenarios), estimate))


def components(parts: Sequence[VarComponent]) -> Drawing | None:
    """What each part adds to the book's Expected Shortfall, the largest on top."""
    known = [each for each in parts if each.component_es_usd is not None][:SHOWN_PARTS]
    if not known:
        return None
    amounts = [each.component_es_usd or Decimal(0) for each in known]
    unit = options.unit_of(amounts)
    data = [
        {
            "value": unit.of(amount),
            "name": f"{each.part_id}: {formats.usd(amount)}",
            "itemStyle": {"color": CALM if amount >= 0 else SECOND},
        }
        for each, amount in zip(known, amounts, strict=True)
    ]
    option = options.base(legend=False, has_x_name=True, has_y_name=False) | {
        "xAxis": options.x_axis(f"Adds to Expected Shortfall, {unit.words}"),
        "yAxis": {"type": "category", "inverse": True, "data": [each.part_id for each in known]},
        "series": [{"type": "bar", "name": "Component of ES", "data": data}],
    }
    first = f"{known[0].part_id} adds most, {formats.usd(amounts[0])}"
    hedges = [each.part_id for each, amount in zip(known, amounts, strict=True) if amount < 0]
    less = f"; {', '.join(hedges)} {'takes' if len(hedges) == 1 else 'take'} away from it" if hedges else ""
    of = f" of {formats.usd(known[0].book_es_usd)}" if known[0].book_es_usd is not None else ""
    return Drawing(option, f"{first}{of}{less}.")


def forecasts(found: Sequence[Forecast], exceptions: Sequence[VarException]) -> Drawing | None:
    """The forecasts as they were made, and the P&L that followed; days whose loss was larger are marked."""
    followed = [each for each in found if each.pnl_date is not None and each.pnl_usd is not None]
    forecast = [each for each in found if each.var_usd is not None]
    if not forecast:
        return None
    unit = options.unit_of([each.var_usd or 0 for each in forecast] + [each.pnl_usd or 0 for each in followed])
    limit = [
        point(
            each.as_of_date,
            unit.of(-(each.var_usd or Decimal(0))),
            f"{each.as_of_date}: VaR forecast {formats.usd(each.var_usd)}",
        )
        for each in forecast
    ]
    pnl = [(each.pnl_date, each.pnl_usd) for each in followed]
    option = _history_option(pnl, exceptions, unit)
    option["series"].append(series("line", "VaR forecast, as a loss", limit, ALARM, step="end", symbolSize=5))
    return Drawing(option, _followed_words(len(followed), exceptions, "since the first forecast"))


def past(days: Sequence[DayPnl], exceptions: Sequence[VarException]) -> Drawing | None:
    """P&L of past days on the positions of today, with the days that the forecast of the model did not cover."""
    known = [(each.pnl_date, each.pnl_usd) for each in days if each.pnl_usd is not None]
    if not known:
        return None
    first = known[0][0]
    shown = [each for each in exceptions if each.exception_date >= first]
    unit = options.unit_of([amount or 0 for _, amount in known])
    option = _history_option(known, shown, unit)
    limits = [
        point(
            each.exception_date,
            unit.of(-each.var_usd),
            f"{each.exception_date}: VaR forecast {formats.usd(each.var_usd)}",
        )
        for each in shown
    ]
    option["series"].append(
        series("scatter", "VaR forecast of that day", limits, ALARM, symbol="rect", symbolSize=[12, 3])
    )
    return Drawing(option, _followed_words(len(known), shown, f"since {first}, positions of today held still"))


def scenarios(results: Sequence[StressResult | StressedAccount], name_of: Callable[[str], str]) -> Drawing | None:
    """P&L of each scenario that is no step of the ladder; unknown ones are named, not drawn."""
    wanted = [each for each in results if each.kind != LADDER]
    known = [each for each in wanted if each.pnl_usd is not None]
    if not known:
        return None
    unit = options.unit_of([each.pnl_usd or 0 for each in known])
    data = [
        {
            "value": unit.of(each.pnl_usd or Decimal(0)),
            "name": f"{name_of(each.scenario_id)}: {formats.usd(each.pnl_usd)}",
            "itemStyle": {"color": CALM if (each.pnl_usd or 0) >= 0 else WARNING},
        }
        for each in known
    ]
    option = options.base(legend=False, has_x_name=True, has_y_name=False) | {
        "xAxis": options.x_axis(f"P&L, {unit.words}"),
        "yAxis": {"type": "category", "inverse": True, "data": [name_of(each.scenario_id) for each in known]},
        "series": [{"type": "bar", "name": "P&L", "data": data}],
    }
    worst = min(known, key=lambda each: each.pnl_usd or Decimal(0))
    words = f"{name_of(worst.scenario_id)} is the worst with {formats.usd(worst.pnl_usd)}"
    unknown = len(wanted) - len(known)
    missing = f"; of {formats.count(unknown, 'scenario')} the result is unknown" if unknown else ""
    return Drawing(option, f"{words}, of {formats.count(len(known), 'scenario')}{missing}.")


def ladder(results: Sequence[StressResult]) -> Drawing | None:
    """What must be sold and what stays uncovered at each step of the ladder, and how many accounts are liquidated."""
    steps = [each for each in results if each.kind == LADDER]
    known = [each for each in steps if each.collateral_to_sell_usd is not None]
    if not known:
        return None
    unit = options.unit_of([each.collateral_to_sell_usd or 0 for each in known])
    columns = []
    for name, colour, amounts in (
        ("Collateral to sell", CALM, [each.collateral_to_sell_usd for each in known]),
        ("Bad debt", ALARM, [each.bad_debt_usd for each in known]),
    ):
        data = [
            {
                "value": None if amount is None else unit.of(amount),
                "name": f"{each.name}: {name.lower()} {formats.usd(amount)}",
            }
            for each, amount in zip(known, amounts, strict=True)
        ]
        columns.append(series("bar", name, data, colour))
    counts = [
        {"value": each.liquidation_accounts, "name": f"{each.name}: {each.liquidation_accounts} liquidations"}
        for each in known
    ]
    columns.append(series("line", "Liquidations", counts, QUIET, yAxisIndex=1, symbol="diamond", symbolSize=8))
    option = options.base() | {
        "xAxis": {"type": "category", "data": [each.name.removeprefix("Ladder ") for each in known]},
        "yAxis": [
            options.y_axis(unit.words),
            options.y_axis("Accounts", "right", minInterval=1, splitLine={"show": False}),
        ],
        "series": columns,
    }
    return Drawing(option, _ladder_words(steps, known))


def _history_option(
    pnl: Sequence[tuple[date | None, Decimal | None]], exceptions: Sequence[VarException], unit: options.Unit
) -> Option:
    beyond = {each.exception_date for each in exceptions}
    days = [
        point(day, unit.of(amount), f"{day}: P&L {formats.usd(amount)}")
        for day, amount in pnl
        if day is not None and amount is not None and day not in beyond
    ]
    marked = [
        point(
            each.exception_date,
            unit.of(each.pnl_usd),
            f"{each.exception_date}: exception, P&L {formats.usd(each.pnl_usd)}, "
            f"{formats.usd(each.excess_usd)} beyond VaR of {formats.usd(each.var_usd)}",
        )
        for each in exceptions
    ]
    return options.base() | {
        "xAxis": options.time_axis(),
        "yAxis": options.y_axis(f"P&L, {unit.words}"),
        "series": [
            series("scatter", "P&L of the day", days, CALM, symbolSize=4),
            series("scatter", "Exception", marked, ALARM, symbol="diamond", symbolSize=13),
        ],
    }


def _range(each: options.Bin) -> str:
    low, high = Decimal(repr(round(each.low, 2))), Decimal(repr(round(each.high, 2)))
    return formats.interval(low, high) + " USD"


def _distribution_words(known: Sequence[Decimal], total: int, estimate: ValueAtRisk | None) -> str:
    words = f"{formats.count(len(known), 'scenario')} from {formats.usd(min(known))} to {formats.usd(max(known))}"
    if total > len(known):
        words += f"; {formats.count(total - len(known), 'scenario')} unknown, for a return is missing"
    if estimate is None or estimate.var_usd is None:
        return f"{words}. No Value at Risk to mark."
    confidence = formats.plain_percent(estimate.confidence * 100)
    beyond = sum(1 for each in known if options.is_beyond(each, -estimate.var_usd))
    return (
        f"{words}. Value at Risk at {confidence} is {formats.usd(estimate.var_usd)}, Expected Shortfall "
        f"{formats.usd(estimate.es_usd)}; {formats.count(beyond, 'scenario')} at or beyond Value at Risk."
    )


def _followed_words(days: int, exceptions: Sequence[VarException], since: str) -> str:
    if not days:
        return f"No day {since} has a known P&L yet."
    words = f"{formats.count(len(exceptions), 'exception')} in {formats.count(days, 'day')} with a P&L {since}"
    if not exceptions:
        return f"{words}."
    worst = max(exceptions, key=lambda each: each.excess_usd)
    return (
        f"{words}; the worst on {worst.exception_date}: P&L {formats.usd(worst.pnl_usd)} against a Value at Risk of "
        f"{formats.usd(worst.var_usd)}."
    )


def _ladder_words(steps: Sequence[StressResult], known: Sequence[StressResult]) -> str:
    last = known[-1]
    words = (
        f"At {last.name.removeprefix('Ladder ')} {formats.count(last.liquidation_accounts or 0, 'account')} must be "
        f"liquidated, {formats.usd(last.collateral_to_sell_usd)} sold and {formats.usd(last.bad_debt_usd)} is uncovered"
    )
    first = next((each for each in known if (each.bad_debt_usd or 0) > 0), None)
    debt = f"; bad debt begins at {first.name.removeprefix('Ladder ')}" if first else "; no step leaves bad debt"
    bounds = any(each.unknown_accounts for each in known)
    unknown = f"; {formats.count(len(steps) - len(known), 'step')} unknown" if len(steps) > len(known) else ""
    return words + debt + unknown + ("; some accounts are unknown, so these are lower bounds." if bounds else ".")

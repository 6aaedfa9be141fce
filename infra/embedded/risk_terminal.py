"""How `ballast risk` shows a report: tables, a chart of scenarios in blocks, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from itertools import groupby
from typing import Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.embedded.risk_report import Agreement, Compared, Held, RiskReport

CHART_WIDTH, CHART_HEIGHT = 64, 8
BLOCKS = " ▁▂▃▄▅▆▇█"
MARK = "▲"
_EIGHTHS = len(BLOCKS) - 1
_STYLES = {Agreement.AGREES: "green", Agreement.DIFFERS: "red", Agreement.NOT_STORED: "dim"}
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)
Justify = Literal["left", "right"]


def render(found: RiskReport) -> RenderableType:
    """The whole report."""
    parts: list[RenderableType] = [heading(found)]
    by_method = groupby(found.compared, key=lambda each: (each.estimate.method, each.estimate.is_fallback))
    parts += [estimates_table(list(rows)) for _method, rows in by_method]
    if found.components:
        parts.append(components_table(found))
    drawn = chart(found)
    if drawn is not None:
        parts.append(drawn)
    return Group(*(each for part in parts for each in (part, "")))


def heading(found: RiskReport) -> Text:
    """What was computed, of what."""
    question = found.question
    ahead = "1 day" if question.horizon_days == 1 else f"{question.horizon_days} days"
    mark = ", simulated closes" if found.is_simulated else ""
    return Text.assemble(
        (f"Risk of {question.portfolio} at the end of {found.as_of} (UTC)\n", "bold"),
        f"{ahead} ahead, window of {question.window} days, price set {found.price_set_id}{mark}; ",
        "in USD, a loss is positive",
    )


def estimates_table(rows: Sequence[Compared]) -> Table:
    """Estimates of one method by confidence, with their intervals and beside them what is stored.

    A fallback says that it is one, and for what; a row without a figure says why.
    """
    first = rows[0].estimate
    fallback = ", fallback" if first.is_fallback else ""
    table = _table(
        f"{first.method}{fallback} ({first.estimator}, {first.horizon_rule}, {first.observations} observations)",
        {"": "right", "VaR": "right", "ES": "right", "stored VaR": "right", "stored ES": "right", "stored": "left"},
    )
    for row in rows:
        estimate, stored = row.estimate, row.stored
        table.add_row(
            percent(estimate.confidence),
            with_interval(estimate.var_usd, estimate.var_lower_usd, estimate.var_upper_usd),
            with_interval(estimate.es_usd, estimate.es_lower_usd, estimate.es_upper_usd),
            usd(stored.var_usd) if stored else "",
            usd(stored.es_usd) if stored else "",
            Text(row.agreement, style=_STYLES[row.agreement]),
        )
    reasons = dict.fromkeys(each.estimate.reason for each in rows if each.estimate.reason)
    has_interval = any(each.estimate.var_lower_usd is not None for each in rows)
    below = [f"below a figure: its {percent(first.interval_confidence)} interval"] if has_interval else []
    table.caption = Text("\n".join([*(f"reason: {reason}" for reason in reasons), *below]))
    return table


def components_table(found: RiskReport) -> Table:
    """What each asset adds to VaR and ES at one confidence; the column of components sums to the figure."""
    table = _table(
        f"Components of historical VaR and ES at {percent(found.shown_confidence)}, by asset",
        {"asset": "left"}
        | dict.fromkeys(("net exposure", "VaR", "of VaR", "ES", "VaR per USD", "VaR without it", "VaR alone"), "right"),
    )
    rows = sorted(found.components, key=lambda each: each.component_var_usd, reverse=True)
    with localcontext(_WIDE):
        var_usd = sum((each.component_var_usd for each in rows), Decimal(0))
        es_usd = sum((each.component_es_usd for each in rows), Decimal(0))
        exposure_usd = sum((each.exposure_usd for each in rows), Decimal(0))
        for each in rows:
            table.add_row(
                each.asset,
                usd(each.exposure_usd),
                usd(each.component_var_usd),
                _share(each.component_var_usd, var_usd),
                usd(each.component_es_usd),
                "-" if each.marginal_var_ratio is None else f"{each.marginal_var_ratio:,.4f}",
                usd(var_usd - each.incremental_var_usd),
                usd(each.standalone_var_usd),
            )
    table.add_section()
    table.add_row("all", usd(exposure_usd), usd(var_usd), _share(var_usd, var_usd), usd(es_usd), "", "", "")
    return table


@dataclass(frozen=True)
class Bins:
    """Scenarios by P&L, in bins of equal width from the lowest to the highest."""

    lowest: Decimal
    highest: Decimal
    counts: tuple[int, ...]

    @classmethod
    def of(cls, pnl_usd: Sequence[Decimal], bins: int = CHART_WIDTH) -> Bins:
        """Bins of these; one bin where all are alike."""
        lowest, highest = min(pnl_usd), max(pnl_usd)
        counts = [0] * (bins if highest > lowest else 1)
        made = cls(lowest, highest, tuple(counts))
        for value in pnl_usd:
            counts[made.place(value)] += 1
        return cls(lowest, highest, tuple(counts))

    def place(self, pnl_usd: Decimal) -> int:
        """The bin of a P&L; the first or the last for one beyond them."""
        if self.highest == self.lowest:
            return 0
        place = int((pnl_usd - self.lowest) / (self.highest - self.lowest) * len(self.counts))
        return min(max(place, 0), len(self.counts) - 1)


def chart(found: RiskReport) -> Text | None:
    """P&L of the scenarios as a histogram, with VaR and ES of the first method; None without scenarios."""
    shown = next((e.estimate for e in found.compared if e.estimate.confidence == found.shown_confidence), None)
    if not found.scenarios or shown is None or shown.var_usd is None or shown.es_usd is None:
        return None
    with localcontext(_WIDE):
        bins = Bins.of([each.pnl_usd for each in found.scenarios])
        tail = bins.place(-shown.var_usd)
        first, last = found.scenarios[0].scenario_date, found.scenarios[-1].scenario_date
        drawn = Text(f"P&L of {len(found.scenarios)} scenarios, {first} to {last}\n", style="bold")
        for line in bars(bins.counts):
            drawn.append(line[: tail + 1], style="red not bold").append(line[tail + 1 :] + "\n", style="not bold")
        drawn.append("─" * len(bins.counts) + "\n", style="not bold")
        for name, loss_usd in (("VaR", shown.var_usd), ("ES", shown.es_usd)):
            place = bins.place(-loss_usd)
            words = f"{name} {percent(found.shown_confidence)} {usd(loss_usd)} ({shown.method})"
            drawn.append(f"{' ' * place}{MARK} {words}\n", style="red not bold")
        ends = usd(bins.lowest), usd(bins.highest)
        drawn.append(f"{ends[0]}{ends[1]:>{max(len(bins.counts) - len(ends[0]), len(ends[1]) + 1)}}", style="not bold")
    return drawn


def bars(counts: Sequence[int], height: int = CHART_HEIGHT) -> list[str]:
    """Columns of blocks, from the top row down; a count above zero is never invisible."""
    most = max(counts)
    eighths = [max(-(-count * height * _EIGHTHS // most), 1) if count else 0 for count in counts]
    return [
        "".join(BLOCKS[min(max(each - row * _EIGHTHS, 0), _EIGHTHS)] for each in eighths)
        for row in range(height - 1, -1, -1)
    ]


def as_json(found: RiskReport) -> str:
    """The report as JSON; decimals are strings that keep every digit."""
    question = found.question
    document = {
        "account_id": question.account_id,
        "as_of_date": found.as_of,
        "price_set_id": found.price_set_id,
        "is_simulated": found.is_simulated,
        "is_confirmed": found.is_confirmed,
        "positions": [_position(each) for each in found.held],
        "estimates": [
            _plain(each.estimate) | {"agreement": each.agreement, "stored": each.stored and _plain(each.stored)}
            for each in found.compared
        ],
        "components": [_plain(each) for each in found.components],
        "scenarios": [_plain(each) for each in found.scenarios],
    }
    return json.dumps(document, indent=2, default=_text)


def usd(value: Decimal | None) -> str:
    """USD with thousands separators and cents; a dash where there is no figure."""
    return "-" if value is None else f"{value:,.2f}"


def percent(value: Decimal) -> str:
    """A fraction as a percentage without trailing zeros."""
    return f"{(value * 100).normalize():f}%"


def with_interval(value: Decimal | None, lower: Decimal | None, upper: Decimal | None) -> str:
    """A figure and under it its interval, in whole USD; an end that the sample does not bound is a dash."""
    if value is None or (lower is None and upper is None):
        return usd(value)
    ends = ("-" if end is None else f"{end:,.0f}" for end in (lower, upper))
    return f"{usd(value)}\n{' to '.join(ends)}"


def _share(part_usd: Decimal, whole_usd: Decimal) -> str:
    """A part in percent; a dash of a whole that is nothing. Plus zero, for a rounded share has no sign."""
    return f"{(part_usd / whole_usd).quantize(Decimal('0.001')) + 0:.1%}" if whole_usd else "-"


def _table(title: str, columns: Mapping[str, str]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    table.caption_justify = "left"
    for name, justify in columns.items():
        # Folded, for a figure that is cut off would read as another one.
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    return table


def _position(held: Held) -> dict[str, Any]:
    return _plain(held.position) | {"close_usd": held.close_usd, "net_exposure_usd": held.net_exposure_usd}


def _plain(row: Any) -> dict[str, Any]:
    return {each.name: getattr(row, each.name) for each in fields(row)}


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else str(value)

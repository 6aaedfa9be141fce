"""The charts of the oracle's page: the price of an asset with its quality marked, and how far its sources lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from assets.market_data.oracle_queries import Spread
from assets.market_data.price_quality_queries import PricePath
from streamlit_app.components import chart_options as options
from streamlit_app.components import formats
from streamlit_app.components.chart_options import ALARM, CALM, WARNING, Option, point, series
from streamlit_app.components.var_charts import Drawing

# A line across more than this many spans without a price would say that there were some.
GAP_SPANS = 2


def price_path(asset: str, path: Sequence[PricePath], bucket: timedelta) -> Drawing | None:
    """The last price of each span; spans in which some price was degraded or missing are marked."""
    known = [each for each in path if each.last_usd is not None]
    if not known:
        return None
    line: list[Option] = []
    before: datetime | None = None
    for each in known:
        if before is not None and each.bucket_at - before > GAP_SPANS * bucket:
            line.append(point(before + bucket, None, ""))
        line.append(point(each.bucket_at, float(each.last_usd or 0), _price_words(each)))
        before = each.bucket_at
    troubled = [point(each.bucket_at, float(each.last_usd or 0), _price_words(each)) for each in known if each.degraded]
    option = options.base() | {
        "xAxis": options.time_axis(),
        "yAxis": options.y_axis("USD for one unit", scale=True),
        "series": [
            series("line", f"{asset}, current", line, CALM, symbolSize=4, lineStyle={"width": 1.5}),
            series("scatter", "Degraded", troubled, WARNING, symbol="diamond", symbolSize=10),
        ],
    }
    return Drawing(option, _path_words(path, known))


def spreads(found: Sequence[Spread], limit_bp: int | None) -> Drawing | None:
    """The widest spread between the sources in each span of time, against what the oracle allows."""
    known = [each for each in found if each.most_bp is not None]
    if not known:
        return None
    line = [
        point(
            each.bucket_at,
            float(each.most_bp or 0),
            f"{formats.moment(each.bucket_at)}: at most {each.most_bp:,.1f} bp apart, last {_bp(each.last_bp)}",
        )
        for each in known
    ]
    drawn = series("line", "Sources apart, the most in a span", line, CALM, symbolSize=4, lineStyle={"width": 1.5})
    most = max(each.most_bp or Decimal(0) for each in known)
    axis = options.y_axis("Basis points", min=0)
    # A limit far above would press the line flat: then it stands in words only.
    if limit_bp is not None and most * 4 >= limit_bp:
        words = f"limit {limit_bp:,} bp"
        drawn["markLine"] = {
            "symbol": "none",
            "silent": True,
            "data": [options.mark(limit_bp, words, ALARM, "dashed", axis="yAxis", position="insideStartTop")],
        }
        axis["max"] = float(max(most, Decimal(limit_bp)) * Decimal("1.1"))
    option = options.base() | {"xAxis": options.time_axis(), "yAxis": axis, "series": [drawn]}
    return Drawing(option, _spread_words(found, known, most, limit_bp))


def _price_words(each: PricePath) -> str:
    words = f"{formats.moment(each.bucket_at)}: {formats.price(each.last_usd)}"
    if each.low_usd != each.high_usd:
        words += f", from {formats.price(each.low_usd)} to {formats.price(each.high_usd)}"
    if each.degraded:
        words += f"; {each.degraded:,} of {formats.count(each.prices, 'price')} not current"
    return words + (f": {each.reason}" if each.reason and each.degraded else "")


def _path_words(path: Sequence[PricePath], known: Sequence[PricePath]) -> str:
    low = min(each.low_usd for each in known if each.low_usd is not None)
    high = max(each.high_usd for each in known if each.high_usd is not None)
    prices, degraded = sum(each.prices for each in path), sum(each.degraded for each in path)
    missing = sum(each.missing for each in path)
    words = (
        f"From {formats.price(known[0].last_usd)} to {formats.price(known[-1].last_usd)}, lowest {formats.price(low)}, "
        f"highest {formats.price(high)}, in {formats.count(prices, 'published price')}"
    )
    trouble = f"; {degraded:,} of them not current" if degraded else "; all of them current"
    none = f", {missing:,} without a price" if missing else ""
    simulated = " Simulated." if any(each.is_simulated for each in path) else ""
    return f"{words}{trouble}{none}.{simulated}"


def _spread_words(found: Sequence[Spread], known: Sequence[Spread], most: Decimal, limit_bp: int | None) -> str:
    limit = "the limit is unknown" if limit_bp is None else f"the limit is {limit_bp:,} bp"
    alone = len(found) - len(known)
    single = f"; in {formats.count(alone, 'span')} only one source had a price" if alone else ""
    return f"At most {most:,.1f} bp apart, last {_bp(known[-1].last_bp)}; {limit}{single}."


def _bp(value: Decimal | None) -> str:
    return formats.UNKNOWN if value is None else f"{value:,.1f} bp"

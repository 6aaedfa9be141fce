"""The page *Oracle*: whether prices may be relied upon, where they come from, and when they could not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

from assets.risk.overview_queries import AssetPrice
from ingest.prices import presentation
from ingest.prices.feeds import AssetFeeds
from ingest.prices.inputs import SOURCES
from ingest.prices.presentation import MAX_SILENCE
from ingest.prices.views import OracleSourceView
from streamlit_app.components import formats, freshness, live, markup, oracle_tables, oracle_timeline, states
from streamlit_app.components.freshness import Freshness
from streamlit_app.components.oracle_tables import ANSWERED, PRICE, READING, TICKED
from streamlit_app.reads import Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.views import oracle_asset, oracle_reads, parts
from streamlit_app.views.oracle_reads import OracleReadings

TITLE = "Oracle"
TOPIC = "oracle"
LIVE_KEY = "oracle_live"
NO_PRICES = markup.banner(
    "info",
    "No price has arrived yet.",
    "It comes with the first message on <code>market.prices.v1</code>; <code>ballast up</code> starts the oracle.",
)
PRICES_TABLE = "intermediate.int_market__latest_prices"


def render() -> None:
    """The live page, and under it one asset's history."""
    parts.head(TITLE)
    page = live_page()
    live.show(LIVE_KEY, page.sections, ages=page.ages, is_old=page.is_old, topic=TOPIC)
    oracle_asset.render()


def live_page(_argument: str | None = None) -> LivePage:
    """The page now, for the hub and for the script."""
    return page_of(oracle_reads.live())


def page_of(found: OracleReadings) -> LivePage:
    """The page of these readings, or what stands in place of its figures."""
    if found.sources.value is None and found.prices.value is None:
        return parts.problem_page(found.prices)
    if not found.sources.value and not found.prices.value and found.prices.problem is None:
        return parts.state_page(NO_PRICES)
    feeds: Mapping[str, AssetFeeds] = found.feeds.value.assets if found.feeds.value else {}
    sources = presentation.source_views(found.sources.value or [], SOURCES, found.now).sources
    fresh = _freshness(found)
    sections = {
        "summary": _summary(sources, found.prices.value, found.sources),
        "sources": _sources_card(found, sources),
        "prices": _prices_card(found, feeds),
        "readings": _readings_card(found, feeds),
        "timeline": _timeline_card(found, feeds),
        "rejected": _rejected_card(found),
    }
    return parts.figures_page(sections, fresh, _ages(found, sources))


def _freshness(found: OracleReadings) -> Freshness:
    prices = found.prices.value or []
    oldest = max((each.price_age_seconds for each in prices if each.price_age_seconds is not None), default=None)
    simulated = any(each.is_simulated for each in prices)
    readings: tuple[Reading[Any], ...] = (found.sources, found.prices, found.readings)
    return freshness.freshness_of(readings, found.now, oldest, simulated, 0)


def _summary(sources: list[OracleSourceView], prices: list[AssetPrice] | None, read: Reading[Any]) -> str:
    """How many sources and prices may be relied upon; what is not known counts as not."""
    counted = sum(1 for each in sources if each.state == "closed")
    silent = all(each.state == "unknown" for each in sources)
    words = "The oracle is silent: whether any source counts is unknown" if silent else "Sources that count"
    if read.value is None:
        words = "States of the sources could not be read"
    first = (
        f'<div class="card"><dt>{words}</dt><dd>{"unknown" if silent else f"{counted} of {len(sources)}"}</dd></div>'
    )
    if prices is None:
        return f'<dl class="totals">{first}</dl>'
    statuses = Counter(each.price_status for each in prices)
    rest = "".join(
        f'<div class="card"><dt>{escape(label)}</dt><dd>{statuses.get(code, 0):,} of {len(prices):,}</dd></div>'
        for code, label in (("ok", "Prices that are current"), ("degraded", "Degraded prices"))
    )
    unusable = statuses.get("stale", 0) + statuses.get("missing", 0)
    rest += f'<div class="card"><dt>Stale or missing prices</dt><dd>{unusable:,} of {len(prices):,}</dd></div>'
    return f'<dl class="totals">{first}{rest}</dl>'


def _sources_card(found: OracleReadings, sources: list[OracleSourceView]) -> str:
    title = "Where prices come from"
    problem = states.part_problem_html(found.sources.problem, "raw.oracle_sources")
    if found.sources.value is None:
        return markup.card(markup.head(title), problem)
    closes_problem = states.part_problem_html(found.closes.problem, "raw.price_sets")
    more = "The oracle repeats each state every 15 s"
    return markup.card(
        markup.head(title, more=more), oracle_tables.sources_html(sources, found.closes.value, closes_problem)
    )


def _prices_card(found: OracleReadings, feeds: Mapping[str, AssetFeeds]) -> str:
    title = "Prices in use, as valuation sees them"
    prices = found.prices.value
    if prices is None:
        return markup.card(markup.head(title), states.part_problem_html(found.prices.problem, PRICES_TABLE))
    if not prices:
        return markup.card(markup.head(title), '<p class="muted">No price has arrived yet.</p>')
    # Readings that could not be read anew would compare an old moment.
    readings = (found.readings.value or []) if found.readings.problem is None else []
    apart = {each.asset: oracle_tables.spread_of(readings, each.asset, feeds) for each in prices}
    simulated = markup.simulated_tag(any(each.is_simulated for each in prices))
    return markup.card(markup.head(title, simulated), oracle_tables.prices_html(prices, apart))


def _readings_card(found: OracleReadings, feeds: Mapping[str, AssetFeeds]) -> str:
    title = "The last reading of each source, used or refused"
    if found.readings.value is None:
        return markup.card(markup.head(title), states.part_problem_html(found.readings.problem, "raw.price_ticks"))
    limits = ""
    if found.feeds.value is None:
        why = found.feeds.problem.message if found.feeds.problem else "not read yet"
        limits = markup.note(f"Limits are unknown: {why[:300]}")
    body = oracle_tables.readings_html(found.readings.value, feeds)
    return markup.card(markup.head(title, more="Among those of the last hour"), body + limits)


def _timeline_card(found: OracleReadings, feeds: Mapping[str, AssetFeeds]) -> str:
    title = "When prices were not current in the last 7 days"
    if found.periods.value is None:
        return markup.card(markup.head(title), states.part_problem_html(found.periods.problem, "raw.market_prices"))
    read_at = found.periods.read_at or found.now
    since = oracle_reads.timeline_since(read_at)
    spans = oracle_timeline.spans(found.periods.value, sorted(feeds), since, read_at, MAX_SILENCE)
    if not spans:
        return markup.card(markup.head(title), '<p class="muted">No price was published in these days.</p>')
    body = (
        oracle_timeline.timeline_html(spans, since, read_at)
        + f"<h3>Time by quality</h3>{oracle_timeline.shares_html(spans)}"
        + f"<h3>Newest first</h3>{oracle_timeline.periods_html(spans)}"
    )
    return markup.card(markup.head(title, more=f"As of {formats.time_of_day(read_at)}"), body)


def _rejected_card(found: OracleReadings) -> str:
    title = "Readings that no price rests on, last 24 hours"
    if found.rejected.value is None:
        return markup.card(markup.head(title), states.part_problem_html(found.rejected.problem, "raw.price_ticks"))
    more = f"The newest {oracle_reads.REJECTED_ROWS} at most"
    return markup.card(markup.head(title, more=more), oracle_tables.rejected_html(found.rejected.value))


def _ages(found: OracleReadings, sources: list[OracleSourceView]) -> dict[str, float | None]:
    """Every age that the page shows, in seconds; prices age with their reading."""
    ages: dict[str, float | None] = {}
    for source in sources:
        for name, at in ((ANSWERED, source.last_answered_at), (TICKED, source.last_tick_at)):
            ages[name + source.source] = None if at is None else max(0.0, (found.now - at).total_seconds())
    since_read = found.prices.age_s(found.now) or 0.0
    for price in found.prices.value or []:
        seconds = price.price_age_seconds
        ages[PRICE + price.asset] = None if seconds is None else seconds + since_read
    for reading in found.readings.value or []:
        at = reading.observed_at or reading.tick_observed_at
        name = f"{READING}{reading.asset}:{reading.source}"
        ages[name] = None if at is None else max(0.0, (found.now - at).total_seconds())
    return ages

"""The tables of the oracle's page: sources, prices, the last readings, refused readings, daily closes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape

from assets.market_data.oracle_queries import ClosesLoaded, LastReading, Rejected
from assets.risk.overview_queries import AssetPrice
from ingest.prices.feeds import AssetFeeds
from ingest.prices.inputs import bp, max_ages
from ingest.prices.reads import PriceRow
from ingest.prices.views import OracleSourceView
from streamlit_app.components import formats, markup
from streamlit_app.components.lately import SOURCE_WORDS
from streamlit_app.components.markup import Cell, Column, text

ANSWERED, TICKED, READING, PRICE, PUBLISHED = "answered:", "ticked:", "reading:", "price:", "published:"
STATE_WORDS = {"closed": "Counts", "half_open": "On probation", "open": "Does not count", "unknown": "Unknown"}
BREAKER_WORDS = {
    "closed": "breaker closed",
    "half_open": "breaker half open: counts only where no other source does",
    "open": "breaker open",
    "unknown": "the oracle is silent",
}
_STATE_TAGS = {"closed": "ok", "half_open": "warn", "open": "liquidation", "unknown": "stale"}


@dataclass(frozen=True)
class Spread:
    """How far the last readings of an asset lie apart, and how far they may, in basis points."""

    apart_bp: Decimal | None
    limit_bp: int | None


def sources_html(sources: Sequence[OracleSourceView], closes: ClosesLoaded | None, closes_problem: str = "") -> str:
    """Each source: whether it counts, when it last answered and gave a reading, and its last error."""
    columns = (
        Column("Source"),
        Column("State"),
        Column("Last complete answer"),
        Column("Last reading"),
        Column("Failures in a row", True),
        Column("Last error"),
    )
    rows = [
        (
            text(formats.words(each.source, SOURCE_WORDS)),
            _state(each),
            _ago(ANSWERED + each.source, each.last_answered_at),
            _ago(TICKED + each.source, each.last_tick_at),
            text(f"{each.failures:,}"),
            _error(each),
        )
        for each in sources
    ]
    return markup.table("Sources of prices", columns, rows) + _closes(closes, closes_problem)


def prices_html(prices: Sequence[AssetPrice], spreads: Mapping[str, Spread]) -> str:
    """The price in use of each asset, its age against the limit, and how far its sources lie apart."""
    columns = (
        Column("Asset"),
        Column("Price in use", True),
        Column("Status"),
        Column("Age of its oldest reading"),
        Column("Sources apart", True),
        Column("Reason"),
    )
    rows = []
    for each in prices:
        label = formats.words(each.price_status, formats.PRICE_STATUS_WORDS)
        tags = f"{markup.tag(each.price_status, label)} {markup.simulated_tag(each.is_simulated)}"
        width = "" if each.confidence_usd is None else formats.half_width(each.confidence_usd)
        names = ", ".join(formats.words(name, SOURCE_WORDS) for name in each.sources)
        rows.append(
            (
                text(each.asset, f"from {names}" if names else "sources unknown"),
                text(formats.price(each.price_usd), width),
                Cell(tags),
                _limited(PRICE + each.asset, each.price_age_seconds, each.price_max_age_seconds),
                _apart(spreads.get(each.asset)),
                text((each.degraded_reason or "").replace("_", " ") or _silence(each)),
            )
        )
    return markup.table("Prices in use", columns, rows)


def readings_html(readings: Sequence[LastReading], feeds: Mapping[str, AssetFeeds]) -> str:
    """The last reading of each source for each asset, its age against its limit, and whether the price rests on it."""
    columns = (
        Column("Asset and source"),
        Column("Reading", True),
        Column("Age when the price was made"),
        Column("Used"),
        Column("Reference"),
    )
    found = {(each.asset, each.source): each for each in readings}
    wanted = {(asset, source) for asset, listed in feeds.items() for source in max_ages(listed)}
    rows = []
    for asset, source in sorted({*found, *wanted}):
        name = text(f"{asset}, {formats.words(source, SOURCE_WORDS)}")
        reading = found.get((asset, source))
        if reading is None:
            nothing = Cell(markup.tag("missing", "No reading"), "the oracle looked at none in the last hour")
            rows.append((name, text(formats.UNKNOWN), text(formats.UNKNOWN), nothing, text("")))
            continue
        limit = max_ages(feeds[asset]).get(source) if asset in feeds else None
        rows.append(
            (name, _reading(reading), _looked_at(reading, limit), _used(reading), _reference(reading.reference))
        )
    return markup.table("Last readings", columns, rows)


def rejected_html(rejected: Sequence[Rejected]) -> str:
    """Readings that no price rests on, with the code and the reason."""
    if not rejected:
        return '<p class="muted">None in the last 24 hours.</p>'
    columns = (Column("Asset and source"), Column("Refused"), Column("Reading", True), Column("Code"), Column("Reason"))
    rows = [
        (
            text(f"{each.asset}, {formats.words(each.source, SOURCE_WORDS)}"),
            text(formats.moment(each.published_at), f"for {formats.count(each.times, 'price')}"),
            text("no price" if each.price_usd is None else formats.price(each.price_usd)),
            Cell(markup.tag("warn", each.exclusion_code or "no code")),
            text(each.exclusion_reason or "none given"),
        )
        for each in rejected
    ]
    return markup.table("Refused readings", columns, rows)


def history_html(rows: Sequence[PriceRow]) -> str:
    """Prices as they were published, newest first, with their quality."""
    columns = (Column("Published"), Column("Price", True), Column("Quality"), Column("Reason"))
    shown = [
        (
            text(formats.moment(each.published_at)),
            text(
                "no price" if each.price_usd is None else formats.price(each.price_usd),
                "" if each.confidence_usd is None else formats.half_width(each.confidence_usd),
            ),
            _quality(each),
            text(each.degraded_reason or ""),
        )
        for each in rows
    ]
    return markup.table("Published prices", columns, shown)


def spread_of(readings: Sequence[LastReading], asset: str, feeds: Mapping[str, AssetFeeds]) -> Spread:
    """How far the last readings of an asset lie apart, as the oracle measures it; None with fewer than two."""
    found = [
        each.price_usd for each in readings if each.asset == asset and each.price_usd is not None and each.price_usd > 0
    ]
    limit = feeds[asset].max_spread_bp if asset in feeds else None
    return Spread(bp(max(found) - min(found), min(found)) if len(found) > 1 else None, limit)


def _quality(row: PriceRow) -> Cell:
    label = formats.words(row.quality, formats.PRICE_STATUS_WORDS)
    return Cell(
        f"{markup.tag('ok' if row.quality == 'ok' else 'degraded', label)} {markup.simulated_tag(row.is_simulated)}"
    )


def _state(source: OracleSourceView) -> Cell:
    mark = markup.tag(_STATE_TAGS[source.state], STATE_WORDS[source.state])
    words = BREAKER_WORDS[source.state]
    if source.since is not None:
        words += f" since {formats.moment(source.since)}"
    elif source.last_known_state is not None and source.stated_at is not None:
        last = STATE_WORDS[source.last_known_state].lower()
        words += f"; it last said \u201c{last}\u201d at {formats.moment(source.stated_at)}"
    return Cell(mark, words)


def _ago(name: str, at: datetime | None) -> Cell:
    return text("never told") if at is None else Cell(f"{markup.age_span(name)} ago", formats.moment(at))


def _error(source: OracleSourceView) -> Cell:
    if source.last_error_code is None:
        return text("None")
    when = f" at {formats.moment(source.last_error_at)}" if source.last_error_at else ""
    return Cell(markup.tag("plain", source.last_error_code), f"{source.last_error_reason or 'no reason given'}{when}")


def _limited(name: str, seconds: int | None, limit_s: int | None) -> Cell:
    if seconds is None:
        return text("no reading")
    limit = formats.UNKNOWN if limit_s is None else formats.age(limit_s)
    beyond = f" {markup.tag('stale', 'beyond its limit')}" if limit_s is not None and seconds > limit_s else ""
    return Cell(f"{markup.age_span(name)}{beyond}", f"limit {limit}")


def _apart(spread: Spread | None) -> Cell:
    if spread is None or spread.apart_bp is None:
        return text("not comparable", "fewer than two readings")
    limit = "limit unknown" if spread.limit_bp is None else f"limit {spread.limit_bp:,} bp"
    beyond = spread.limit_bp is not None and spread.apart_bp > spread.limit_bp
    mark = f" {markup.tag('degraded', 'contradict')}" if beyond else ""
    return Cell(f"{spread.apart_bp:,.1f} bp{mark}", limit)


def _silence(price: AssetPrice) -> str:
    if price.price_status == "ok":
        return ""
    return f"last published {formats.moment(price.published_at)}"


def _reading(reading: LastReading) -> Cell:
    if reading.price_usd is not None:
        width = "" if reading.confidence_usd is None else formats.half_width(reading.confidence_usd)
        return text(formats.price(reading.price_usd), width)
    if reading.tick_price_usd is None:
        return text("no price")
    return text(formats.price(reading.tick_price_usd), "the last before it was refused")


def _reference(reference: str) -> Cell:
    return Cell(f'<span style="overflow-wrap:anywhere">{escape(reference or "none")}</span>')


def _looked_at(reading: LastReading, limit: timedelta | None) -> Cell:
    """How old it was for the price that it was looked at for: younger ones are looked at for the next price."""
    at = reading.observed_at or reading.tick_observed_at
    if at is None:
        return text("no reading")
    seconds = max(0, int((reading.published_at - at).total_seconds()))
    most = formats.UNKNOWN if limit is None else formats.age(limit.total_seconds())
    beyond = limit is not None and seconds > limit.total_seconds()
    mark = f" {markup.tag('stale', 'beyond its limit')}" if beyond else ""
    now = markup.age_span(f"{READING}{reading.asset}:{reading.source}")
    return Cell(f'{formats.age(seconds)}{mark}<span class="under">limit {most}; read {now} ago</span>')


def _used(reading: LastReading) -> Cell:
    if reading.used:
        return Cell(f"{markup.tag('ok', 'Used')} {markup.simulated_tag(bool(reading.is_simulated))}")
    code = markup.tag("warn", f"Not used: {reading.exclusion_code or 'no code'}")
    return Cell(code, reading.exclusion_reason or "no reason given")


def _closes(closes: ClosesLoaded | None, problem: str) -> str:
    heading = "<h3>History: daily closes</h3>"
    if closes is None:
        return heading + (problem or '<p class="muted">No daily closes were ever loaded.</p>')
    simulated = closes.simulated_assets
    facts = markup.facts(
        (
            ("Price set", closes.price_set_id),
            ("Closes", f"{closes.closes:,}"),
            ("From", closes.first_date.isoformat()),
            ("Last day with all assets", closes.last_date.isoformat()),
            ("In use since", formats.moment(closes.activated_at)),
            ("Simulated assets", ", ".join(simulated) if simulated else "none"),
        )
    )
    return heading + facts

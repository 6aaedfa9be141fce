"""From rows of `raw` to what callers see, with the judgement of age. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ingest.messages import BreakerState, Quality
from ingest.prices import views
from ingest.prices.feeds import AssetFeeds
from ingest.prices.inputs import max_ages
from ingest.prices.reads import InputRow, PriceRow, SourceRow
from ingest.prices.views import PriceState

MAX_SILENCE = timedelta(minutes=5)
"""Every price is published anew at its heartbeat: one that was not for this long is stale (as dbt has it)."""
STATE_HOLDS = timedelta(seconds=45)
"""The oracle repeats its sources' states every 15 s; an older one says nothing about now."""
_UNKNOWN_MAX_AGE = timedelta(minutes=70)


def price_view(asset: str, row: PriceRow | None, feeds: AssetFeeds, now: datetime) -> views.PriceView:
    """The last price; `row` is None for an asset that has none."""
    if row is None:
        return views.PriceView(
            asset=asset,
            status=PriceState.MISSING,
            price_usd=None,
            confidence_usd=None,
            quality=None,
            reason="no price was published within two days",
            price_id=None,
            observed_at=None,
            published_at=None,
            age_seconds=None,
            is_simulated=None,
            sources=[],
        )
    status, reason = price_state(row, feeds, now)
    return views.PriceView(
        asset=asset,
        status=status,
        price_usd=row.price_usd,
        confidence_usd=row.confidence_usd,
        quality=Quality(row.quality).value,
        reason=reason,
        price_id=row.price_id,
        observed_at=row.observed_at,
        published_at=row.published_at,
        age_seconds=int((now - row.observed_at).total_seconds()),
        is_simulated=row.is_simulated,
        sources=_sources(row),
    )


def price_state(row: PriceRow, feeds: AssetFeeds, now: datetime) -> tuple[PriceState, str | None]:
    """Whether the price may be relied upon now, and why not.

    It is stale once its oldest input is older than any feed of the asset allows, or once the oracle has been silent
    about it for `MAX_SILENCE`: a price that nobody repeats is not known to hold.
    """
    if row.price_usd is None:
        return PriceState.MISSING, row.degraded_reason
    silence = now - row.published_at
    if silence > MAX_SILENCE:
        return PriceState.STALE, f"published {silence.total_seconds():.0f} s ago, and not repeated since"
    oldest = max(max_ages(feeds).values(), default=_UNKNOWN_MAX_AGE)
    if now - row.observed_at > oldest:
        age_s = (now - row.observed_at).total_seconds()
        return PriceState.STALE, f"observed {age_s:.0f} s ago, at most {oldest.total_seconds():.0f} s are fresh"
    return PriceState(row.quality), row.degraded_reason


def traced(view: views.PriceView, inputs: Sequence[InputRow]) -> views.PriceTraceView:
    """The price with what was looked at for it."""
    return views.PriceTraceView(**dict(view), inputs=[views.TickView.model_validate(row) for row in inputs])


def history_page(asset: str, rows: Sequence[PriceRow], limit: int) -> views.PriceHistoryPage:
    """A page of at most `limit` of the rows; one row more tells that another page follows."""
    page = rows[:limit]
    last = views.HistoryCursor(t=page[-1].published_at, p=page[-1].price_id) if len(rows) > limit else None
    return views.PriceHistoryPage(
        asset=asset,
        prices=[
            views.PublishedPriceView(
                price_id=row.price_id,
                price_usd=row.price_usd,
                confidence_usd=row.confidence_usd,
                quality=Quality(row.quality).value,
                reason=row.degraded_reason,
                observed_at=row.observed_at,
                published_at=row.published_at,
                is_simulated=row.is_simulated,
                sources=_sources(row),
            )
            for row in page
        ],
        next_cursor=last.encode() if last else None,
    )


def source_views(rows: Sequence[SourceRow], names: Sequence[str], now: datetime) -> views.OracleSourceList:
    """Every source of `names`; one that the oracle said nothing about lately is `unknown`."""
    by_name: Mapping[str, SourceRow] = {row.source: row for row in rows}
    return views.OracleSourceList(
        sources=[_source_view(name, by_name.get(name), now) for name in sorted({*names, *by_name})]
    )


def _source_view(name: str, row: SourceRow | None, now: datetime) -> views.OracleSourceView:
    is_known = row is not None and now - row.stated_at <= STATE_HOLDS
    return views.OracleSourceView(
        source=name,
        state=BreakerState(row.state).value if row is not None and is_known else "unknown",
        since=row.since if row is not None and is_known else None,
        last_known_state=BreakerState(row.state) if row else None,
        failures=row.failures if row else 0,
        last_error_code=row.last_error_code if row else None,
        last_error_reason=row.last_error_reason if row else None,
        last_error_at=row.last_error_at if row else None,
        last_answered_at=row.last_answered_at if row else None,
        last_tick_at=row.last_tick_at if row else None,
        stated_at=row.stated_at if row else None,
        age_seconds=int((now - row.stated_at).total_seconds()) if row else None,
    )


def _sources(row: PriceRow) -> list[views.PriceInputView]:
    return [views.PriceInputView.model_validate({"is_simulated": False, **each}) for each in json.loads(row.sources)]

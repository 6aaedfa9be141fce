"""Reads of prices and of the oracle's sources over HTTP; the API mounts `router` behind its authentication.

The warehouse, the clock and the path of the feed table come from `app.state` (`reader`, `clock`, `price_feeds`).
Each endpoint blocks on BigQuery and therefore runs in the threadpool.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AwareDatetime

from infra.runtime.clock import Clock
from infra.runtime.errors import NotReadyError
from ingest.errors import AssetUnknownError, InvalidRangeError
from ingest.messages import AssetSymbol
from ingest.prices import presentation, reads, views
from ingest.prices.feeds import AssetFeeds, FeedTable, load_feeds
from ingest.prices.inputs import SOURCES

MAX_LIMIT = 1_000
MAX_RANGE = timedelta(days=31)
DEFAULT_RANGE = timedelta(days=1)
_UNLISTED = AssetFeeds()

router = APIRouter(prefix="/v1", tags=["prices"])


def get_reader(request: Request) -> reads.Reader:
    """What reads the warehouse."""
    return cast(reads.Reader, _of_state(request, "reader"))


def get_clock(request: Request) -> Clock:
    """The application's clock."""
    return cast(Clock, _of_state(request, "clock"))


def get_feeds(request: Request) -> FeedTable:
    """The feed table as its file is now; raises `FeedTableError` where it cannot be used."""
    return load_feeds(cast(FilePath, _of_state(request, "price_feeds")))


def _of_state(request: Request, name: str) -> object:
    found: object = getattr(request.app.state, name, None)
    if found is None:
        raise NotReadyError(f"The API has no {name}; set app.state.{name} when it starts.")
    return found


ReaderDependency = Annotated[reads.Reader, Depends(get_reader)]
ClockDependency = Annotated[Clock, Depends(get_clock)]
FeedsDependency = Annotated[FeedTable, Depends(get_feeds)]
AssetPath = Annotated[AssetSymbol, Path(description="symbol", examples=["BTC"])]
_ASSET_ERRORS: dict[int | str, dict[str, Any]] = {404: {"description": "asset_unknown"}}


@router.get("/prices")
def list_prices(reader: ReaderDependency, clock: ClockDependency, feeds: FeedsDependency) -> views.PriceList:
    """The last price of every asset, whether it may be relied upon, and why not; one without a price is `missing`."""
    now = clock.now()
    rows = {row.asset: row for row in reads.latest_prices(reader, now - reads.LATEST_WITHIN)}
    return views.PriceList(
        prices=[
            presentation.price_view(asset, rows.get(asset), feeds.assets.get(asset, _UNLISTED), now)
            for asset in sorted({*feeds.assets, *rows})
        ]
    )


@router.get("/prices/{asset}", responses=_ASSET_ERRORS)
def get_price(
    reader: ReaderDependency, clock: ClockDependency, feeds: FeedsDependency, asset: AssetPath
) -> views.PriceTraceView:
    """The last price of one asset with every reading that was looked at for it, used or not."""
    now = clock.now()
    row = reads.latest_price(reader, asset, now)
    if row is None:
        _require_known(feeds, asset)
    view = presentation.price_view(asset, row, feeds.assets.get(asset, _UNLISTED), now)
    return presentation.traced(view, reads.price_inputs(reader, row) if row else [])


@router.get("/prices/{asset}/history", responses=_ASSET_ERRORS)
def get_price_history(
    reader: ReaderDependency,
    clock: ClockDependency,
    feeds: FeedsDependency,
    asset: AssetPath,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="published at or after; a day back")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="published at or before; now")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="prices in a page")] = 200,
    cursor: Annotated[str | None, Query(min_length=1, max_length=512, description="next_cursor of a page")] = None,
) -> views.PriceHistoryPage:
    """Prices of one asset as they were published, newest first, over at most 31 days."""
    until, since = _range(start, end, clock.now())
    place = views.HistoryCursor.decode(cursor) if cursor is not None else None
    rows = reads.price_history(
        reader, asset, since, place.published_at if place else until, place.price_id if place else "", limit + 1
    )
    if not rows and reads.latest_price(reader, asset, clock.now()) is None:
        _require_known(feeds, asset)
    return presentation.history_page(asset, rows, limit)


@router.get("/oracle/sources")
def list_oracle_sources(reader: ReaderDependency, clock: ClockDependency) -> views.OracleSourceList:
    """How the oracle stands to each source; a state that it has not repeated for 45 s is `unknown`."""
    now = clock.now()
    return presentation.source_views(reads.source_states(reader, now), SOURCES, now)


def _range(start: datetime | None, end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Until and since."""
    until = end or now
    since = start or until - DEFAULT_RANGE
    if since > until:
        raise InvalidRangeError("query.from lies after query.to; give a range that begins before it ends.")
    if until - since > MAX_RANGE:
        raise InvalidRangeError(f"query.from to query.to is longer than {MAX_RANGE.days} days; read it in parts.")
    return until, since


def _require_known(feeds: FeedTable, asset: str) -> None:
    if asset not in feeds.assets:
        raise AssetUnknownError(f"There is no asset {asset!r}; /v1/prices lists them.")

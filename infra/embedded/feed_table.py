"""The feed table of the local price sources, in the state folder."""

from __future__ import annotations

from infra.embedded.chain.addresses import local_feed_table
from infra.embedded.credentials import FEEDS_FILE
from infra.embedded.state import write_atomically
from infra.runtime.settings import Settings
from ingest.prices.feeds import FeedTable, load_feeds, render_feeds


def write_feeds(settings: Settings) -> FeedTable:
    """Write the feed table of the local sources: the pinned assets, and those with a file in `prices_dir`."""
    pinned = load_feeds()
    files = settings.prices_dir.iterdir() if settings.prices_dir else ()
    assets = {*pinned.assets, *(file.stem.upper() for file in files if file.suffix.lower() == ".csv")}
    table = local_feed_table(assets, pinned)
    write_atomically(settings.state_dir / FEEDS_FILE, render_feeds(table))
    return table

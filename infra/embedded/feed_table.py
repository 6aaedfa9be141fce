"""The feed table of the local price sources, in the state folder."""

from __future__ import annotations

import re

from infra.embedded.chain.addresses import local_feed_table
from infra.embedded.credentials import FEEDS_FILE
from infra.embedded.state import write_atomically
from infra.runtime.settings import Settings
from ingest.messages import SYMBOL_PATTERN
from ingest.prices.feeds import FeedTable, load_feeds, render_feeds

_SYMBOL = re.compile(SYMBOL_PATTERN)


def write_feeds(settings: Settings) -> FeedTable:
    """Write the feed table of the local sources: the pinned assets, and those with a file in `prices_dir`.

    A file whose name is no symbol is left out here: the reading of closes names it.
    """
    pinned = load_feeds()
    files = settings.prices_dir.glob("*.csv") if settings.prices_dir else ()
    assets = {file.stem for file in files if _SYMBOL.fullmatch(file.stem)}
    table = local_feed_table({*pinned.assets, *assets}, pinned)
    write_atomically(settings.state_dir / FEEDS_FILE, render_feeds(table))
    return table

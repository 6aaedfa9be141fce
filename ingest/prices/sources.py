"""Which sources the settings name, and how each is made."""

from __future__ import annotations

from infra.runtime.clock import Clock
from infra.runtime.errors import SettingsError
from infra.runtime.settings import Settings
from ingest.prices.chainlink.source import ChainlinkSource
from ingest.prices.feeds import FeedTable
from ingest.prices.pyth.source import PythSource
from ingest.prices.supervision import SourceFactory
from ingest.prices.ticks import CHAINLINK, PYTH


def sources(settings: Settings, feeds: FeedTable, clock: Clock) -> dict[str, SourceFactory]:
    """How to make each source that the settings name; a source is made anew for each run.

    Raises `SettingsError` where they name none.
    """
    found: dict[str, SourceFactory] = {}
    if settings.ethereum_rpcs:
        found[CHAINLINK] = lambda: ChainlinkSource(
            feeds, settings.ethereum_rpcs, clock, is_simulated=settings.prices_are_simulated
        )
    if settings.pyth_hermes_url:
        found[PYTH] = lambda: PythSource.from_settings(settings, feeds, clock)
    if not found:
        raise SettingsError(
            "No price source is set: set BALLAST_ETHEREUM_RPC_URLS (Chainlink), BALLAST_PYTH_HERMES_URL (Pyth) or, "
            "better, both."
        )
    return found

"""The pinned feed table: readable, plausible, and refused when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_utils.address import is_checksum_address

from ingest.errors import FeedTableError
from ingest.prices.feeds import PINNED_FEEDS, load_feeds, render_feeds


def test_pinned_feeds__are_on_the_main_network_with_valid_checksums() -> None:
    table = load_feeds()
    assert table.chain_id == 1
    feeds = {asset: feed.chainlink for asset, feed in table.assets.items()}
    assert {asset for asset, feed in feeds.items() if feed is None or not is_checksum_address(feed.proxy)} == set()
    assert len({feed.proxy for feed in feeds.values() if feed}) == len(feeds)
    assert {feed.description for feed in feeds.values() if feed} == {f"{asset} / USD" for asset in feeds}
    assert len({feed.pyth.feed_id for feed in table.assets.values() if feed.pyth}) == len(feeds)


def test_feeds__survive_rendering(tmp_path: Path) -> None:
    table = load_feeds()
    (tmp_path / "feeds.toml").write_text(render_feeds(table))
    assert load_feeds(tmp_path / "feeds.toml") == table


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("chain_id = ", "no TOML"),
        ("chain_id = 1\nread_on = 'today'\n[assets.btc]\n", "assets.btc"),
        ("chain_id = 1\nread_on = 'today'\n[assets.BTC.pyth]\nfeed_id = '00'\nmax_age_s = 3\n", "feed_id"),
        ("chain_id = 1\nread_on = 'today'\n[assets.BTC]\nmax_spread_bps = 3\n", "max_spread_bps"),
        (PINNED_FEEDS.read_text().replace("heartbeat_s = 3600", "heartbeat_s = 0", 1), "heartbeat_s"),
    ],
)
def test_feeds__unusable_table_is_refused_with_the_place(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "feeds.toml").write_text(content)
    with pytest.raises(FeedTableError, match=named):
        load_feeds(tmp_path / "feeds.toml")


def test_feeds__missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedTableError, match="cannot be read"):
        load_feeds(tmp_path / "absent.toml")

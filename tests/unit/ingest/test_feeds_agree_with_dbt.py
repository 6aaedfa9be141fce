"""What dbt calls stale is what the oracle's feeds may be."""

from __future__ import annotations

import yaml

from infra.runtime.settings import PROJECT_ROOT
from ingest.prices.feeds import load_feeds

VARS = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]


def test_asset_reference__allows_the_age_of_the_slowest_feed() -> None:
    allowed = {asset["asset"]: asset["price_max_age_seconds"] for asset in VARS["asset_reference"]}
    slowest = {
        asset: max(int(feed.max_age.total_seconds()) for feed in (feeds.chainlink, feeds.pyth) if feed is not None)
        for asset, feeds in load_feeds().assets.items()
    }
    assert allowed == slowest


def test_silence__is_longer_than_several_of_the_oracle_s_repeats() -> None:
    assert all(VARS["price_max_silence_seconds"] >= 3 * feeds.publish_every_s for feeds in load_feeds().assets.values())

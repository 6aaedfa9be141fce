"""Where the local chain's contracts stand, and its feed table."""

from __future__ import annotations

import pytest
import rlp
from eth_utils.address import is_checksum_address, to_checksum_address
from eth_utils.crypto import keccak

from infra.embedded.chain.addresses import CHAIN_ID, DEPLOYER, created_address, local_feed_table, proxy_address
from ingest.prices.feeds import load_feeds, render_feeds


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 70_000])
def test_created_address__is_that_of_ethereum(nonce):
    expected = keccak(rlp.encode([bytes.fromhex(DEPLOYER[2:]), nonce]))[12:]
    assert created_address(nonce) == to_checksum_address(expected)


def test_local_feed_table__keeps_pinned_limits_and_moves_the_proxies():
    pinned = load_feeds()
    table = local_feed_table(["USDC", "BTC", "DOGE"], pinned)

    assert table.chain_id == CHAIN_ID
    assert list(table.assets) == ["BTC", "DOGE", "USDC"]
    assert [feeds.chainlink.proxy for feeds in table.assets.values()] == [proxy_address(n) for n in range(3)]
    assert all(is_checksum_address(feeds.chainlink.proxy) for feeds in table.assets.values())
    local, known = table.assets["USDC"], pinned.assets["USDC"]
    assert local.pyth == known.pyth
    assert local.publish_move_bp == 2
    assert local.chainlink == known.chainlink.model_copy(update={"proxy": proxy_address(2)})


def test_local_feed_table__makes_up_the_same_feed_for_an_unknown_asset_each_time():
    one, other = (local_feed_table(["DOGE", *more], load_feeds()).assets["DOGE"] for more in ([], ["ETH"]))
    assert one == other
    assert (one.chainlink.description, len(one.pyth.feed_id)) == ("DOGE / USD", 64)


def test_local_feed_table__survives_the_way_through_a_file(tmp_path):
    table = local_feed_table(["BTC", "DOGE"], load_feeds())
    file = tmp_path / "feeds.toml"
    file.write_text(render_feeds(table))
    assert load_feeds(file) == table

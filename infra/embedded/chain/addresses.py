"""Where the local chain's contracts stand, known without starting it: CREATE addresses of a fixed deployer."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ingest.prices.feeds import AssetFeeds, ChainlinkFeed, FeedTable, PythFeed

# eth-tester's chain id, and the address of its first account (private key 1).
CHAIN_ID = 131277322940537
DEPLOYER = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"

_TRANSMITTER_NONCE = 0
_MULTICALL_NONCE = 1
_FIRST_FEED_NONCE = 2
_DEFAULT_DECIMALS = 8


def created_address(nonce: int) -> str:
    """The EIP-55 address of the contract that the deployer's transaction `nonce` creates."""
    # RLP of [20 bytes, integer]; integers from 1 to 127 stand for themselves.
    number = b"" if nonce == 0 else nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + bytes.fromhex(DEPLOYER[2:]) + encoded
    return to_checksum_address(keccak(bytes([0xC0 + len(body)]) + body)[12:])


TRANSMITTER = created_address(_TRANSMITTER_NONCE)
MULTICALL = created_address(_MULTICALL_NONCE)


def aggregator_address(index: int) -> str:
    """The first aggregator of the asset at `index` of the sorted assets."""
    return created_address(_FIRST_FEED_NONCE + 2 * index)


def proxy_address(index: int) -> str:
    """The proxy of the asset at `index` of the sorted assets."""
    return created_address(_FIRST_FEED_NONCE + 2 * index + 1)


def local_feed_table(assets: Collection[str], pinned: FeedTable) -> FeedTable:
    """The feed table of the local chain and of the local Pyth for these assets.

    Limits, heartbeats and Pyth ids are those of `pinned` where it knows the asset, defaults (and a made-up id)
    otherwise.
    """
    feeds = {
        asset: _local_feeds(asset, index, pinned.assets.get(asset)) for index, asset in enumerate(sorted(set(assets)))
    }
    return FeedTable(chain_id=CHAIN_ID, read_on=pinned.read_on, assets=feeds)


def _local_feeds(asset: str, index: int, pinned: AssetFeeds | None) -> AssetFeeds:
    known = pinned or AssetFeeds()
    chainlink = known.chainlink or ChainlinkFeed(
        proxy=proxy_address(index),
        description=f"{asset} / USD",
        decimals=_DEFAULT_DECIMALS,
        heartbeat_s=3600,
        grace_s=600,
        deviation_bp=50,
    )
    made_up = hashlib.sha256(f"ballast local pyth feed {asset}/USD".encode()).hexdigest()
    return known.model_copy(
        update={
            "chainlink": chainlink.model_copy(update={"proxy": proxy_address(index)}),
            "pyth": known.pyth or PythFeed(feed_id=made_up, max_age_s=30),
        }
    )

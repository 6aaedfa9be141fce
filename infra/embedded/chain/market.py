"""The price feeds on the local chain: deployed at fixed addresses, written by command, kept across restarts."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from infra.embedded.chain import addresses
from infra.embedded.chain.compiler import compiled
from infra.embedded.chain.evm import Evm
from infra.embedded.chain.ledger import Ledger, Quote, load_ledger, save_ledger
from infra.embedded.chain.models import MAX_ROUNDS, AssetState, RawRound
from infra.embedded.errors import EmbeddedError
from infra.runtime.clock import Clock
from ingest.errors import FeedTableError
from ingest.prices.chainlink import contracts
from ingest.prices.chainlink.rounds import Round, exact_price
from ingest.prices.feeds import ChainlinkFeed, FeedTable

SLOT_S = 12
# A block with prices takes about 40 kB of memory for good; a new chain, in a new phase, frees it.
DEFAULT_MAX_BLOCKS = 3000
_GAS_BASE = 200_000
_GAS_A_ROUND = 120_000


class UnknownAssetError(EmbeddedError):
    """The local chain has no feed for the asset."""

    code = "unknown_asset"


class Market:
    """The feeds of a table on a chain of its own; safe for use by several threads."""

    def __init__(self, table: FeedTable, data_dir: Path, clock: Clock, *, max_blocks: int = DEFAULT_MAX_BLOCKS) -> None:
        self._feeds = _local_feeds(table)
        self._data_dir = data_dir
        self._clock = clock
        self._max_blocks = max_blocks
        self._codes = compiled(data_dir)
        self._ledger = load_ledger(data_dir)
        self._lock = threading.RLock()
        self._start()

    def view(self, to: str, data: bytes, *, is_stale: bool = False) -> bytes:
        """A call on the newest block, or on an old one; raises `RevertedError`."""
        with self._lock:
            self._keep_fresh()
            return self._evm.call(to, data, self._old_block if is_stale else None)

    def code(self, address: str) -> bytes:
        """The code at an address."""
        with self._lock:
            return self._evm.code(address)

    def head(self, *, is_stale: bool = False) -> tuple[int, int, bytes, bytes]:
        """Number, time, hash and parent's hash of the newest block, or of an old one."""
        with self._lock:
            self._keep_fresh()
            number = self._old_block if is_stale else self._evm.head
            return number, self._evm.head_at(number), *self._evm.block_hashes(number)

    def set_prices(self, prices: Mapping[str, Decimal], updated_at: int | None = None) -> dict[str, str]:
        """Write a round for each asset, its price rounded to the feed's decimals; the new round ids."""
        at = int(self._clock.now().timestamp()) if updated_at is None else updated_at
        rounds = []
        for asset, price in prices.items():
            decimals = self._feed(asset).decimals
            answer = int(price.scaleb(decimals).to_integral_value(ROUND_HALF_EVEN))
            rounds.append(RawRound(asset=asset, answer=answer, updated_at=at))
        return self.write(rounds)

    def write(self, rounds: Sequence[RawRound]) -> dict[str, str]:
        """Write rounds in their order, in one block; the newest round id of each asset."""
        for each in rounds:
            self._feed(each.asset)
        with self._lock:
            if self._evm.head >= self._max_blocks:
                self._start()
            self._evm.date_next()
            self._transmit([(each.asset, each.answer, each.updated_at) for each in rounds])
            self._evm.mine()
            latest = self._latest({each.asset for each in rounds})
            written = {each.asset: each for each in rounds}
            for asset, last in written.items():
                if (latest[asset].answer, latest[asset].updated_at) != (last.answer, last.updated_at):
                    raise EmbeddedError(f"The chain did not take the round of {asset}.")
            self._remember(rounds)
            return {asset: str(each.round_id) for asset, each in latest.items()}

    def change_phase(self, asset: str) -> int:
        """Put a new aggregator without rounds behind the proxy; the new phase."""
        feed = self._feed(asset)
        with self._lock:
            phase = self._ledger.phases[asset] + 1
            self._save_phases({asset: phase})
            self._evm.date_next()
            aggregator = addresses.created_address(self._evm.next_nonce)
            self._deploy_aggregator(feed)
            data = _selector("setAggregator(address)") + encode(["address"], [aggregator])
            self._evm.transact(feed.proxy, data, _GAS_BASE)
            self._evm.mine()
            self._aggregators[asset] = aggregator
            return phase

    def state(self) -> tuple[int, int, dict[str, AssetState]]:
        """The newest block, its time, and every feed."""
        with self._lock:
            self._keep_fresh()
            latest = self._latest(self._feeds)
            assets = {asset: self._asset_state(asset, latest[asset]) for asset in self._feeds}
            return self._evm.head, self._evm.head_at(), assets

    def _start(self) -> None:
        """A new chain, in a new phase of every feed, so that no round id ever gets another answer."""
        self._save_phases({asset: self._ledger.phases.get(asset, 0) + 1 for asset in self._feeds})
        self._evm = Evm(self._clock)
        self._evm.deploy(self._codes["transmitter"])
        self._evm.deploy(self._codes["multicall"])
        self._aggregators: dict[str, str] = {}
        for index, (asset, feed) in enumerate(self._feeds.items()):
            self._aggregators[asset] = addresses.aggregator_address(index)
            self._deploy_aggregator(feed)
            arguments = encode(["address", "uint16"], [self._aggregators[asset], self._ledger.phases[asset]])
            self._evm.deploy(self._codes["proxy"], arguments)
            self._evm.mine(is_old=True)
        known = [(asset, q.answer, q.updated_at) for asset, q in self._ledger.quotes.items() if asset in self._feeds]
        for start in range(0, len(known), MAX_ROUNDS):
            self._transmit(known[start : start + MAX_ROUNDS])
        self._evm.mine()
        self._old_block = self._evm.head
        self._evm.mine()
        for asset, feed in self._feeds.items():
            if not self._evm.code(feed.proxy):
                raise EmbeddedError(f"The proxy of {asset} did not come to stand at {feed.proxy}.")

    def _deploy_aggregator(self, feed: ChainlinkFeed) -> None:
        arguments = [addresses.TRANSMITTER, feed.decimals, feed.description]
        self._evm.deploy(self._codes["aggregator"], encode(["address", "uint8", "string"], arguments))

    def _transmit(self, rounds: Sequence[tuple[str, int, int]]) -> None:
        if not rounds:
            return
        updates = [(self._aggregators[asset], answer, updated_at) for asset, answer, updated_at in rounds]
        data = _selector("transmit((address,int256,uint256)[])") + encode(["(address,int256,uint256)[]"], [updates])
        self._evm.transact(addresses.TRANSMITTER, data, _GAS_BASE + _GAS_A_ROUND * len(rounds))

    def _keep_fresh(self) -> None:
        if self._clock.now().timestamp() - self._evm.head_at() >= SLOT_S:
            self._evm.date_next()
            self._evm.mine()

    def _remember(self, rounds: Sequence[RawRound]) -> None:
        good = {
            each.asset: Quote(answer=each.answer, updated_at=each.updated_at)
            for each in rounds
            if each.answer > 0 and each.updated_at > 0
        }
        self._save(Ledger(phases=self._ledger.phases, quotes=self._ledger.quotes | good))

    def _save_phases(self, phases: Mapping[str, int]) -> None:
        self._save(Ledger(phases=self._ledger.phases | dict(phases), quotes=self._ledger.quotes))

    def _save(self, ledger: Ledger) -> None:
        save_ledger(self._data_dir, ledger)
        self._ledger = ledger

    def _latest(self, assets: Sequence[str] | set[str] | Mapping[str, object]) -> dict[str, Round]:
        return {
            asset: contracts.decode_round(
                self._evm.call(self._feeds[asset].proxy, contracts.latest_round_data(self._feeds[asset].proxy).data)
            )
            for asset in sorted(assets)
        }

    def _asset_state(self, asset: str, latest: Round) -> AssetState:
        feed = self._feeds[asset]
        return AssetState(
            proxy=feed.proxy,
            aggregator=self._aggregators[asset],
            phase=self._ledger.phases[asset],
            round_id=str(latest.round_id),
            answer=str(latest.answer),
            price_usd=exact_price(latest.answer, feed.decimals),
            updated_at=latest.updated_at,
        )

    def _feed(self, asset: str) -> ChainlinkFeed:
        if asset not in self._feeds:
            raise UnknownAssetError(f"The local chain has no feed for {asset}: it has {', '.join(self._feeds)}.")
        return self._feeds[asset]


def _local_feeds(table: FeedTable) -> dict[str, ChainlinkFeed]:
    feeds = {asset: each.chainlink for asset, each in sorted(table.assets.items()) if each.chainlink is not None}
    for index, (asset, feed) in enumerate(feeds.items()):
        if table.chain_id != addresses.CHAIN_ID or feed.proxy != addresses.proxy_address(index):
            raise FeedTableError(
                f"The feed table is not of the local chain (chain id {addresses.CHAIN_ID}, the proxy of {asset} at "
                f"{addresses.proxy_address(index)}): write it with local_feed_table()."
            )
    return feeds


def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]

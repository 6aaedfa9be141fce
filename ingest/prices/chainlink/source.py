"""Chainlink as a source of the price oracle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from infra.runtime.clock import Clock
from infra.runtime.errors import SettingsError
from ingest.errors import FeedTableError
from ingest.prices.chainlink import contracts
from ingest.prices.chainlink.failover import Endpoint, Failover
from ingest.prices.chainlink.history import Backfill, walk_back
from ingest.prices.chainlink.reader import FeedReader, Unread
from ingest.prices.chainlink.rounds import Round, is_out_of_order, judge, rejection
from ingest.prices.chainlink.rpc import JsonRpc, RpcError, RpcFault
from ingest.prices.feeds import FeedTable
from ingest.prices.ticks import CHAINLINK, Rejection, Sink, SourceFailure, Tick

_REASONS = {
    "reverted": "latestRoundData() reverted",
    "no_contract": "no contract answers at the proxy's address",
}


@dataclass(frozen=True)
class ChainlinkOptions:
    """How the chain is read; times in seconds.

    `cooldown_s` is how long an address that failed is asked last; a head older than `max_head_lag_s` counts as
    failure (Ethereum has a block every 12 s). Without code at `multicall`, or with None, JSON-RPC batches are used.
    """

    poll_s: float = 2.0
    timeout_s: float = 4.0
    cooldown_s: float = 30.0
    max_head_lag_s: float = 90.0
    multicall: str | None = contracts.MULTICALL3


class ChainlinkSource:
    """Polls every Chainlink feed of a table; reports new rounds as ticks.

    Raises `FeedTableError` for an address with a wrong checksum, `SettingsError` without a usable JSON-RPC address.
    """

    def __init__(
        self,
        table: FeedTable,
        rpcs: Sequence[SecretStr],
        clock: Clock,
        *,
        is_simulated: bool,
        options: ChainlinkOptions | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options or ChainlinkOptions()
        self._reader = FeedReader(table, clock, self._options.multicall, self._options.max_head_lag_s)
        if not self._reader.feeds:
            raise FeedTableError("The feed table has no Chainlink feed: add one, or run without Chainlink.")
        if not rpcs:
            raise SettingsError("BALLAST_ETHEREUM_RPC_URLS is empty: Chainlink needs a JSON-RPC address.")
        self._rpcs = tuple(rpcs)
        self._clock = clock
        self._is_simulated = is_simulated
        self._monotonic = monotonic
        self._failover = self._new_failover()
        self._accepted: dict[str, Round] = {}
        self._refused: dict[str, tuple[str, Round | None]] = {}

    @property
    def name(self) -> str:
        """The source's name in ticks and prices."""
        return CHAINLINK

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Poll until `stop` is set; raises `FeedTableError` if every address contradicts the table."""
        try:
            while not stop.is_set():
                started = self._monotonic()
                self.poll(sink)
                stop.wait(max(0.0, self._options.poll_s - (self._monotonic() - started)))
        finally:
            self.close()

    def poll(self, sink: Sink) -> None:
        """Read every feed once and report.

        A feed that one address could not read is asked of the next; what was read is reported even if another feed
        stays unread. A rejection is reported once, until the feed says something else.
        """
        found: dict[str, Round | Unread] = {}
        failure: RpcError | None = None
        try:
            self._failover.first_answer(lambda endpoint: self._read_missing(endpoint, found))
        except RpcError as error:
            # Once one address has confirmed the table, another that denies it is at fault itself.
            if error.is_contradiction and not self._reader.is_confirmed:
                raise FeedTableError(f"{error.message} Correct the feed table, or BALLAST_ETHEREUM_RPC_URLS.") from None
            failure = error
        now = self._clock.now()
        for asset, each in found.items():
            self._report(sink, asset, each, now)
        if failure is None:
            sink.answered(CHAINLINK, now)
        else:
            sink.failed(SourceFailure(source=CHAINLINK, code=failure.fault, reason=failure.message, at=now))

    def backfill(self, asset: str, since: datetime, until: datetime | None = None) -> Backfill:
        """The rounds of an asset from `since` to `until` (now, if None), oldest first.

        Asks on connections of its own, so that it may run beside `run`. Raises `RpcError` if no address answers,
        `FeedTableError` for an asset without a feed.
        """
        feed = self._reader.feeds.get(asset)
        if feed is None:
            raise FeedTableError(f"The feed table has no Chainlink feed for {asset}.")
        failover = self._new_failover()
        try:
            return walk_back(
                lambda ask: failover.first_answer(lambda endpoint: ask(self._verified(endpoint).rpc)),
                asset,
                feed,
                (since, until or self._clock.now()),
                self._clock,
                is_simulated=self._is_simulated,
            )
        finally:
            failover.close()

    def close(self) -> None:
        """Close idle connections."""
        self._failover.close()

    def _new_failover(self) -> Failover:
        named = (
            JsonRpc(f"rpc {number}", address, self._options.timeout_s)
            for number, address in enumerate(self._rpcs, start=1)
        )
        return Failover(tuple(named), self._options.cooldown_s, self._monotonic)

    def _verified(self, endpoint: Endpoint) -> Endpoint:
        self._reader.verify(endpoint)
        return endpoint

    def _read_missing(self, endpoint: Endpoint, found: dict[str, Round | Unread]) -> None:
        self._reader.verify(endpoint)
        missing = [asset for asset in self._reader.feeds if asset not in found]
        read = self._reader.read(endpoint, missing)
        unread = []
        for asset, each in read.items():
            if isinstance(each, Unread) and not each.is_final:
                unread.append(asset)
            else:
                found[asset] = each
        if unread:
            raise RpcError(RpcFault.RPC_ERROR, f"{endpoint.name} did not read {', '.join(unread)}")

    def _report(self, sink: Sink, asset: str, found: Round | Unread, now: datetime) -> None:
        accepted = self._accepted.get(asset)
        # A feed that was refused in between gives its standing round anew, or the refusal would outlive its cause.
        if found == accepted and asset not in self._refused:
            return
        judged = self._judged(asset, found, accepted, now)
        if isinstance(judged, Tick) and isinstance(found, Round):
            self._accepted[asset] = found
            self._refused.pop(asset, None)
            sink.tick(judged)
        elif isinstance(judged, Rejection):
            said = (judged.code, found if isinstance(found, Round) else None)
            if self._refused.get(asset) != said:
                self._refused[asset] = said
                sink.rejected(judged)

    def _judged(self, asset: str, found: Round | Unread, accepted: Round | None, now: datetime) -> Tick | Rejection:
        if isinstance(found, Unread):
            return rejection(asset, found.code, _REASONS[found.code], now)
        judged = judge(asset, self._reader.feeds[asset], found, now, is_simulated=self._is_simulated)
        if isinstance(judged, Tick) and accepted is not None and is_out_of_order(found, accepted):
            reason = f"older than round {accepted.round_id}, which was read before: the RPC lags"
            return rejection(asset, "out_of_order", reason, now, str(found.round_id))
        return judged

"""Reads feeds from one address: one multicall where the chain has it, else one JSON-RPC batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.address import is_checksum_address, to_checksum_address

from infra.runtime.clock import Clock
from ingest.errors import FeedTableError
from ingest.prices.chainlink import contracts
from ingest.prices.chainlink.calls import CallError, EthCall
from ingest.prices.chainlink.contracts import UndecodableError
from ingest.prices.chainlink.failover import Endpoint
from ingest.prices.chainlink.rounds import Round
from ingest.prices.chainlink.rpc import JsonRpc, RpcError, RpcFault, int_of
from ingest.prices.feeds import ChainlinkFeed, FeedTable

_HEAD: tuple[str, list[Any]] = ("eth_getBlockByNumber", ["latest", False])


@dataclass(frozen=True)
class Unread:
    """A feed that gave no round; `is_final` where it is the contract's own answer and not the node's failure."""

    code: str
    is_final: bool


def chainlink_feeds(table: FeedTable) -> dict[str, ChainlinkFeed]:
    """The table's Chainlink feeds by asset; raises `FeedTableError` for an address with a wrong checksum."""
    feeds = {asset: feeds.chainlink for asset, feeds in sorted(table.assets.items()) if feeds.chainlink is not None}
    for asset, feed in feeds.items():
        if not is_checksum_address(feed.proxy):
            raise FeedTableError(
                f"The Chainlink proxy {feed.proxy} of {asset} has no valid EIP-55 checksum: it is mistyped or damaged. "
                "Copy it again from Chainlink's directory of feeds."
            )
    return feeds


class FeedReader:
    """Reads the feeds of one table; keeps nothing but whether any address has confirmed the table."""

    def __init__(self, table: FeedTable, clock: Clock, multicall: str | None, max_head_lag_s: float) -> None:
        self.feeds = chainlink_feeds(table)
        self._chain_id = table.chain_id
        self._clock = clock
        self._multicall = to_checksum_address(multicall) if multicall else None
        self._max_head_lag_s = max_head_lag_s
        self._is_confirmed = False

    def verify(self, endpoint: Endpoint) -> None:
        """Check, once for each address, the chain and every feed's `description()` and `decimals()`.

        Raises `FeedTableError` where the first address that answers contradicts the table, `RpcError` where a later
        one does or where it cannot be told.
        """
        if endpoint.is_verified:
            return
        asked: list[tuple[str, list[Any]]] = [("eth_chainId", [])]
        if self._multicall:
            asked.append(("eth_getCode", [self._multicall, "latest"]))
        calls = [call(feed.proxy) for feed in self.feeds.values() for call in _IDENTITY]
        first, *rest = endpoint.rpc.batch([*asked, *(call.as_request() for call in calls)])
        chain_id = int_of(first, endpoint.name)
        if chain_id != self._chain_id:
            raise self._contradiction(
                RpcFault.WRONG_CHAIN, f"{endpoint.name} serves chain {chain_id}, the feed table is of {self._chain_id}."
            )
        endpoint.has_multicall = bool(self._multicall) and rest[0] not in ("0x", None) and isinstance(rest[0], str)
        answers = iter(rest[len(asked) - 1 :])
        for asset, feed in self.feeds.items():
            self._verify_feed(endpoint.rpc, asset, feed, next(answers), next(answers))
        endpoint.is_verified = self._is_confirmed = True

    def read(self, endpoint: Endpoint, assets: Sequence[str]) -> Mapping[str, Round | Unread]:
        """The newest round of each asset; raises `RpcError` if the address fails as a whole or its head lags."""
        calls = [contracts.latest_round_data(self.feeds[asset].proxy) for asset in assets]
        if endpoint.has_multicall and self._multicall:
            head_at, answers = _by_multicall(endpoint.rpc, self._multicall, calls)
        else:
            head_at, answers = _by_batch(endpoint.rpc, calls)
        lag = self._clock.now().timestamp() - head_at
        if lag > self._max_head_lag_s:
            raise RpcError(RpcFault.STALE_HEAD, f"{endpoint.name} lags: its newest block is {lag:.0f} s old")
        rounds = {asset: _round(answer) for asset, answer in zip(assets, answers, strict=True)}
        if len(rounds) > 1 and all(each == _REVERTED for each in rounds.values()):
            raise RpcError(RpcFault.RPC_ERROR, f"every feed reverts on {endpoint.name}")
        return rounds

    def _verify_feed(self, rpc: JsonRpc, asset: str, feed: ChainlinkFeed, text: Any, number: Any) -> None:
        if isinstance(text, CallError) or isinstance(number, CallError):
            raise RpcError(RpcFault.UNVERIFIED, f"{rpc.name} does not tell what the proxy of {asset} is")
        if text == "0x" or number == "0x":
            raise self._contradiction(
                RpcFault.UNVERIFIED, f"{rpc.name} has no contract at {feed.proxy}, the proxy of {asset}."
            )
        try:
            found = (contracts.decode_text(bytes.fromhex(text[2:])), contracts.decode_uint(bytes.fromhex(number[2:])))
        except (UndecodableError, ValueError, TypeError):
            raise RpcError(RpcFault.MALFORMED, f"{rpc.name} describes the proxy of {asset} unreadably") from None
        expected = (feed.description, feed.decimals)
        if found != expected:
            raise self._contradiction(
                RpcFault.UNVERIFIED,
                f"{rpc.name}: the Chainlink proxy of {asset} should be {expected[0]!r} with {expected[1]} decimals, "
                f"but it is {found[0][:64]!r} with {found[1]}.",
            )

    def _contradiction(self, fault: RpcFault, message: str) -> Exception:
        # Once the table was confirmed by one address, another that denies it is at fault itself.
        if self._is_confirmed:
            return RpcError(fault, message)
        return FeedTableError(f"{message} Correct the feed table, or BALLAST_ETHEREUM_RPC_URLS.")


_IDENTITY = (contracts.description, contracts.decimals)
_REVERTED = Unread("reverted", True)


def _by_multicall(rpc: JsonRpc, multicall: str, calls: Sequence[EthCall]) -> tuple[int, list[bytes | CallError]]:
    answer = rpc.call(contracts.aggregate(multicall, [contracts.block_timestamp(multicall), *calls]))
    if isinstance(answer, CallError):
        raise RpcError(RpcFault.RPC_ERROR, f"{rpc.name} answered the multicall with error {answer.code}")
    try:
        head, *rest = contracts.decode_aggregate(answer, len(calls) + 1)
        head_at = contracts.decode_uint(head or b"")
    except UndecodableError:
        raise RpcError(RpcFault.MALFORMED, f"{rpc.name} answered the multicall unreadably") from None
    return head_at, [CallError(3, True) if each is None else each for each in rest]


def _by_batch(rpc: JsonRpc, calls: Sequence[EthCall]) -> tuple[int, list[bytes | CallError]]:
    block, *rest = rpc.batch([_HEAD, *(call.as_request() for call in calls)])
    if not isinstance(block, Mapping):
        raise RpcError(RpcFault.MALFORMED, f"{rpc.name} does not tell its newest block")
    answers: list[bytes | CallError] = []
    for each in rest:
        try:
            answers.append(each if isinstance(each, CallError) else bytes.fromhex(each.removeprefix("0x")))
        except (AttributeError, ValueError):
            answers.append(CallError(0, False))
    return int_of(block.get("timestamp"), rpc.name), answers


def _round(answer: bytes | CallError) -> Round | Unread:
    if isinstance(answer, CallError):
        return _REVERTED if answer.is_revert else Unread("rpc_error", False)
    if not answer:
        return Unread("no_contract", True)
    try:
        return contracts.decode_round(answer)
    except ValueError:
        return Unread("malformed", False)

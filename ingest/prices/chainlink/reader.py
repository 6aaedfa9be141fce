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
        self.is_confirmed = False

    def verify(self, endpoint: Endpoint) -> None:
        """Check, once for each address, the chain and every feed's `description()` and `decimals()`.

        A feed whose contract reverts is not read, and asked again each time, while the others go on. Raises `RpcError`
        where the address contradicts the table, or where that cannot be told.
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
            message = f"{endpoint.name} serves chain {chain_id}, the feed table is of {self._chain_id}."
            raise RpcError(RpcFault.WRONG_CHAIN, message, is_contradiction=True)
        endpoint.has_multicall = bool(self._multicall) and rest[0] not in ("0x", None) and isinstance(rest[0], str)
        answers = iter(rest[len(asked) - 1 :])
        reverting = [
            asset
            for asset, feed in self.feeds.items()
            if not _is_verified(endpoint.rpc, asset, feed, next(answers), next(answers))
        ]
        if len(reverting) == len(self.feeds):
            raise RpcError(RpcFault.UNVERIFIED, f"{endpoint.name} does not tell what any proxy is")
        endpoint.unverified = frozenset(reverting)
        endpoint.is_verified = not reverting
        self.is_confirmed = True

    def read(self, endpoint: Endpoint, assets: Sequence[str]) -> Mapping[str, Round | Unread]:
        """The newest round of each asset; raises `RpcError` if the address fails as a whole or its head lags."""
        known = [asset for asset in assets if asset not in endpoint.unverified]
        calls = [contracts.latest_round_data(self.feeds[asset].proxy) for asset in known]
        if endpoint.has_multicall and self._multicall:
            head_at, answers = _by_multicall(endpoint.rpc, self._multicall, calls)
        else:
            head_at, answers = _by_batch(endpoint.rpc, calls)
        lag = self._clock.now().timestamp() - head_at
        if lag > self._max_head_lag_s:
            raise RpcError(RpcFault.STALE_HEAD, f"{endpoint.name} lags: its newest block is {lag:.0f} s old")
        read = {asset: _round(answer) for asset, answer in zip(known, answers, strict=True)}
        rounds = {asset: read.get(asset, _REVERTED) for asset in assets}
        if len(rounds) > 1 and all(each == _REVERTED for each in rounds.values()):
            raise RpcError(RpcFault.RPC_ERROR, f"every feed reverts on {endpoint.name}")
        return rounds


_IDENTITY = (contracts.description, contracts.decimals)
_REVERTED = Unread("reverted", True)


def _is_verified(rpc: JsonRpc, asset: str, feed: ChainlinkFeed, text: Any, number: Any) -> bool:
    """Whether the proxy is what the table says; False where its contract reverts."""
    errors = [each for each in (text, number) if isinstance(each, CallError)]
    if any(not each.is_revert for each in errors):
        raise RpcError(RpcFault.UNVERIFIED, f"{rpc.name} does not tell what the proxy of {asset} is")
    if errors:
        return False
    if text == "0x" or number == "0x":
        message = f"{rpc.name} has no contract at {feed.proxy}, the proxy of {asset}."
        raise RpcError(RpcFault.UNVERIFIED, message, is_contradiction=True)
    try:
        found = (contracts.decode_text(bytes.fromhex(text[2:])), contracts.decode_uint(bytes.fromhex(number[2:])))
    except (UndecodableError, ValueError, TypeError):
        raise RpcError(RpcFault.MALFORMED, f"{rpc.name} describes the proxy of {asset} unreadably") from None
    if found != (feed.description, feed.decimals):
        message = (
            f"{rpc.name}: the Chainlink proxy of {asset} should be {feed.description!r} with {feed.decimals} decimals, "
            f"but it is {found[0][:64]!r} with {found[1]}."
        )
        raise RpcError(RpcFault.UNVERIFIED, message, is_contradiction=True)
    return True


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

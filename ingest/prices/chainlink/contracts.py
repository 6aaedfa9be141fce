"""The calls that Chainlink's proxies and Multicall3 take, and their answers.

Sources: AggregatorV3Interface and AggregatorProxy of Chainlink; Multicall3's `aggregate3`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from ingest.prices.chainlink.calls import EthCall
from ingest.prices.chainlink.rounds import Round, RoundId

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
_ROUND_TYPES = ("uint80", "int256", "uint256", "uint256", "uint80")


class UndecodableError(ValueError):
    """The bytes are not what the function returns."""


def latest_round_data(proxy: str) -> EthCall:
    """The newest round of a proxy."""
    return EthCall(proxy, _selector("latestRoundData()"))


def round_data(proxy: str, round_id: RoundId) -> EthCall:
    """One round of a proxy."""
    return EthCall(proxy, _selector("getRoundData(uint80)") + encode(["uint80"], [int(round_id)]))


def description(proxy: str) -> EthCall:
    """What a proxy prices."""
    return EthCall(proxy, _selector("description()"))


def decimals(proxy: str) -> EthCall:
    """The decimals of a proxy's answers."""
    return EthCall(proxy, _selector("decimals()"))


def phase_aggregator(proxy: str, phase: int) -> EthCall:
    """The aggregator of one phase of a proxy."""
    return EthCall(proxy, _selector("phaseAggregators(uint16)") + encode(["uint16"], [phase]))


def latest_round(aggregator: str) -> EthCall:
    """The newest round of an aggregator."""
    return EthCall(aggregator, _selector("latestRound()"))


def block_timestamp(multicall: str) -> EthCall:
    """The time of the block that a multicall reads."""
    return EthCall(multicall, _selector("getCurrentBlockTimestamp()"))


def aggregate(multicall: str, calls: Sequence[EthCall]) -> EthCall:
    """Several calls in one, each of which may fail alone."""
    packed = [(call.to, True, call.data) for call in calls]
    return EthCall(
        multicall,
        _selector("aggregate3((address,bool,bytes)[])") + encode(["(address,bool,bytes)[]"], [packed]),
    )


def decode_aggregate(data: bytes, count: int) -> list[bytes | None]:
    """The results of `count` calls; None for each that reverted."""
    (results,) = _decoded(("(bool,bytes)[]",), data)
    if len(results) != count:
        raise UndecodableError(f"{len(results)} results of {count} calls")
    return [returned if is_success else None for is_success, returned in results]


def decode_round(data: bytes) -> Round:
    """The answer of `latestRoundData` and `getRoundData`."""
    round_id, answer, _started_at, updated_at, _answered_in = _decoded(_ROUND_TYPES, data)
    return Round(RoundId.from_int(round_id), answer, updated_at)


def decode_text(data: bytes) -> str:
    """A returned string."""
    return str(_decoded(("string",), data)[0])


def decode_uint(data: bytes) -> int:
    """A returned number."""
    return int(_decoded(("uint256",), data)[0])


def decode_address(data: bytes) -> str:
    """A returned address, in lower case."""
    return str(_decoded(("address",), data)[0])


def _decoded(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    try:
        return decode(list(types), data)
    except (DecodingError, UnicodeDecodeError, OverflowError) as error:
        raise UndecodableError(type(error).__name__) from None


def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]

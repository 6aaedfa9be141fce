"""The part of Ethereum's JSON-RPC that readers of contracts use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.embedded.chain.addresses import CHAIN_ID
from infra.embedded.chain.evm import RevertedError
from infra.embedded.chain.market import Market
from infra.embedded.chain.models import FailureMode

MAX_BATCH = 200
_INVALID_REQUEST = -32600
_NO_METHOD = -32601
_INVALID_PARAMS = -32602
_REVERTED = 3
_TAGS = frozenset({"latest", "pending", "safe", "finalized"})


class JsonRpcServer:
    """Answers decoded JSON-RPC requests, alone or in batches."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._methods: dict[str, Callable[[list[Any], FailureMode | None], Any]] = {
            "eth_chainId": self._chain_id,
            "net_version": lambda _params, _failure: str(CHAIN_ID),
            "web3_clientVersion": lambda _params, _failure: "ballast-local-chain",
            "eth_blockNumber": lambda _params, failure: hex(self._head(failure)[0]),
            "eth_getBlockByNumber": self._block,
            "eth_getCode": lambda params, _failure: "0x" + market.code(_address(params[0])).hex(),
            "eth_call": self._call,
        }

    def answer(self, content: Any, failure: FailureMode | None) -> Any:
        """The answer to a request or to a batch of them."""
        if not isinstance(content, list):
            return self._answer_one(content, failure)
        if not 0 < len(content) <= MAX_BATCH:
            return _error(None, _INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} requests")
        return [self._answer_one(each, failure) for each in content]

    def _answer_one(self, asked: Any, failure: FailureMode | None) -> dict[str, Any]:
        if not isinstance(asked, dict) or not isinstance(asked.get("params", []), list):
            return _error(None, _INVALID_REQUEST, "invalid request")
        request_id, name = asked.get("id"), asked.get("method")
        method = self._methods.get(str(name))
        if method is None:
            return _error(request_id, _NO_METHOD, f"the method {str(name)[:64]} does not exist/is not available")
        try:
            result = method(asked.get("params", []), failure)
        except RevertedError as reverted:
            return _error(request_id, _REVERTED, f"execution reverted: {reverted}")
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            return _error(request_id, _INVALID_PARAMS, f"invalid params: {error}")
        return {"jsonrpc": "2.0", "id": request_id, "result": result}

    def _chain_id(self, _params: list[Any], failure: FailureMode | None) -> str:
        return hex(CHAIN_ID + 1 if failure is FailureMode.WRONG_CHAIN else CHAIN_ID)

    def _head(self, failure: FailureMode | None) -> tuple[int, int, bytes, bytes]:
        return self._market.head(is_stale=failure is FailureMode.STALE_HEAD)

    def _block(self, params: list[Any], failure: FailureMode | None) -> dict[str, Any]:
        _require_latest(params[0])
        number, at, own_hash, parent_hash = self._head(failure)
        return {
            "number": hex(number),
            "timestamp": hex(at),
            "hash": "0x" + own_hash.hex(),
            "parentHash": "0x" + parent_hash.hex(),
            "transactions": [],
        }

    def _call(self, params: list[Any], failure: FailureMode | None) -> str:
        call = params[0]
        if len(params) > 1:
            _require_latest(params[1])
        if failure is FailureMode.REVERT:
            raise RevertedError("on command")
        data = str(call.get("data") or call.get("input") or "0x")
        is_stale = failure is FailureMode.STALE_HEAD
        returned = self._market.view(_address(call["to"]), bytes.fromhex(data.removeprefix("0x")), is_stale=is_stale)
        return "0x" + returned.hex()


def _address(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 42 or not value.startswith("0x"):
        raise ValueError("an address has 20 bytes in hex")
    return value


def _require_latest(block: Any) -> None:
    if block not in _TAGS:
        raise ValueError("this chain answers for the latest block only")


def _error(request_id: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}

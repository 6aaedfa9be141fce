"""A call of a contract, and the error that it may give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CallError:
    """A call that was answered with an error; a revert is the contract's own answer."""

    code: int
    is_revert: bool


@dataclass(frozen=True)
class EthCall:
    """One `eth_call` on the latest block."""

    to: str
    data: bytes

    def as_request(self) -> tuple[str, list[Any]]:
        """Method and parameters."""
        return "eth_call", [{"to": self.to, "data": "0x" + self.data.hex()}, "latest"]

"""Several JSON-RPC addresses as one: the preferred one first, the next at once when it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from infra.runtime.logs import get_logger
from ingest.prices.chainlink.rpc import JsonRpc, RpcError, RpcFault

_FIRST_HOLD_S = 1.0
_LONGEST_HOLD_S = 60.0

T = TypeVar("T")


class Endpoint:
    """One address and what is known of it; times on the monotonic clock."""

    def __init__(self, rpc: JsonRpc) -> None:
        self.rpc = rpc
        self.is_verified = False
        self.has_multicall = False
        self.unverified: frozenset[str] = frozenset()
        self.cools_until = 0.0
        self.held_until = 0.0
        self._hold_s = _FIRST_HOLD_S
        self._is_failing = False

    @property
    def name(self) -> str:
        """The name in logs and reasons, such as "rpc 1"."""
        return self.rpc.name

    def succeeded(self) -> None:
        """It answered completely: it may be preferred again."""
        if self._is_failing:
            get_logger(__name__).info("rpc_answers_again", rpc=self.name)
        self.cools_until = self.held_until = 0.0
        self._hold_s = _FIRST_HOLD_S
        self._is_failing = False

    def failed(self, error: RpcError, now: float, cooldown_s: float) -> None:
        """It failed: others are preferred for the cooldown, and one that limits us is left alone for a while."""
        if not self._is_failing:
            get_logger(__name__).warning("rpc_failed", rpc=self.name, fault=error.fault.value, reason=error.message)
        self._is_failing = True
        if error.is_down:
            self.is_verified = False
        self.cools_until = now + cooldown_s
        if error.fault is RpcFault.RATE_LIMITED:
            self.held_until = now + max(self._hold_s, error.retry_after_s or 0.0)
            self._hold_s = min(self._hold_s * 2, _LONGEST_HOLD_S)


class Failover:
    """Asks the addresses in turn until one answers."""

    def __init__(
        self, rpcs: Sequence[JsonRpc], cooldown_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoints = tuple(Endpoint(rpc) for rpc in rpcs)
        self._cooldown_s = cooldown_s
        self._monotonic = monotonic

    def close(self) -> None:
        """Close idle connections."""
        for endpoint in self._endpoints:
            endpoint.rpc.close()

    def first_answer(self, ask: Callable[[Endpoint], T]) -> T:
        """What `ask` returns for the first address on which it does not raise `RpcError`.

        Raises the last `RpcError`, with the reasons of all. An only address is asked twice.
        """
        errors: list[RpcError] = []
        for endpoint in self._order():
            if endpoint.held_until > self._monotonic():
                continue
            try:
                answer = ask(endpoint)
            except RpcError as error:
                endpoint.failed(error, self._monotonic(), self._cooldown_s)
                errors.append(error)
            else:
                endpoint.succeeded()
                return answer
        if not errors:
            raise RpcError(RpcFault.RATE_LIMITED, "every RPC limits our requests; waiting as they ask")
        reasons = "; ".join(dict.fromkeys(error.message for error in errors))
        is_contradiction = all(error.is_contradiction for error in errors)
        raise RpcError(errors[-1].fault, reasons, is_contradiction=is_contradiction)

    def _order(self) -> list[Endpoint]:
        now = self._monotonic()
        if len(self._endpoints) == 1:
            return [*self._endpoints, *self._endpoints]
        ready = [each for each in self._endpoints if each.cools_until <= now]
        cooling = sorted((each for each in self._endpoints if each.cools_until > now), key=lambda e: e.cools_until)
        return ready + cooling

"""The past rounds of one feed, walked back on the proxy from its newest, across changes of phase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from infra.runtime.clock import Clock
from ingest.prices.chainlink import contracts
from ingest.prices.chainlink.calls import CallError, EthCall
from ingest.prices.chainlink.rounds import RoundId, judge, rejection
from ingest.prices.chainlink.rpc import JsonRpc, RpcError, RpcFault
from ingest.prices.feeds import ChainlinkFeed
from ingest.prices.ticks import Rejection, Tick

# Some providers refuse batches of more than a hundred requests.
_ROUNDS_A_BATCH = 50
_NO_ADDRESS = "0x" + "00" * 20

T = TypeVar("T")


@dataclass(frozen=True)
class Backfill:
    """Rounds of a time span, oldest first.

    `stopped_because` says why the walk ended before it reached the span's start; None if it reached it.
    """

    ticks: tuple[Tick, ...]
    rejections: tuple[Rejection, ...]
    stopped_because: str | None


def walk_back(
    with_rpc: Callable[[Callable[[JsonRpc], Any]], Any],
    asset: str,
    feed: ChainlinkFeed,
    span: tuple[datetime, datetime],
    clock: Clock,
    *,
    is_simulated: bool,
) -> Backfill:
    """The rounds whose `updatedAt` lies in the span; `with_rpc` runs a question on an address that answers it."""
    walk = _Walk(with_rpc, asset, feed, span, clock, is_simulated)
    stopped = walk.run()
    walk.ticks.sort(key=lambda tick: int(tick.reference))
    return Backfill(tuple(walk.ticks), tuple(reversed(walk.rejections)), stopped)


class _Walk:
    def __init__(
        self,
        with_rpc: Callable[[Callable[[JsonRpc], Any]], Any],
        asset: str,
        feed: ChainlinkFeed,
        span: tuple[datetime, datetime],
        clock: Clock,
        is_simulated: bool,
    ) -> None:
        self._with_rpc = with_rpc
        self._asset = asset
        self._feed = feed
        self._since, self._until = span
        self._clock = clock
        self._is_simulated = is_simulated
        self.ticks: list[Tick] = []
        self.rejections: list[Rejection] = []

    def run(self) -> str | None:
        newest = self._ask_one(contracts.latest_round_data(self._feed.proxy), contracts.decode_round)
        if newest is None:
            return "latestRoundData() reverted"
        phase, last = newest.round_id.phase, newest.round_id.aggregator_round
        while True:
            if self._walk_phase(phase, last):
                return None
            phase -= 1
            if phase == 0:
                return "the feed has no older rounds: its first phase is read to the end"
            found = self._latest_of_phase(phase)
            if found is None:
                return f"the proxy names no aggregator of phase {phase} that tells its latest round"
            last = found

    def _walk_phase(self, phase: int, last: int) -> bool:
        """Read a phase from round `last` down; whether the span's start was reached."""
        for highest in range(last, 0, -_ROUNDS_A_BATCH):
            numbers = range(highest, max(0, highest - _ROUNDS_A_BATCH), -1)
            ids = [RoundId(phase, number) for number in numbers]
            calls = [contracts.round_data(self._feed.proxy, each) for each in ids]
            answers: list[bytes | CallError] = self._with_rpc(partial(_complete, calls))
            for round_id, answer in zip(ids, answers, strict=True):
                if self._keep(round_id, answer):
                    return True
        return False

    def _keep(self, round_id: RoundId, answer: bytes | CallError) -> bool:
        now = self._clock.now()
        try:
            if isinstance(answer, CallError):
                raise ValueError("getRoundData() reverted")
            reading = replace(contracts.decode_round(answer), round_id=round_id)
        except ValueError:
            reason = "getRoundData() reverted or is unreadable"
            self.rejections.append(rejection(self._asset, "no_data", reason, now, str(round_id)))
            return False
        if reading.updated_at > self._until.timestamp():
            return False
        judged = judge(self._asset, self._feed, reading, now, is_simulated=self._is_simulated)
        if isinstance(judged, Rejection):
            self.rejections.append(judged)
            return False
        if judged.observed_at < self._since:
            return True
        self.ticks.append(judged)
        return False

    def _latest_of_phase(self, phase: int) -> int | None:
        aggregator = self._ask_one(contracts.phase_aggregator(self._feed.proxy, phase), contracts.decode_address)
        if aggregator in (None, _NO_ADDRESS):
            return None
        return self._ask_one(contracts.latest_round(str(aggregator)), contracts.decode_uint)

    def _ask_one(self, call: EthCall, decode: Callable[[bytes], T]) -> T | None:
        answer: bytes | CallError = self._with_rpc(partial(_complete, [call]))[0]
        try:
            return None if isinstance(answer, CallError) else decode(answer)
        except ValueError:
            return None


def _complete(calls: list[EthCall], rpc: JsonRpc) -> list[bytes | CallError]:
    answers = rpc.calls(calls)
    if any(isinstance(each, CallError) and not each.is_revert for each in answers):
        raise RpcError(RpcFault.RPC_ERROR, f"{rpc.name} answered part of a batch only")
    return answers

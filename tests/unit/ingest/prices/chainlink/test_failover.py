"""Which address is asked, and when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from ingest.prices.chainlink.failover import Endpoint, Failover
from ingest.prices.chainlink.rpc import JsonRpc, RpcError, RpcFault


class Desk:
    """Two addresses, a clock moved by hand, and a record of who was asked."""

    def __init__(self, count: int = 2) -> None:
        self.now = 100.0
        self.faults: dict[str, RpcError] = {}
        self.asked: list[str] = []
        rpcs = [JsonRpc(f"rpc {n}", SecretStr("http://127.0.0.1:9"), 1.0) for n in range(1, count + 1)]
        self.failover = Failover(rpcs, cooldown_s=30.0, monotonic=lambda: self.now)

    def ask(self) -> list[str]:
        """Who was asked for one answer."""
        self.asked = []
        try:
            self.failover.first_answer(self._answer)
        except RpcError as error:
            self.asked.append(error.fault)
        return self.asked

    def fail(self, name: str, fault: RpcFault, retry_after_s: float | None = None) -> None:
        self.faults[name] = RpcError(fault, f"{name} fails", retry_after_s)

    def _answer(self, endpoint: Endpoint) -> None:
        self.asked.append(endpoint.name)
        if endpoint.name in self.faults:
            raise self.faults[endpoint.name]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.failover.close()


def test_first_answer__leaves_a_failed_address_for_the_cooldown_and_then_prefers_it_again(desk):
    desk.fail("rpc 1", RpcFault.SERVER_ERROR)
    assert desk.ask() == ["rpc 1", "rpc 2"]
    desk.faults.clear()
    desk.now += 29
    assert desk.ask() == ["rpc 2"]
    desk.now += 2
    assert desk.ask() == ["rpc 1"]


def test_first_answer__asks_a_cooling_address_when_all_others_fail(desk):
    desk.fail("rpc 1", RpcFault.SERVER_ERROR)
    desk.ask()
    desk.faults.clear()
    desk.fail("rpc 2", RpcFault.TIMEOUT)
    assert desk.ask() == ["rpc 2", "rpc 1"]


def test_first_answer__waits_longer_each_time_an_address_limits_us():
    desk = Desk(1)
    desk.fail("rpc 1", RpcFault.RATE_LIMITED)
    waits = []
    for _ in range(8):
        assert "rpc 1" in desk.ask()
        waited = 0
        while "rpc 1" not in desk.ask():
            waited += 1
            desk.now += 1
        waits.append(waited)
        desk.faults.clear()
        desk.fail("rpc 1", RpcFault.RATE_LIMITED)
        desk.now += 60
    desk.failover.close()
    assert waits[:3] == [1, 4, 16]
    assert max(waits) == 60


def test_first_answer__waits_as_long_as_the_address_asks(desk):
    desk.fail("rpc 1", RpcFault.RATE_LIMITED, 45.0)
    desk.fail("rpc 2", RpcFault.RATE_LIMITED)
    assert desk.ask() == ["rpc 1", "rpc 2", RpcFault.RATE_LIMITED]
    assert desk.ask() == [RpcFault.RATE_LIMITED]
    desk.now += 44
    assert "rpc 1" not in desk.ask()
    desk.now += 1
    assert "rpc 1" in desk.ask()

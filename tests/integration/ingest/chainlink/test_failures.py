"""What the Chainlink source does when RPC addresses fail."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest
from pydantic import SecretStr

from infra.embedded.chain.addresses import TRANSMITTER
from infra.embedded.chain.models import FailureMode
from infra.embedded.ports import free_ports
from ingest.prices.ticks import CHAINLINK


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


MODES = [
    (FailureMode.HTTP_500, "server_error", "rpc 1 answered with HTTP 500"),
    (FailureMode.HTTP_429, "rate_limited", "rpc 1 limits our requests (HTTP 429)"),
    (FailureMode.DROP, "unreachable", "rpc 1 cannot be reached (ConnectionError)"),
    (FailureMode.MALFORMED, "malformed", "rpc 1 answered with something that is no JSON-RPC answer"),
    (FailureMode.HANG, "timeout", "rpc 1 did not answer in time"),
    (FailureMode.STALE_HEAD, "stale_head", "rpc 1 lags: its newest block is 7"),
    (FailureMode.REVERT, "rpc_error", "rpc 1 answered the multicall with error 3"),
]


@pytest.mark.parametrize(("mode", "code", "reason"), MODES)
def test_poll__reports_a_failing_address_without_showing_it(chain, new_source, sink, mode, code, reason):
    source = new_source(timeout_s=0.2 if mode is FailureMode.HANG else 3.0)
    source.poll(sink)
    chain.control.fail(mode)
    source.poll(sink)

    (failure,) = sink.failures
    assert (failure.source, failure.code) == (CHAINLINK, code)
    assert failure.reason.startswith(reason)
    assert "127.0.0.1" not in failure.reason
    assert sink.answers == 1


@pytest.mark.parametrize("mode", [mode for mode, _, _ in MODES])
def test_poll__asks_the_next_address_in_the_same_round(chain, new_source, sink, mode):
    source = new_source(["main", "second"], timeout_s=0.2 if mode is FailureMode.HANG else 3.0)
    source.poll(sink)
    chain.control.set_prices({"BTC": Decimal("65001")})
    chain.control.fail(mode, lane="main")
    source.poll(sink)

    assert sink.prices()["BTC"] == Decimal("65001")
    assert (sink.answers, sink.failures) == (2, [])


def test_poll__goes_on_with_the_second_address_where_the_first_is_of_another_chain(chain, new_source, sink):
    chain.control.fail(FailureMode.WRONG_CHAIN, lane="first")
    source = new_source(["first", "second"])
    source.poll(sink)
    assert set(sink.prices()) == set(chain.table.assets)
    assert (sink.failures, sink.rejections) == ([], [])


def test_poll__a_feed_that_reverts_from_the_start_leaves_the_others(chain, new_source, sink):
    good = chain.table.assets["ETH"]
    gone = good.model_copy(update={"chainlink": good.chainlink.model_copy(update={"proxy": TRANSMITTER})})
    table = chain.table.model_copy(update={"assets": chain.table.assets | {"ETH": gone}})
    source = new_source(table=table)
    source.poll(sink)
    source.poll(sink)
    assert set(sink.prices()) == {"BTC", "USDC"}
    assert [(rejection.asset, rejection.code) for rejection in sink.rejections] == [("ETH", "reverted")]
    assert (sink.answers, sink.failures) == (2, [])


def test_poll__skips_an_address_on_another_chain_once_the_table_is_confirmed(chain, new_source, sink):
    hand = Hand()
    source = new_source(["main", "second"], cooldown_s=30.0, monotonic=hand)
    chain.control.fail(FailureMode.HTTP_500, count=1, lane="main")
    source.poll(sink)
    hand.at += 31
    chain.control.fail(FailureMode.WRONG_CHAIN, lane="main")
    chain.control.set_prices({"BTC": Decimal("65001")})
    source.poll(sink)

    assert sink.prices()["BTC"] == Decimal("65001")
    assert (sink.answers, sink.failures) == (2, [])


def test_poll__prefers_the_first_address_again_after_the_cooldown(chain, new_source, sink):
    hand = Hand()
    source = new_source(["main", "second"], cooldown_s=30.0, monotonic=hand)
    chain.control.fail(FailureMode.HTTP_500, count=1, lane="main")
    source.poll(sink)
    # From here the second address fails always: only the first can answer.
    chain.control.fail(FailureMode.HTTP_500, lane="second")
    hand.at += 31
    requests = chain.control.state().rpc_requests
    source.poll(sink)
    assert chain.control.state().rpc_requests == requests + 2  # its verification and the read
    source.poll(sink)

    assert chain.control.state().rpc_requests == requests + 3
    assert (sink.answers, sink.failures) == (3, [])


def test_poll__with_half_of_all_requests_failing_on_two_addresses_gets_every_price(chain, new_source, sink):
    source = new_source(["main", "second"])
    chain.control.fail(FailureMode.HTTP_500, share=0.5, seed=7, lane="main")
    for step in range(8):
        price = Decimal(65_000 + step)
        chain.control.set_prices({"BTC": price})
        source.poll(sink)
        assert sink.prices()["BTC"] == price
    assert (sink.answers, sink.failures) == (8, [])


@pytest.mark.parametrize("mode", [FailureMode.HTTP_500, FailureMode.MALFORMED, FailureMode.DROP])
def test_poll__with_half_of_all_requests_failing_on_the_only_address_gets_prices(chain, new_source, sink, mode):
    source = new_source()
    chain.control.fail(mode, share=0.5, seed=11)
    for _ in range(12):
        source.poll(sink)

    assert set(sink.prices()) == {"BTC", "ETH", "USDC"}
    # An only address is asked twice a round: one round in four fails.
    assert sink.answers > len(sink.failures) > 0


def test_poll__leaves_an_address_alone_that_limits_us(chain, new_source, sink):
    hand = Hand()
    source = new_source(monotonic=hand)
    chain.control.fail(FailureMode.HTTP_429, count=2)
    source.poll(sink)
    asked = chain.control.state().rpc_requests
    source.poll(sink)
    assert chain.control.state().rpc_requests == asked
    hand.at += 1.5
    source.poll(sink)
    hand.at += 2.5
    source.poll(sink)

    assert [each.code for each in sink.failures] == ["rate_limited"] * 3
    assert sink.answers == 1


def test_poll__an_unreachable_address_at_start_is_no_error(chain, new_source, sink):
    source = new_source(rpcs=[SecretStr(f"http://127.0.0.1:{free_ports(1)[0]}/key-of-provider")])
    source.poll(sink)

    assert [each.code for each in sink.failures] == ["unreachable"]
    assert "key-of-provider" not in sink.failures[0].reason


def test_poll__a_wrong_token_is_told_apart(chain, new_source, sink):
    source = new_source(rpcs=[SecretStr(f"http://127.0.0.1:{chain.port}/wrong-key"), chain.rpc()])
    source.poll(sink)
    assert (sink.answers, sink.failures) == (1, [])

    alone = new_source(rpcs=[SecretStr(f"http://127.0.0.1:{chain.port}/wrong-key")])
    alone.poll(sink)
    assert [(each.code, each.reason) for each in sink.failures] == [("refused", "rpc 1 answered with HTTP 401")]


def test_poll__writes_no_address_to_any_log(chain, new_source, sink, caplog, capsys):
    with caplog.at_level(logging.DEBUG):
        source = new_source(["main", "second"])
        chain.control.fail(FailureMode.HTTP_500)
        source.poll(sink)
        chain.control.heal()
        source.poll(sink)

    assert sink.answers == 1
    written = caplog.text + "".join(capsys.readouterr())
    assert "rpc_failed" in written
    assert "market-token-for-tests" not in written

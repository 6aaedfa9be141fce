"""What the Chainlink source reports from a chain that answers."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from infra.embedded.chain.addresses import MULTICALL, TRANSMITTER
from infra.embedded.chain.models import FailureMode, RawRound
from infra.runtime.clock import SystemClock
from ingest.errors import FeedTableError
from ingest.prices.chainlink.failover import Endpoint
from ingest.prices.chainlink.reader import FeedReader, Unread
from ingest.prices.chainlink.rounds import RoundId
from ingest.prices.chainlink.rpc import JsonRpc


def _raw(asset, answer, updated_at=None):
    return RawRound(asset=asset, answer=answer, updated_at=int(time.time()) if updated_at is None else updated_at)


@pytest.mark.parametrize("multicall", [MULTICALL, "0xcA11bde05977b3631167028862bE2a173976CA11", None])
def test_poll__reads_every_feed_in_one_request(chain, new_source, sink, multicall):
    source = new_source(multicall=multicall)
    source.poll(sink)
    before = chain.control.state().rpc_requests
    source.poll(sink)

    assert chain.control.state().rpc_requests == before + 1
    assert sink.prices() == {"BTC": Decimal("65000.12"), "ETH": Decimal("2500.5"), "USDC": Decimal("0.9998")}
    assert (sink.answers, sink.failures, sink.rejections) == (2, [], [])


def test_poll__reports_a_reading_once_and_the_next_round_again(chain, new_source, sink):
    source = new_source()
    source.poll(sink)
    source.poll(sink)
    assert len(sink.ticks) == 3

    written = chain.control.set_prices({"BTC": Decimal("65100")})
    source.poll(sink)

    latest = sink.ticks[-1]
    state = chain.control.state().assets["BTC"]
    assert len(sink.ticks) == 4
    assert (latest.asset, latest.price_usd, latest.reference) == ("BTC", Decimal("65100"), written["BTC"])
    assert latest.observed_at == datetime.fromtimestamp(state.updated_at, UTC)
    assert latest.is_simulated
    assert latest.confidence_usd is None


@pytest.mark.parametrize(
    ("answer", "updated_at", "code"),
    [
        (0, None, "zero_answer"),
        (-5, None, "negative_answer"),
        (6_500_000_000_000, 0, "incomplete_round"),
        (6_500_000_000_000, int(time.time()) + 86_400, "from_future"),
        (2**250, None, "out_of_range"),
    ],
    ids=["zero", "negative", "incomplete", "future", "huge"],
)
def test_poll__rejects_an_unusable_round_once_and_keeps_the_other_feeds(
    chain, new_source, sink, answer, updated_at, code
):
    chain.control.write_rounds([_raw("ETH", answer, updated_at)])
    source = new_source()
    source.poll(sink)
    source.poll(sink)

    assert [(each.asset, each.code) for each in sink.rejections] == [("ETH", code)]
    assert sink.rejections[0].reference == chain.control.state().assets["ETH"].round_id
    assert set(sink.prices()) == {"BTC", "USDC"}
    assert sink.answers == 2


def test_poll__rejects_a_round_that_is_older_than_the_last(chain, new_source, sink):
    source = new_source()
    source.poll(sink)
    chain.control.write_rounds([_raw("BTC", 1, int(time.time()) - 600)])
    source.poll(sink)

    assert [(each.asset, each.code) for each in sink.rejections] == [("BTC", "out_of_order")]
    assert sink.prices()["BTC"] == Decimal("65000.12")


def test_poll__gives_the_standing_round_anew_after_a_refused_one(chain, new_source, sink, monkeypatch):
    source, read = new_source(), FeedReader.read
    source.poll(sink)
    [first] = [tick.tick_id for tick in sink.ticks if tick.asset == "BTC"]
    with monkeypatch.context() as patched:
        patched.setattr(FeedReader, "read", lambda *args: read(*args) | {"BTC": Unread("reverted", is_final=True)})
        source.poll(sink)
    assert [(rejection.asset, rejection.code) for rejection in sink.rejections] == [("BTC", "reverted")]
    sink.ticks.clear()
    source.poll(sink)
    assert [tick.tick_id for tick in sink.ticks] == [first]
    sink.ticks.clear()
    source.poll(sink)
    assert sink.ticks == []


def test_poll__takes_the_first_round_of_a_new_phase_whatever_its_date(chain, new_source, sink):
    source = new_source()
    source.poll(sink)
    old_phase = RoundId.from_int(int(sink.ticks[0].reference)).phase
    chain.control.change_phase("BTC")
    source.poll(sink)
    assert [each.code for each in sink.rejections] == ["incomplete_round"]

    chain.control.write_rounds([_raw("BTC", 6_400_000_000_000, int(time.time()) - 60)])
    source.poll(sink)

    latest = RoundId.from_int(int(sink.ticks[-1].reference))
    assert sink.ticks[-1].price_usd == Decimal("64000")
    assert latest == RoundId(old_phase + 1, 1)


@pytest.mark.parametrize("multicall", [MULTICALL, None])
@pytest.mark.parametrize(("proxy", "code"), [("0x" + "11" * 20, "no_contract"), (TRANSMITTER, "reverted")])
def test_read__one_feed_that_fails_does_not_lose_the_others(chain, multicall, proxy, code):
    broken = chain.table.assets["ETH"]
    broken = broken.model_copy(update={"chainlink": broken.chainlink.model_copy(update={"proxy": proxy})})
    table = chain.table.model_copy(update={"assets": chain.table.assets | {"ETH": broken}})
    endpoint = Endpoint(JsonRpc("rpc 1", chain.rpc(), 3.0))
    endpoint.has_multicall = multicall is not None
    try:
        read = FeedReader(table, SystemClock(), multicall, 90.0).read(endpoint, ["BTC", "ETH", "USDC"])
    finally:
        endpoint.rpc.close()

    assert read["ETH"] == Unread(code, is_final=True)
    assert (read["BTC"].answer, read["USDC"].answer) == (6_500_012_000_000, 99_980_000)


def test_source__refuses_a_damaged_address_before_any_request(chain, new_source):
    good = chain.table.assets["BTC"]
    swapped = good.chainlink.proxy.swapcase().replace("0X", "0x")
    damaged = good.model_copy(update={"chainlink": good.chainlink.model_copy(update={"proxy": swapped})})
    table = chain.table.model_copy(update={"assets": chain.table.assets | {"BTC": damaged}})
    before = chain.control.state().rpc_requests

    with pytest.raises(FeedTableError, match=r"proxy 0x\w+ of BTC has no valid EIP-55 checksum"):
        new_source(table=table)
    assert chain.control.state().rpc_requests == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"description": "WBTC / USD"}, r"BTC should be 'WBTC / USD' with 8 decimals, but it is 'BTC / USD' with 8"),
        ({"decimals": 18}, r"BTC should be 'BTC / USD' with 18 decimals, but it is 'BTC / USD' with 8"),
        ({"proxy": "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419"}, r"no contract at 0x5f4e\w+, the proxy of BTC"),
    ],
)
def test_run__refuses_a_feed_that_is_not_what_the_table_says(chain, new_source, sink, change, said):
    good = chain.table.assets["BTC"]
    wrong = good.model_copy(update={"chainlink": good.chainlink.model_copy(update=change)})
    source = new_source(table=chain.table.model_copy(update={"assets": chain.table.assets | {"BTC": wrong}}))

    with pytest.raises(FeedTableError, match=said):
        source.run(sink, threading.Event())
    assert sink.ticks == []


def test_run__refuses_the_wrong_chain(chain, new_source, sink):
    source = new_source(table=chain.table.model_copy(update={"chain_id": 1}))
    with pytest.raises(FeedTableError, match=r"rpc 1 serves chain 131277322940537, the feed table is of 1"):
        source.run(sink, threading.Event())


def test_run__reports_until_it_is_stopped(chain, new_source, sink):
    stop = threading.Event()
    source = new_source()
    thread = threading.Thread(target=source.run, args=(sink, stop))
    thread.start()
    with sink.heard:
        assert sink.heard.wait_for(lambda: sink.answers >= 3, timeout=20)
    stop.set()
    thread.join(10)

    assert not thread.is_alive()
    assert len(sink.ticks) == 3


def test_restart__continues_in_a_new_phase_at_the_last_prices(tmp_path, serve_chain, new_source, new_sink):
    with serve_chain(tmp_path) as first:
        first.control.set_prices({"BTC": Decimal("64000"), "ETH": Decimal("2400"), "USDC": Decimal("1")})
        first.control.write_rounds([_raw("ETH", 0)])
        source, sink = new_source(rpcs=[first.rpc()]), new_sink()
        source.poll(sink)
        port = first.port
        source.close()
    source.poll(sink)
    assert [each.code for each in sink.failures] == ["unreachable"]
    with serve_chain(tmp_path, port) as second:
        source.poll(sink)
        second.control.set_prices({"BTC": Decimal("64001")})
        source.poll(sink)
        source.close()

    assert sink.prices() == {"BTC": Decimal("64001"), "ETH": Decimal("2400"), "USDC": Decimal("1")}
    phases = [RoundId.from_int(int(tick.reference)) for tick in sink.ticks if tick.asset == "BTC"]
    assert phases == [RoundId(1, 1), RoundId(2, 1), RoundId(2, 2)]
    assert [each.code for each in sink.rejections] == ["zero_answer"]


def test_restart__with_other_feeds_at_the_same_addresses_gives_no_price(tmp_path, serve_chain, new_source, new_sink):
    with serve_chain(tmp_path, assets=["BTC", "ETH"]) as first:
        first.control.set_prices({"BTC": Decimal("64000"), "ETH": Decimal("2400")})
        source, sink = new_source(rpcs=[first.rpc()], table=first.table), new_sink()
        source.poll(sink)
        port = first.port
        source.close()
    source.poll(sink)
    with serve_chain(tmp_path, port, assets=["ADA", "BTC", "ETH"]):
        source.poll(sink)
        source.close()

    assert sink.prices() == {"BTC": Decimal("64000"), "ETH": Decimal("2400")}
    assert [each.code for each in sink.failures] == ["unreachable", "unverified"]
    assert "BTC should be 'BTC / USD' with 8 decimals, but it is 'ADA / USD' with 8" in sink.failures[1].reason


def test_backfill__stops_at_a_phase_whose_aggregator_is_gone(tmp_path, serve_chain, new_source):
    now = datetime.now(UTC)
    for price in ("64000", "64100"):
        with serve_chain(tmp_path) as chain:
            chain.control.set_prices({"BTC": Decimal(price)})
            found = new_source(rpcs=[chain.rpc()]).backfill("BTC", now - timedelta(days=1))

    assert [tick.price_usd for tick in found.ticks] == [Decimal("64000"), Decimal("64100")]
    assert {RoundId.from_int(int(tick.reference)).phase for tick in found.ticks} == {2}
    assert "names no aggregator of phase 1" in found.stopped_because


def test_poll__keeps_what_was_read_when_the_chain_then_fails(chain, new_source, sink):
    source = new_source()
    source.poll(sink)
    chain.control.fail(FailureMode.REVERT)
    source.poll(sink)

    assert [each.code for each in sink.failures] == ["rpc_error"]
    assert len(sink.ticks) == 3

"""What the oracle decides arrives: through Pub/Sub and the consumer, readable by the API's queries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.embedded.ports import free_ports
from infra.runtime.clock import SystemClock
from ingest.prices import process, reads
from ingest.prices.feeds import AssetFeeds, FeedTable, load_feeds
from ingest.prices.selection import GoodPrice
from ingest.prices.ticks import Rejection, Sink, Tick

pytestmark = pytest.mark.embedded

PATIENCE_S = 150.0
NEVER = datetime(2000, 1, 1, tzinfo=UTC)


class Scripted:
    """A source that reports its price ten times a second; a price of None is a rejection."""

    def __init__(self, name: str, price_usd: str) -> None:
        self._name = name
        self.price_usd: Decimal | None = Decimal(price_usd)

    @property
    def name(self) -> str:
        return self._name

    def run(self, sink: Sink, stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            number, now = number + 1, datetime.now(UTC)
            common: dict[str, Any] = {"source": self._name, "asset": "BTC", "received_at": now}
            if self.price_usd is None:
                sink.rejected(Rejection(code="zero_answer", reason="the answer is 0", reference="r", **common))
            else:
                sink.tick(
                    Tick(
                        price_usd=self.price_usd,
                        confidence_usd=Decimal("1e-18"),
                        observed_at=now,
                        reference=str(number),
                        is_simulated=True,
                        **common,
                    )
                )
            sink.answered(self._name, now)
            stop.wait(0.1)


@pytest.fixture
def oracle(flow: Any) -> Iterator[Callable[[FeedTable, list[Scripted]], None]]:
    """Starts an oracle on scripted sources and the flow's real publisher."""
    stop, running = threading.Event(), []

    def start(table: FeedTable, sources: list[Scripted]) -> None:
        settings = flow.settings.model_copy(update={"oracle_port": free_ports(1)[0]})
        factories = {source.name: (lambda source=source: source) for source in sources}
        arguments = (settings, table, factories, flow.publisher, SystemClock(), stop, {})
        running.append(threading.Thread(target=process.run, args=arguments))
        running[-1].start()

    yield start
    stop.set()
    for thread in running:
        thread.join()


def wait_for(check: Callable[[], Any], what: Callable[[], object]) -> Any:
    """What `check` finds, once it finds something."""
    ends = time.monotonic() + PATIENCE_S
    while not (found := check()):
        assert time.monotonic() < ends, what()
        time.sleep(0.1)
    return found


def test_oracle__prices_traces_and_states_arrive_and_are_read(flow: Any, oracle: Any) -> None:
    table = FeedTable(chain_id=1, read_on="today", assets={"BTC": load_feeds().assets["BTC"], "ETH": AssetFeeds()})
    exact = "65000.000000000000000001"
    chainlink, pyth = Scripted("chainlink", exact), Scripted("pyth", exact)
    flow.consumer.start()
    oracle(table, [chainlink, pyth])

    def latest(status: str) -> reads.PriceRow | None:
        row = reads.latest_price(flow.warehouse, "BTC", datetime.now(UTC))
        return row if row is not None and row.quality == status else None

    def inputs(price: reads.PriceRow, count: int) -> list[reads.InputRow]:
        rows = reads.price_inputs(flow.warehouse, price)
        return rows if len(rows) >= count else []

    good = wait_for(lambda: latest("ok"), flow.consumer.logged)
    assert (good.price_usd, good.is_simulated, good.degraded_reason) == (Decimal(65000), True, None)
    one, other = wait_for(lambda: inputs(good, 2), flow.consumer.logged)
    assert (one.source, other.source, one.used, other.used) == ("chainlink", "pyth", True, True)
    assert {one.price_usd, other.price_usd} == {Decimal(exact)}
    assert one.confidence_usd == Decimal("1e-18")
    states = wait_for(lambda: reads.source_states(flow.warehouse, datetime.now(UTC)), flow.consumer.logged)
    assert {row.state for row in states} == {"closed"}

    pyth.price_usd = Decimal("67000")
    contested = wait_for(lambda: latest("degraded"), flow.consumer.logged)
    assert contested.price_usd == Decimal(65000)
    assert str(contested.degraded_reason).startswith("sources disagree by 308 bp: chainlink is nearer")
    found = wait_for(lambda: inputs(contested, 2), flow.consumer.logged)
    assert [(row.source, row.used, row.exclusion_code) for row in found] == [
        ("chainlink", True, None),
        ("pyth", False, "contradicts"),
    ]

    chainlink.price_usd = pyth.price_usd = None
    withdrawn = wait_for(
        lambda: (row := latest("degraded")) is not None and row.price_usd is None and row, flow.consumer.logged
    )
    rejected = wait_for(lambda: inputs(withdrawn, 3), flow.consumer.logged)
    assert {row.exclusion_code for row in rejected} == {"zero_answer"}
    assert any(row.tick_id is None for row in rejected)

    now = datetime.now(UTC)
    history = reads.price_history(flow.warehouse, "BTC", NEVER, now, "", 100)
    told = [row.price_id for row in history]
    assert {good.price_id, contested.price_id, withdrawn.price_id} <= set(told)
    behind = reads.price_history(flow.warehouse, "BTC", NEVER, history[0].published_at, history[0].price_id, 100)
    assert [row.price_id for row in behind] == told[1:]
    assert [row.asset for row in reads.latest_prices(flow.warehouse, now - reads.LATEST_WITHIN)] == ["BTC", "ETH"]
    restored = reads.last_good_prices(flow.warehouse, now - timedelta(minutes=15))
    assert {asset: price.price_usd for asset, price in restored.items()} == {"BTC": Decimal(65000)}
    assert isinstance(restored["BTC"], GoodPrice)
    assert flow.warehouse.query("select * from raw.dead_letters") == []

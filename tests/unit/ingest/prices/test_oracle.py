"""What the oracle publishes for what its sources report, step by step."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.clock import FixedClock, SystemClock
from ingest import topics
from ingest.messages import BreakerState, OracleSourceMessage, PriceMessage, PriceTicksMessage, Quality
from ingest.prices.feeds import FeedTable
from ingest.prices.inbox import Answered, Broken, Event, Inbox
from ingest.prices.metrics import OracleMetrics
from ingest.prices.oracle import WARM_UP, Oracle
from ingest.prices.outbox import Outbox
from ingest.prices.selection import GoodPrice
from ingest.prices.ticks import Rejection, SourceFailure, Tick

Make = Callable[..., Tick]


class Bench:
    """An oracle on a clock that tests move; readings are two seconds old when they come."""

    def __init__(self, table: FeedTable, clock: FixedClock, publisher: Any, tick: Make, **changes: Any) -> None:
        self.clock, self.publisher, self._tick = clock, publisher, tick
        self.metrics = OracleMetrics()
        self.outbox = Outbox(publisher, clock, self.metrics)
        running = changes.pop("running", ("chainlink", "pyth"))
        self.oracle = Oracle(table, running, self.outbox, self.metrics, clock, **changes)

    def reads(self, source: str, price_usd: str, **changes: Any) -> list[Event]:
        now = self.clock.now()
        return [self._tick(source, price_usd, at=now, **changes), Answered(source, now)]

    def fails(self, source: str, code: str = "timeout") -> list[Event]:
        return [SourceFailure(source=source, code=code, reason="no answer", at=self.clock.now())]

    def step(self, *events: list[Event], seconds: float = 0.0) -> None:
        """Time passes, sources report, the oracle decides, the outbox sends."""
        self.clock.advance(timedelta(seconds=seconds))
        self.oracle.take([event for each in events for event in each])
        self.oracle.decide()
        self.outbox.flush()

    @property
    def prices(self) -> list[PriceMessage]:
        return [PriceMessage.model_validate_json(each) for each in self.publisher.of(topics.PRICES.name)]

    @property
    def traces(self) -> list[PriceTicksMessage]:
        return [PriceTicksMessage.model_validate_json(each) for each in self.publisher.of(topics.PRICE_TICKS.name)]

    @property
    def states(self) -> list[OracleSourceMessage]:
        found = self.publisher.of(topics.ORACLE_SOURCES.name)
        return [OracleSourceMessage.model_validate_json(each) for each in found]


@pytest.fixture
def make_bench(table: FeedTable, clock: FixedClock, publisher: Any, tick: Make) -> Callable[..., Bench]:
    return lambda **changes: Bench(table, clock, publisher, tick, **changes)


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def test_oracle__publishes_the_mean_with_its_trace(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65100"))
    [price], [trace] = bench.prices, bench.traces
    assert (price.price_usd, price.quality) == (Decimal("65050"), Quality.OK)
    assert trace.price_id == price.price_id
    assert [(each.source, each.used) for each in trace.inputs] == [("chainlink", True), ("pyth", True)]
    names = [topic for topic, _ in bench.publisher.taken]
    assert names.index(topics.PRICE_TICKS.name) < names.index(topics.PRICES.name)


def test_oracle__waits_for_the_second_source_after_a_start(bench: Bench) -> None:
    bench.step(bench.reads("pyth", "65100"))
    assert bench.prices == []
    bench.step(bench.reads("pyth", "65100"), seconds=WARM_UP.total_seconds())
    assert [price.degraded_reason for price in bench.prices] == ["only pyth: chainlink: no reading yet"]


def test_oracle__repeats_an_unmoved_price_at_its_heartbeat_as_a_new_one(bench: Bench) -> None:
    for _ in range(5):
        bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"), seconds=30)
    assert len({price.price_id for price in bench.prices}) == len(bench.prices) == 3


def test_oracle__gives_the_same_ids_after_a_crash_within_the_slot(
    make_bench: Callable[..., Bench], clock: FixedClock
) -> None:
    ids = []
    readings = None
    for _ in range(2):
        bench = make_bench()
        readings = readings or [bench.reads("chainlink", "65000"), bench.reads("pyth", "65100")]
        bench.step(*readings)
        ids.append(bench.prices[-1].price_id)
        clock.advance(timedelta(seconds=9))
    assert ids[0] == ids[1]


def test_oracle__of_sources_three_percent_apart_takes_the_one_near_the_last_good_price(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"))
    bench.step(bench.reads("pyth", "67000"), seconds=5)
    price = bench.prices[-1]
    assert (price.price_usd, price.quality) == (Decimal("65000"), Quality.DEGRADED)
    assert price.degraded_reason == "sources disagree by 308 bp: chainlink is nearer to the last good price"
    assert [each.exclusion_code for each in bench.traces[-1].inputs] == [None, "contradicts"]
    bench.step(bench.reads("pyth", "65010"), seconds=5)
    assert bench.prices[-1].quality is Quality.OK


def test_oracle__with_both_sources_stale_withdraws_the_price(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"))
    for _ in range(150):
        # Both answer, neither has anything new.
        bench.step([Answered(name, bench.clock.now()) for name in ("chainlink", "pyth")], seconds=30)
    price = bench.prices[-1]
    assert (price.price_usd, price.quality) == (None, Quality.DEGRADED)
    assert str(price.degraded_reason).startswith("no usable source: chainlink is stale since")


def test_oracle__keeps_publishing_good_prices_while_one_source_fails_half_the_time(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"))
    for number in range(120):
        chainlink = bench.fails("chainlink") if number % 2 else bench.reads("chainlink", f"{65000 + number * 70}")
        bench.step(chainlink, bench.reads("pyth", f"{65000 + number * 70}"), seconds=2)
    assert len(bench.prices) >= 60
    assert {price.quality for price in bench.prices} == {Quality.OK}
    assert {state.state for state in bench.states} == {BreakerState.CLOSED}


def test_oracle__opens_a_failing_source_and_takes_it_back_after_its_probation(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"))
    for _ in range(5):
        bench.step(bench.fails("chainlink", "rate_limited"), bench.reads("pyth", "65000"), seconds=1)
    assert "rate_limited" in str(bench.prices[-1].degraded_reason)
    before = len(bench.prices)
    for _ in range(4):
        bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"), seconds=5)
    assert [price.quality for price in bench.prices[before:]] == [Quality.OK]
    assert [state.state for state in bench.states if state.source == "chainlink"] == [
        *(BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)
    ]


def test_oracle__excludes_a_source_whose_clock_runs_ahead(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65100", age_s=-90), seconds=9)
    assert bench.prices[-1].price_usd == Decimal("65000")
    assert bench.traces[-1].inputs[1].exclusion_code == "from_future"
    bench.step(bench.reads("pyth", "65100"), seconds=1)
    assert bench.prices[-1].quality is Quality.OK


def test_oracle__source_that_the_settings_do_not_name_degrades(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(running=("pyth",))
    bench.step(bench.reads("pyth", "65000"), seconds=9)
    assert "not_configured" in str(bench.prices[-1].degraded_reason)
    assert {state.source: state.last_error_code for state in bench.states} == {
        "chainlink": "not_configured",
        "pyth": None,
    }


def test_oracle__broken_source_does_not_stop_the_other(bench: Bench) -> None:
    broken: list[Event] = [Broken("chainlink", "invalid_feed_table", "0x1 is not BTC / USD", bench.clock.now())]
    bench.step(broken, bench.reads("pyth", "65000"), seconds=9)
    assert bench.prices[-1].price_usd == Decimal("65000")
    [state] = [state for state in bench.states if state.source == "chainlink"]
    assert (state.state, state.last_error_reason) == (BreakerState.OPEN, "0x1 is not BTC / USD")


def test_oracle__measures_a_jump_against_the_restored_price(make_bench: Callable[..., Bench], now: datetime) -> None:
    bench = make_bench(last_good={"BTC": GoodPrice(Decimal("65000"), now)})
    bench.step(bench.reads("pyth", "50000"), seconds=9)
    assert str(bench.prices[-1].degraded_reason).startswith("unconfirmed jump: only pyth")
    for _ in range(7):
        bench.step(bench.reads("pyth", "50000"), seconds=10)
    assert str(bench.prices[-1].degraded_reason).startswith("only pyth")


def test_oracle__tells_source_states_every_fifteen_seconds(bench: Bench) -> None:
    for _ in range(31):
        bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"), seconds=1)
    assert len([state for state in bench.states if state.source == "pyth"]) == 3


def test_oracle__traces_each_rejection_once(bench: Bench, rejection: Callable[..., Rejection]) -> None:
    both = (bench.reads("chainlink", "65000"), bench.reads("pyth", "65000"))
    bench.step(*both)
    bench.step([rejection("pyth", "out_of_order", at=bench.clock.now())], seconds=60)
    bench.step(*both, seconds=60)
    assert [[each.code for each in trace.rejections] for trace in bench.traces] == [[], ["out_of_order"], []]


def test_oracle__ignores_assets_and_sources_that_it_does_not_know(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "1", asset="DOGE"), bench.reads("other", "1"), seconds=9)
    assert {price.price_usd for price in bench.prices} == {None}


def test_oracle__marks_made_up_prices(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "65000", is_simulated=True), bench.reads("pyth", "65000"))
    assert bench.prices[-1].is_simulated


def test_outbox__keeps_only_the_newest_decision_while_pubsub_is_away(bench: Bench) -> None:
    both = ("chainlink", "pyth")
    bench.publisher.is_away = True
    for number in range(20):
        bench.step(*(bench.reads(name, f"{65000 + number * 100}") for name in both), seconds=1)
    assert bench.outbox.away_since is not None
    bench.publisher.is_away = False
    bench.step(seconds=1)
    assert bench.outbox.away_since is None
    [price], [trace] = bench.prices, bench.traces
    assert price.price_usd == Decimal(65000 + 19 * 100)
    assert price.published_at == bench.clock.now()
    assert trace.price_id == price.price_id
    assert {state.source for state in bench.states} == set(both)


def test_outbox__sends_what_waits_when_it_is_stopped(bench: Bench) -> None:
    bench.oracle.take([*bench.reads("chainlink", "65000"), *bench.reads("pyth", "65000")])
    bench.oracle.decide()
    stop = threading.Event()
    stop.set()
    bench.outbox.run(stop)
    assert len(bench.prices) == 1


def test_metrics__tell_prices_qualities_and_states(bench: Bench, rejection: Callable[..., Rejection]) -> None:
    bench.step(bench.reads("chainlink", "65000"), bench.reads("pyth", "65100"))
    bench.step([rejection("pyth", "out_of_order")])
    text = bench.metrics.render().decode()
    for line in (
        'ballast_oracle_price_usd{asset="BTC"} 65050.0',
        'ballast_oracle_price_age_seconds{asset="BTC"} 2.0',
        'ballast_oracle_quality{asset="BTC",quality="ok"} 1.0',
        'ballast_oracle_quality{asset="BTC",quality="degraded"} 0.0',
        'ballast_oracle_source_breaker_state{source="pyth",state="closed"} 1.0',
        'ballast_oracle_ticks_total{source="pyth"} 1.0',
        'ballast_oracle_rejections_total{code="out_of_order",source="pyth"} 1.0',
        'ballast_oracle_published_total{asset="BTC"} 1.0',
        "ballast_oracle_publish_delay_seconds_count 1.0",
    ):
        assert line in text.splitlines()


def test_run__decides_on_what_comes_in_until_stopped(table: FeedTable, publisher: Any, tick: Make) -> None:
    clock, stop, inbox, metrics = SystemClock(), threading.Event(), Inbox(), OracleMetrics()
    outbox = Outbox(publisher, clock, metrics)
    oracle = Oracle(table, ("chainlink", "pyth"), outbox, metrics, clock)
    running = threading.Thread(target=oracle.run, args=(inbox, stop))
    running.start()
    for source in ("chainlink", "pyth"):
        inbox.tick(tick(source, "65000", at=clock.now()))
    for _ in range(1000):
        if "BTC" in oracle.decisions and oracle.decisions["BTC"].quality is Quality.OK:
            break
        stop.wait(0.01)
    stop.set()
    running.join()
    assert oracle.decisions["BTC"].price_usd == Decimal("65000")
    assert outbox.waits("BTC")


def test_run__ends_where_the_outbox_died(table: FeedTable, publisher: Any) -> None:
    clock, metrics = SystemClock(), OracleMetrics()
    oracle = Oracle(table, (), Outbox(publisher, clock, metrics), metrics, clock)
    oracle.run(Inbox(), threading.Event(), lambda: False)
    assert oracle.decided_at is None


@pytest.mark.parametrize(
    "changes",
    [
        {"price_usd": Decimal("1e-10")},
        {"price_usd": Decimal(10) ** 15},
        {"price_usd": Decimal("NaN")},
        {"price_usd": Decimal("1e-39")},
        {"price_usd": Decimal("1." + "0" * 38 + "1")},
        {"confidence_usd": Decimal("-1")},
        {"reference": "x" * 129},
    ],
)
def test_inbox__makes_a_reading_that_no_price_can_hold_a_rejection(tick: Make, changes: dict[str, Any]) -> None:
    inbox = Inbox()
    inbox.tick(replace(tick("pyth", "1"), **changes))
    [event] = inbox.take(0)
    assert isinstance(event, Rejection)
    assert event.code == "out_of_range"


def test_messages__are_json_without_binary_floats(bench: Bench) -> None:
    bench.step(bench.reads("chainlink", "0.1"), bench.reads("pyth", "0.1", confidence_usd=Decimal("1e-12")))
    [trace] = bench.publisher.of(topics.PRICE_TICKS.name)
    prices = [each["price_usd"] for each in json.loads(trace)["inputs"]]
    assert prices == ["0.1", "0.1"]

"""The Pyth source against the local Hermes, over HTTP and its event stream."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.clock import SystemClock
from infra.runtime.errors import SettingsError
from ingest.errors import FeedTableError
from ingest.prices.feeds import AssetFeeds, FeedTable, PythFeed
from ingest.prices.pyth.benchmarks import PythHistory
from ingest.prices.pyth.source import PythSource

LATEST, STREAM = "/v2/updates/price/latest", "/v2/updates/price/stream"
BTC = "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43"
UNKNOWN = "ab" * 32


def test_source__reports_exact_prices_as_they_are_set(hermes: Any, follow: Any) -> None:
    with follow() as notes:
        notes.wait_for(lambda: {each.asset for each in notes.ticks} == {"BTC", "ETH", "USDC"})
        hermes.control.set_prices({"BTC": Decimal("65000.12345678")}, confidence_bp=Decimal(10))
        notes.wait_for(lambda: notes.last("BTC").price_usd == Decimal("65000.12345678"))
        tick = notes.last("BTC")
        assert tick.confidence_usd == Decimal("65.00012345")
        assert (tick.source, tick.is_simulated) == ("pyth", True)
        state = hermes.control.state()
        assert tick.observed_at.timestamp() <= state.prices["BTC"].publish_time
        assert int(tick.reference) <= state.slot
    assert not notes.failures
    assert not notes.rejections
    assert notes.answers >= 2
    assert len({each.tick_id for each in notes.ticks}) == len(notes.ticks)


def test_source__follows_a_changing_exponent(hermes: Any, follow: Any) -> None:
    with follow() as notes:
        notes.wait_for_news()
        for price, expo in ((Decimal("0.99990001"), -8), (Decimal("0.9998"), -4), (Decimal("0.999700000003"), -12)):
            hermes.control.set_prices({"USDC": price}, expo=expo)
            notes.wait_for(lambda price=price: notes.last("USDC").price_usd == price)
    assert not notes.rejections


def test_source__is_silent_about_repetitions_but_answers(hermes: Any, follow: Any) -> None:
    with follow() as notes:
        notes.wait_for_news()
        hermes.control.fail("frozen")
        notes.wait_for(lambda: notes.answers >= 3)
        ticks, answers = len(notes.ticks), notes.answers
        notes.wait_for(lambda: notes.answers >= answers + 5)
        assert len(notes.ticks) == ticks
    assert not notes.rejections


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("negative", "non_positive_price"),
        ("from_future", "from_future"),
        ("parsed_mismatch", "parsed_mismatch"),
        ("no_binary", "unbound"),
    ],
)
def test_source__rejects_spoiled_prices_and_goes_on(hermes: Any, follow: Any, mode: str, code: str) -> None:
    with follow() as notes:
        notes.wait_for_news()
        hermes.control.fail(mode, count=1)
        notes.wait_for(lambda: notes.rejected_codes[code] >= 3)
        notes.wait_for_news()
    assert notes.rejected_codes == {code: 3}
    assert not notes.failures


def test_source__rejects_what_comes_out_of_order(hermes: Any, follow: Any) -> None:
    with follow() as notes:
        notes.wait_for_news()
        hermes.control.set_prices({"ETH": Decimal(3000)}, publish_time=int(time.time()) - 60)
        notes.wait_for(lambda: notes.rejected_codes["out_of_order"])
        notes.wait_for(lambda: notes.last("ETH").price_usd == Decimal(3000))
    assert {each.asset for each in notes.rejections} == {"ETH"}
    assert not notes.failures


def test_source__calls_a_live_socket_with_frozen_times_dead(hermes: Any, follow: Any) -> None:
    with follow(frozen_s=1.5) as notes:
        notes.wait_for_news()
        hermes.control.fail("frozen")
        notes.wait_for(lambda: notes.failed_codes)
        assert notes.failed_codes[0] == "frozen"
        hermes.control.heal()
        notes.wait_for_news()


def test_source__does_not_take_keep_alives_for_prices(hermes: Any, follow: Any) -> None:
    # The server sends a comment every 0.1 s meanwhile.
    with follow(silent_s=0.5) as notes:
        notes.wait_for_news()
        hermes.control.fail("silent")
        notes.wait_for(lambda: "silent" in notes.failed_codes)
        hermes.control.heal()
        notes.wait_for_news()
    assert set(notes.failed_codes) == {"silent"}


def test_source__waits_out_a_rate_limit(hermes: Any, follow: Any) -> None:
    hermes.control.fail("http_429", retry_after=1)
    before = hermes.requests(LATEST) + hermes.requests(STREAM)
    with follow() as notes:
        notes.wait_for(lambda: notes.failures)
        # A client that hammers makes dozens of requests in this time.
        time.sleep(0.5)
        assert hermes.requests(LATEST) + hermes.requests(STREAM) == before + 1
        hermes.control.heal()
        notes.wait_for_news()
    assert notes.failed_codes == ["rate_limited"]
    assert "1 s" in notes.failures[0].reason


@pytest.mark.parametrize(
    ("limits", "mode"), [({"rate_limited_s": 30.0}, "http_429"), ({"unauthorized_s": 30.0}, "http_401")]
)
def test_source__stays_away_for_long_and_still_stops_at_once(
    hermes: Any, follow: Any, limits: dict[str, float], mode: str
) -> None:
    hermes.control.fail(mode)
    before = hermes.requests(LATEST)
    with follow(limits=limits) as notes:
        notes.wait_for(lambda: notes.failures)
        time.sleep(0.2)
    assert hermes.requests(LATEST) == before + 1


@pytest.mark.parametrize("mode", ["http_401", "http_403"])
def test_source__reports_a_refused_key_and_recovers(hermes: Any, follow: Any, mode: str) -> None:
    with follow() as notes:
        notes.wait_for_news()
        hermes.control.fail(mode)
        notes.wait_for(lambda: notes.failed_codes.count("unauthorized") >= 2)
        hermes.control.heal()
        notes.wait_for_news()
    assert set(notes.failed_codes) == {"disconnected", "unauthorized"}
    assert all("market-token" not in each.reason for each in notes.failures)


def test_source__with_a_wrong_key_is_unauthorized(follow: Any) -> None:
    with follow(token="wrong") as notes:
        notes.wait_for(lambda: notes.failures)
    assert set(notes.failed_codes) == {"unauthorized"}
    assert not notes.ticks


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Connection timeout reached (24h)", "time limit"),
        ("Slow consumer: disconnected", "too slowly"),
        ("Error receiving update: Lagged(3)", "lost updates"),
        ("<b>secret</b>", "an error of the stream"),
    ],
)
def test_source__reports_error_events_by_kind(hermes: Any, follow: Any, text: str, reason: str) -> None:
    with follow() as notes:
        notes.wait_for_news()
        hermes.control.fail("error_event", count=1, text=text)
        notes.wait_for(lambda: notes.failures)
        notes.wait_for_news()
    assert notes.failed_codes == ["stream_error"]
    assert reason in notes.failures[0].reason
    assert text not in notes.failures[0].reason


def test_source__asks_for_the_latest_at_each_connection(hermes: Any, follow: Any) -> None:
    with follow(stable_s=0.2) as notes:
        notes.wait_for_news()
        latest, streams = hermes.requests(LATEST), hermes.requests(STREAM)
        for number in range(1, 4):
            hermes.control.fail("reset", count=1)
            notes.wait_for(lambda number=number: len(notes.failures) == number)
            notes.wait_for(lambda number=number: hermes.requests(STREAM) == streams + number)
        assert hermes.requests(LATEST) == latest + 3
        notes.wait_for_news()
    assert notes.failed_codes == ["disconnected"] * 3


class Noting(random.Random):
    """Notes the longest wait of each draw, and waits no time."""

    def __init__(self) -> None:
        super().__init__()
        self.longest: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.longest.append(b)
        return 0.0


def test_source__begins_its_back_off_anew_after_a_stream_that_lived(hermes: Any, follow: Any) -> None:
    hermes.control.fail("http_500", count=3)
    generator = Noting()
    with follow(generator=generator, stable_s=0.1, backoff_max_s=1.0) as notes:
        notes.wait_for(lambda: len({each.observed_at for each in notes.ticks}) >= 3)
        hermes.control.fail("reset", count=1)
        notes.wait_for(lambda: len(generator.longest) == 4)
    assert generator.longest == [0.02, 0.04, 0.08, 0.02]


@pytest.mark.parametrize(("mode", "code"), [("http_500", "server_error"), ("malformed", "malformed")])
def test_source__survives_what_hermes_may_answer(hermes: Any, follow: Any, mode: str, code: str) -> None:
    hermes.control.fail(mode, count=3)
    with follow() as notes:
        notes.wait_for_news()
    assert notes.failed_codes == [code] * 3


def test_source__survives_malformed_events(hermes: Any, follow: Any) -> None:
    with follow() as notes:
        notes.wait_for_news()
        hermes.control.fail("malformed", count=1)
        notes.wait_for(lambda: notes.failed_codes == ["malformed"])
        notes.wait_for_news()


def test_source__gives_up_on_an_answer_that_does_not_come(hermes: Any, follow: Any) -> None:
    hermes.control.fail("slow", delay_s=1.0, count=1)
    with follow(limits={"request_timeout_s": 0.2}) as notes:
        notes.wait_for_news()
    assert notes.failed_codes == ["timeout"]


def test_source__rejects_feeds_that_hermes_does_not_know(hermes: Any, follow: Any) -> None:
    with follow(feeds={"BTC": BTC, "DOGE": UNKNOWN}) as notes:
        notes.wait_for_news()
    assert [(each.asset, each.code) for each in notes.rejections] == [("DOGE", "unknown_feed")]
    assert not notes.failures
    with follow(feeds={"DOGE": UNKNOWN}) as notes:
        notes.wait_for(lambda: notes.failures)
    assert set(notes.failed_codes) == {"unknown_feed"}


def test_history__reads_the_closes_of_the_local_server(hermes: Any) -> None:
    clock = SystemClock()
    today = clock.now().date()
    history = PythHistory(hermes.settings.pyth_hermes_url, hermes.settings.pyth_token, clock)
    closes = history.closes("BTC", today - timedelta(days=400), today - timedelta(days=3))
    assert [each.price_date for each in closes] == [today - timedelta(days=day) for day in range(400, 2, -1)]
    assert {(each.asset, each.source, each.close_usd.as_tuple().exponent) for each in closes} == {("BTC", "pyth", -9)}
    assert hermes.requests("/v1/shims/tradingview/history") == 2


def test_source__refuses_what_a_person_must_mend(hermes: Any) -> None:
    feed = AssetFeeds(pyth=PythFeed(feed_id=BTC, max_age_s=30))
    table = FeedTable(chain_id=1, read_on="now", assets={"BTC": feed})
    with pytest.raises(FeedTableError, match="BTC and WBTC have the same"):
        PythSource(table.model_copy(update={"assets": {"BTC": feed, "WBTC": feed}}), "http://x", None)
    with pytest.raises(FeedTableError, match="no Pyth feed"):
        PythSource(table.model_copy(update={"assets": {}}), "http://x", None)
    for address in ("hermes", "ftp://x", "http://"):
        with pytest.raises(SettingsError, match="BALLAST_PYTH_HERMES_URL"):
            PythSource(table, address, None)
    with pytest.raises(SettingsError, match="BALLAST_PYTH_HERMES_URL"):
        PythSource.from_settings(hermes.settings.model_copy(update={"pyth_hermes_url": None}), table)
    assert PythSource.from_settings(hermes.settings, table).name == "pyth"


def test_source__outlives_a_restart_which_keeps_the_prices(hermes: Any, follow: Any) -> None:
    hermes.control.set_prices({"BTC": Decimal("70000.5"), "USDC": Decimal("1.0001")}, expo=-6)
    with follow() as notes:
        notes.wait_for(lambda: notes.last("BTC") and notes.last("BTC").price_usd == Decimal("70000.5"))
        assert hermes.stop() == 0
        notes.wait_for(lambda: "unreachable" in notes.failed_codes)
        seen = len(notes.ticks)
        hermes.start()
        notes.wait_for(lambda: any(each.asset == "BTC" for each in notes.ticks[seen:]))
        assert notes.last("BTC").price_usd == Decimal("70000.5")
        assert hermes.control.state().prices["USDC"].expo == -6
    assert set(notes.failed_codes) <= {"disconnected", "unreachable"}
    assert not notes.rejections


def test_source__leaves_no_thread_behind(follow: Any) -> None:
    with follow() as notes:
        notes.wait_for_news()
    assert not [each for each in threading.enumerate() if each.name == "hermes-stream"]

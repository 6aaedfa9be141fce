"""One tick of the margin sensor: how often it looks, what it remembers, what it tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from alerting.events import parse_margin_event
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError
from infra.runtime.settings import Settings
from orchestration.sensors import margin
from orchestration.sensors.margin import MarginCursor, Watch, margin_alert_sensor, read_cursor, watch_book

# Dagster asks pydantic for an attribute by its old name whenever a resource is made.
pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated:DeprecationWarning")

Row = Callable[..., dict[str, Any]]


@dataclass
class Time:
    """Time that passes only in sleep: the pause and `each_look_s` for the look after it."""

    each_look_s: float = 0.0
    at: float = 100.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds + self.each_look_s

    def watch(self, looking_s: float = 4.2, pause_s: float = 0.2) -> Watch:
        return Watch(looking_s, pause_s, self.monotonic, self.sleep)


@pytest.fixture
def clock(now: datetime) -> FixedClock:
    return FixedClock(now)


@pytest.mark.parametrize(("each_look_s", "looks"), [(0.0, 21), (0.8, 5), (10.0, 2)])
def test_watch__looks_until_the_time_is_over(
    book: Any, topic: Any, clock: FixedClock, each_look_s: float, looks: int
) -> None:
    time = Time(each_look_s)
    cursor, found = watch_book(MarginCursor(), book, topic, clock, time.watch())
    assert cursor.looks == looks
    assert time.slept == [0.2] * (looks - 1)
    assert found == []


def test_watch__looks_once_where_there_is_no_time(book: Any, topic: Any, clock: FixedClock) -> None:
    time = Time()
    cursor, _ = watch_book(MarginCursor(looks=5), book, topic, clock, time.watch(looking_s=0))
    assert cursor.looks == 6
    assert time.slept == []


def test_watch__an_event_is_kept_published_and_told(book: Any, topic: Any, row: Row, clock: FixedClock) -> None:
    book.looks = [[], [row("a"), row("b", "liquidation", "10")]]
    cursor, [told] = watch_book(MarginCursor(), book, topic, clock, Time().watch())
    assert cursor.events == 2
    assert cursor.last_error is None
    assert told.asset_key == dg.AssetKey(["risk", "margin_events"])
    assert told.description == "a: margin_call, b: liquidation"
    assert told.metadata["decided"].value == told.metadata["published"].value == 2
    sent = [parse_margin_event(data) for data in topic.sent]
    assert [(event.account_id, event.severity.value) for event in sent] == [("a", "margin_call"), ("b", "liquidation")]
    assert book.recorded == [event.margin_event_id for event in sent]


def test_watch__a_failed_look_ends_it_and_keeps_what_was_found(
    book: Any, topic: Any, row: Row, clock: FixedClock
) -> None:
    book.looks = [[row("a")], NotReadyError("BigQuery is away"), [row("b")]]
    cursor, found = watch_book(MarginCursor(), book, topic, clock, Time().watch())
    assert cursor.last_error == "not_ready: BigQuery is away"
    assert (cursor.looks, cursor.events, len(found)) == (1, 1, 1)
    again, _ = watch_book(cursor, book, topic, clock, Time().watch())
    assert again.last_error is None
    assert again.events == 2


def test_watch__what_was_kept_but_not_recorded_is_published_again(
    book: Any, topic: Any, row: Row, clock: FixedClock
) -> None:
    book.looks = [[row("a")]]
    book.fails_to_append = NotReadyError("away")
    cursor, found = watch_book(MarginCursor(), book, topic, clock, Time().watch())
    assert cursor.last_error == "not_ready: away"
    assert found == []
    book.fails_to_append = None
    _, [told] = watch_book(cursor, book, topic, clock, Time().watch())
    assert told.description == "published what an earlier look had kept"
    assert topic.sent[0] == topic.sent[1]
    assert len(topic.sent) == 2


def test_watch__an_account_that_contradicts_itself_does_not_hold_up_the_others(
    book: Any, topic: Any, row: Row, clock: FixedClock
) -> None:
    upside_down = row("bad", margin_call_threshold_pct=row("x")["liquidation_threshold_pct"])
    book.looks = [[upside_down, row("good"), row("unknown", health_pct=None)]]
    cursor, [told] = watch_book(MarginCursor(), book, topic, clock, Time().watch(looking_s=0))
    assert cursor.last_error is None
    assert told.description == "good: margin_call"
    assert told.metadata["unjudged"].value == 2


def test_watch__reads_every_page(
    book: Any, topic: Any, row: Row, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page may hold nothing but accounts within the recovery margin, which call for no event."""
    kept = {"last_severity": "margin_call", "last_episode_id": "e", "last_transition_number": 1}
    waiting = [row(f"a{number:04d}", "healthy", "31", **kept) for number in range(1_000)]
    book.looks = [waiting, [row("b")]]
    cursor, [told] = watch_book(MarginCursor(), book, topic, clock, Time().watch(looking_s=0))
    assert told.description == "b: margin_call"
    assert (cursor.looks, cursor.events) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [None, "", "no json", "[]", '{"version": 2, "looks": 9}', '{"version": 2, "looks": {"a": 1}}', '{"looks": "many"}'],
)
def test_cursor__that_cannot_be_read_begins_anew(text: str | None) -> None:
    assert read_cursor(text) == MarginCursor()


def test_cursor__is_read_back() -> None:
    cursor = MarginCursor(looks=3, events=1, last_look_at="2026-01-31T12:00:00+00:00", last_error="not_ready: x")
    assert read_cursor(cursor.model_dump_json()) == cursor


@pytest.fixture
def tick(platform: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], dg.SensorResult]:
    """Ticks the sensor against an instance of its own, with a watch that looks once."""
    monkeypatch.setattr(margin, "Watch", lambda: Watch(looking_s=0))

    def run(cursor: str | None = None) -> dg.SensorResult:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": platform})
            result = margin_alert_sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    return run


def test_sensor__counts_on_from_its_cursor(tick: Any) -> None:
    first = tick()
    second = tick(first.cursor)
    assert json.loads(second.cursor)["looks"] == 2
    assert second.run_requests is None or second.run_requests == []


def test_sensor__without_events_says_why_it_skips(tick: Any) -> None:
    assert tick().skip_reason.skip_message == "1 looks so far, 0 events; none in this tick"


def test_sensor__reports_events_and_keeps_its_clients(
    tick: Any, book: Any, topic: Any, platform: Any, row: Row
) -> None:
    book.looks = [[row("a")]]
    result = tick()
    assert result.skip_reason is None
    [told] = result.asset_events
    assert told.asset_key == dg.AssetKey(["risk", "margin_events"])
    assert len(topic.sent) == 1
    assert (topic.is_closed, platform.discarded) == (False, 0)


def test_sensor__an_error_stands_in_the_cursor_and_in_the_skip_reason(tick: Any, book: Any, platform: Any) -> None:
    book.looks = [NotReadyError("BigQuery is away")]
    result = tick()
    assert json.loads(result.cursor)["last_error"] == "not_ready: BigQuery is away"
    assert result.skip_reason.skip_message == "not_ready: BigQuery is away"
    assert platform.discarded == 1
    assert json.loads(tick(result.cursor).cursor)["last_error"] is None


def test_sensor__an_error_that_is_not_ours_fails_the_tick_and_makes_clients_anew(
    tick: Any, book: Any, platform: Any
) -> None:
    book.looks = [ZeroDivisionError("a fault")]
    with pytest.raises(ZeroDivisionError):
        tick()
    assert platform.discarded == 1


def test_sensor__shows_its_life_at_each_look_and_what_it_cannot_do(tick: Any, book: Any, platform: Any) -> None:
    tick()
    book.looks = [NotReadyError("BigQuery is away")]
    tick()
    assert platform.beats == [("margin_sensor", None), ("margin_sensor", "not_ready")]


def test_clients__are_kept_until_they_are_discarded_or_the_settings_change() -> None:
    from assets.platform import ProcessClients

    settings = Settings(bigquery_endpoint="http://127.0.0.1:1", bigquery_token=SecretStr("t"))
    clients = ProcessClients()
    first, pulse = clients.warehouse(settings), clients.heartbeat(settings, "margin_sensor")
    assert clients.warehouse(settings.model_copy()) is first
    clients.discard()
    second = clients.warehouse(settings)
    assert second is not first
    assert clients.heartbeat(settings, "margin_sensor") is pulse
    moved = settings.model_copy(update={"bigquery_endpoint": "http://127.0.0.1:2"})
    assert clients.warehouse(moved) is not second
    assert clients.heartbeat(moved, "margin_sensor") is not pulse
    clients.discard()


def test_sensor__a_cursor_of_another_version_begins_anew(tick: Any) -> None:
    assert json.loads(tick('{"version": 7, "looks": "x"}').cursor) | {"last_look_at": None} == {
        "version": 1,
        "looks": 1,
        "events": 0,
        "last_look_at": None,
        "last_error": None,
    }

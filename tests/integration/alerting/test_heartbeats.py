"""Signs of life in PostgreSQL, and who believes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy import Engine, text

from infra.embedded.probes import HeartbeatProbe, ProbeContext, is_ready
from infra.runtime.heartbeats import Beat, Heartbeat, beating, heartbeat, read_heartbeats
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

pytestmark = pytest.mark.embedded
PATIENCE_S = 60.0


def beat_of(engine: Engine, name: str, holds: Callable[[Beat], bool] = lambda _beat: True) -> Beat:
    """The beat of that name once it holds."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        found = read_heartbeats(engine).get(name)
        if found is not None and holds(found):
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.02)


@pytest.fixture
def beats(engine: Engine) -> Engine:
    """An engine on a database without heartbeats."""
    with engine.begin() as connection:
        connection.execute(text("truncate platform.heartbeats"))
    return engine


def test_beat__is_read_with_its_age_and_renewed(beats: Engine) -> None:
    with closing(Heartbeat(beats, "consumer", every_s=0.01)) as shown:
        shown.beat("reading")
        first = beat_of(beats, "consumer")
        assert (first.detail, first.problem) == ("reading", None)
        assert 0 <= first.age_s < PATIENCE_S
        shown.beat("waiting", "not_ready")
        second = beat_of(beats, "consumer", lambda beat: beat.detail == "waiting")
    assert second.beat_at > first.beat_at
    assert second.problem == "not_ready"
    assert len(read_heartbeats(beats)) == 1


def test_beat__close_writes_the_last_one_and_ends_the_thread(beats: Engine) -> None:
    before = threading.active_count()
    shown = Heartbeat(beats, "consumer", every_s=3600)
    for number in range(50):
        shown.beat(str(number))
    shown.close()
    shown.beat("too late")
    assert read_heartbeats(beats)["consumer"].detail == "49"
    assert threading.active_count() == before


def test_beat__an_older_process_does_not_turn_the_time_back(beats: Engine) -> None:
    with beats.begin() as connection:
        connection.execute(
            text("insert into platform.heartbeats values ('runner', clock_timestamp() + interval '1 hour', 'newer')")
        )
    with closing(Heartbeat(beats, "runner")) as shown:
        shown.beat("older")
    assert read_heartbeats(beats)["runner"].detail == "newer"


def test_beat__with_the_database_away_neither_raises_nor_waits(
    postgres_settings: Settings, beats: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    away = postgres_engine(Settings(postgres_url="postgresql+psycopg://nobody@127.0.0.1:1/none"))  # type: ignore[arg-type]
    with closing(Heartbeat(away, "oracle", every_s=0.01)) as shown:
        for _ in range(20):
            shown.beat()
            time.sleep(0.01)
    away.dispose()
    assert capsys.readouterr().out.count("heartbeat_not_written") == 1
    with heartbeat(postgres_settings, "oracle") as shown:
        shown.beat()
    assert "oracle" in read_heartbeats(beats)


def test_beating__only_while_it_works(beats: Engine) -> None:
    is_working = threading.Event()
    with closing(Heartbeat(beats, "runner", every_s=0.01)) as shown, beating(shown, is_working.is_set, lambda: "job"):
        assert read_heartbeats(beats) == {}
        is_working.set()
        assert beat_of(beats, "runner").detail == "job"


def test_beating__tells_the_problem_while_there_is_one(beats: Engine) -> None:
    with (
        closing(Heartbeat(beats, "consumer", every_s=0.01)) as shown,
        beating(shown, lambda: True, problem=lambda: "not_ready"),
    ):
        assert beat_of(beats, "consumer").problem == "not_ready"


@pytest.mark.parametrize(
    ("seconds_ago", "uptime_s", "is_believed"),
    [(1, None, True), (1, 60, True), (20, 60, False), (5, 2, False)],
    ids=["fresh", "fresh since the start", "old", "of the process before"],
)
def test_probe__believes_a_recent_beat_of_this_process(
    postgres_settings: Settings, beats: Engine, seconds_ago: int, uptime_s: float | None, is_believed: bool
) -> None:
    statement = text(
        "insert into platform.heartbeats values ('consumer', clock_timestamp() - make_interval(secs => :s))"
    )
    with beats.begin() as connection:
        connection.execute(statement, {"s": seconds_ago})
    context = ProbeContext(postgres_settings, uptime_s=uptime_s)
    assert is_ready((HeartbeatProbe("consumer", max_age_s=10),), context) is is_believed
    assert not is_ready((HeartbeatProbe("alert-worker", max_age_s=10),), context)


def test_probe__without_the_table_is_not_ready(postgres_settings: Settings, beats: Engine) -> None:
    with beats.begin() as connection:
        connection.execute(text("drop table platform.heartbeats"))
    assert not is_ready((HeartbeatProbe("consumer", max_age_s=10),), ProbeContext(postgres_settings))

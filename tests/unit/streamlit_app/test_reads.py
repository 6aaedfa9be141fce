"""The reads: what is kept, what a failure leaves, and which failure is which."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from assets.risk.queries import Reader
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError, WarehouseError
from streamlit_app.reads import LastGood, ProblemKind, Read, Reading, SharedReads, Watched, problem_of

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY = ("book_summary",)


class NoReader:
    """A reader that the reads of these tests do not ask."""

    def query(self, sql: str, parameters: object = None) -> list[dict[str, object]]:
        raise AssertionError(sql)


def _fails(error: Exception) -> object:
    def run(_reader: Reader) -> int:
        raise error

    return run


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def reads(clock: FixedClock) -> LastGood:
    return LastGood(clock)


def test_read__gives_the_value_and_when_it_was_asked_for(reads: LastGood) -> None:
    assert reads.read(NoReader(), KEY, lambda _: 7) == Reading(7, START)


def test_read__keeps_the_last_value_and_its_time_while_the_warehouse_is_away(
    reads: LastGood, clock: FixedClock
) -> None:
    reads.read(NoReader(), KEY, lambda _: 7)
    clock.advance(timedelta(seconds=90))
    found = reads.read(NoReader(), KEY, _fails(NotReadyError("away")))
    assert (found.value, found.read_at) == (7, START)
    assert found.problem is not None
    assert found.problem.kind is ProblemKind.AWAY
    assert found.age_s(clock.now()) == 90


def test_read__recovers_by_itself(reads: LastGood, clock: FixedClock) -> None:
    reads.read(NoReader(), KEY, _fails(NotReadyError("away")))
    clock.advance(timedelta(seconds=2))
    assert reads.read(NoReader(), KEY, lambda _: 8) == Reading(8, clock.now())


def test_read__asks_no_further_while_it_just_found_the_warehouse_away(reads: LastGood, clock: FixedClock) -> None:
    reads.read(NoReader(), KEY, _fails(NotReadyError("away")))
    other = reads.read(NoReader(), ("nearest",), lambda reader: reader.query("must not be asked"))
    assert other.problem is not None
    assert other.problem.kind is ProblemKind.AWAY
    clock.advance(timedelta(seconds=1))
    assert reads.read(NoReader(), ("nearest",), lambda _: 1).problem is None


def test_read__a_refused_read_does_not_stop_the_others(reads: LastGood) -> None:
    reads.read(NoReader(), KEY, _fails(WarehouseError("Quota exceeded")))
    assert reads.read(NoReader(), ("nearest",), lambda _: 1).value == 1


def test_read__serves_a_young_value_without_asking(reads: LastGood, clock: FixedClock) -> None:
    minute = timedelta(minutes=1)
    reads.read(NoReader(), KEY, lambda _: 7, minute)
    clock.advance(timedelta(seconds=59))
    assert reads.read(NoReader(), KEY, lambda _: 8, minute).value == 7
    clock.advance(timedelta(seconds=1))
    assert reads.read(NoReader(), KEY, lambda _: 8, minute).value == 8


def test_read__forgets_the_least_recently_used_beyond_its_limit(clock: FixedClock) -> None:
    reads = LastGood(clock, max_reads=2)
    for key in ("a", "b", "a", "c"):
        reads.read(NoReader(), (key,), lambda _: 1)
    kept = {key for key in "abc" if reads.read(NoReader(), (key,), _fails(WarehouseError("no"))).value is not None}
    assert kept == {"a", "c"}


def test_read__an_error_of_our_own_code_is_not_swallowed(reads: LastGood) -> None:
    with pytest.raises(KeyError):
        reads.read(NoReader(), KEY, _fails(KeyError("column")))


def test_read__from_many_threads_keeps_each_value(reads: LastGood) -> None:
    found: dict[int, Reading[int]] = {}

    def work(number: int) -> None:
        found[number] = reads.read(NoReader(), (number,), lambda _: number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: reading.value for number, reading in found.items()} == {number: number for number in range(32)}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotReadyError("http://127.0.0.1 did not answer"), ProblemKind.AWAY),
        (ConnectionRefusedError("refused"), ProblemKind.AWAY),
        (TimeoutError("timed out"), ProblemKind.AWAY),
        (WarehouseError("Not found: Table ballast:risk.margin_health was not found"), ProblemKind.NOT_BUILT),
        (WarehouseError("Not found: Dataset ballast:risk was not found in location US"), ProblemKind.NOT_BUILT),
        (WarehouseError("Function not found: nofn at [1:8]"), ProblemKind.REFUSED),
        (WarehouseError('Referenced column "x" not found in FROM clause'), ProblemKind.REFUSED),
        (WarehouseError("Quota exceeded"), ProblemKind.REFUSED),
    ],
)
def test_problem_of__tells_absence_from_refusal_and_silence(error: Exception, kind: ProblemKind) -> None:
    assert problem_of(error).kind is kind


def test_shared__runs_a_query_once_for_all_who_ask_while_it_is_under_way(clock: FixedClock) -> None:
    shared = SharedReads(NoReader(), LastGood(clock), deadline_s=20)
    under_way, go_on, runs = threading.Event(), threading.Event(), []

    def run(_reader: Reader) -> int:
        runs.append(1)
        under_way.set()
        assert go_on.wait(20)
        return 7

    found: list[Reading[int]] = []
    threads = [threading.Thread(target=lambda: found.extend(shared.together(Read(KEY, run)))) for _ in range(8)]
    threads[0].start()
    assert under_way.wait(20)
    for thread in threads[1:]:
        thread.start()
    # They ask before it ends: what is under way is looked up first.
    while any(thread.is_alive() for thread in threads):
        go_on.set()
        for thread in threads:
            thread.join(0.01)
    assert [reading.value for reading in found] == [7] * 8
    assert len(runs) < 8


def test_shared__nobody_waits_longer_than_the_deadline_and_the_last_value_is_old(clock: FixedClock) -> None:
    shared = SharedReads(NoReader(), LastGood(clock), deadline_s=0.05)
    go_on, runs = threading.Event(), []

    def hangs(_reader: Reader) -> int:
        runs.append(1)
        assert go_on.wait(20)
        return 8

    assert shared.together(Read(KEY, lambda _: 7))[0].value == 7
    clock.advance(timedelta(seconds=9))
    for _ in range(3):
        found = shared.together(Read(KEY, hangs))[0]
        assert (found.value, found.age_s(clock.now()) is not None) == (7, True)
        assert found.problem is not None
        assert found.problem.kind is ProblemKind.AWAY
        clock.advance(timedelta(seconds=2))
    # The query that hangs is not asked again beside itself.
    assert len(runs) == 1
    go_on.set()
    while (last := shared.together(Read(KEY, lambda _: 8))[0]).problem is not None:
        clock.advance(timedelta(seconds=2))
    assert last.value == 8


def test_shared__gives_the_answers_in_the_order_of_the_questions(clock: FixedClock) -> None:
    shared = SharedReads(NoReader(), LastGood(clock), deadline_s=20)
    reads = [Read((number,), lambda _, number=number: number, timedelta(seconds=9)) for number in (3, 1, 2)]
    for _ in range(2):
        assert [reading.value for reading in shared.together(*reads)] == [3, 1, 2]


def test_shared__an_error_of_our_own_code_reaches_who_asked_and_is_not_kept(clock: FixedClock) -> None:
    shared = SharedReads(NoReader(), LastGood(clock), deadline_s=20)
    with pytest.raises(KeyError):
        shared.together(Read(KEY, _fails(KeyError("column"))))
    assert shared.together(Read(KEY, lambda _: 1))[0].value == 1


def test_read__that_was_refused_is_not_asked_again_by_everybody(reads: LastGood, clock: FixedClock) -> None:
    reads.read(NoReader(), KEY, _fails(WarehouseError("Quota exceeded")), timedelta(seconds=0.4))
    again = reads.read(NoReader(), KEY, lambda reader: reader.query("must not be asked"), timedelta(seconds=0.4))
    assert again.problem is not None
    clock.advance(timedelta(seconds=0.4))
    assert reads.read(NoReader(), KEY, lambda _: 1, timedelta(seconds=0.4)).value == 1


def test_part__of_a_read_of_several_is_kept_for_its_name(reads: LastGood, clock: FixedClock) -> None:
    whole = Reading({"a": 1, "b": 2}, clock.now())
    assert reads.part(("one", "a"), whole, "a", 0) == Reading(1, START)
    assert reads.part(("one", "c"), whole, "c", 0) == Reading(0, START)
    problem = problem_of(NotReadyError("away"))
    other_names: Reading[dict[str, int]] = Reading(None, None, problem)
    assert reads.part(("one", "a"), other_names, "a", 0) == Reading(1, START, problem)
    assert reads.part(("one", "d"), other_names, "d", 0) == Reading(None, None, problem)


def test_watched__names_count_while_somebody_asks_for_them(clock: FixedClock) -> None:
    watched = Watched(clock, lately=timedelta(seconds=5), most=3)
    assert watched.with_name("b") == ("b",)
    clock.advance(timedelta(seconds=4))
    assert watched.with_name("a") == ("a", "b")
    clock.advance(timedelta(seconds=2))
    assert watched.with_name("a") == ("a",)
    for name in "cde":
        watched.with_name(name)
    assert watched.with_name("e") == ("c", "d", "e")

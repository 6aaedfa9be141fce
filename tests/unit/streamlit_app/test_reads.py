"""The reads: what is kept, what a failure leaves, and which failure is which."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from assets.risk.queries import Reader
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError, WarehouseError
from streamlit_app.reads import LastGood, ProblemKind, Reading, problem_of

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

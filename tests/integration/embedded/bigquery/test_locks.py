"""Which statements exclude each other."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from infra.embedded.bigquery.locks import StatementLocks

T, OTHER = ("p", "d", "t"), ("p", "d", "other")
KINDS = {
    "append": lambda locks: locks.append(T),
    "rows": lambda locks: locks.change_rows(frozenset({T})),
    "rows of another table": lambda locks: locks.change_rows(frozenset({OTHER})),
    "rows of both": lambda locks: locks.change_rows(frozenset({T, OTHER})),
    "shape": lambda locks: locks.change_shape(frozenset({T})),
    "shape of another table": lambda locks: locks.change_shape(frozenset({OTHER})),
    "script": lambda locks: locks.everything(),
}
TOGETHER = {
    ("append", "append"),
    ("append", "rows"),
    ("append", "rows of another table"),
    ("append", "rows of both"),
    ("append", "shape of another table"),
    ("append", "script"),
    ("rows", "rows of another table"),
    ("rows", "shape of another table"),
    ("rows of another table", "shape"),
    ("shape", "shape of another table"),
}


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_second_statement__waits_exactly_when_it_must(first, second):
    locks = StatementLocks()
    entered, leave = threading.Event(), threading.Event()

    def run():
        with KINDS[second](locks):
            entered.set()
            leave.wait(10)

    together = (first, second) in TOGETHER or (second, first) in TOGETHER
    with ExitStack() as held:
        held.enter_context(KINDS[first](locks))
        thread = threading.Thread(target=run)
        thread.start()
        assert entered.wait(5.0 if together else 0.05) is together
    assert entered.wait(5)
    leave.set()
    thread.join(10)
    with KINDS["script"](locks):
        assert not thread.is_alive()


def test_lock__is_free_again_after_an_error():
    locks = StatementLocks()
    for kind in KINDS.values():
        with pytest.raises(ValueError, match="inside"), kind(locks):
            raise ValueError("inside")
    for kind in KINDS.values():
        with kind(locks):
            assert kind

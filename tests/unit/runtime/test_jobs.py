"""Repeated jobs: each fails alone, and says so by a code."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from infra.runtime.errors import NotReadyError
from infra.runtime.jobs import Job

SECRET = "Alder Ashbrook, born 1971"


def _raising(error: Exception) -> Callable[[], bool]:
    def run() -> bool:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (NotReadyError(SECRET), "kyc_not_ready"),
        (OperationalError(SECRET, {}, Exception(SECRET)), "kyc_postgres_failed"),
        (ModuleNotFoundError(SECRET), "kyc_failed"),
        (RuntimeError(SECRET), "kyc_failed"),
    ],
)
def test_job__a_failure_is_a_code_that_repeats_nothing_of_the_error(
    error: Exception, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job("kyc", 1.0, _raising(error))
    assert not job.once()
    assert job.problem == problem
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err


def test_job__works_again_once_what_failed_is_over() -> None:
    answers = iter([_raising(RuntimeError()), lambda: True, lambda: False])
    job = Job("lists", 1.0, lambda: next(answers)())
    assert job.problem == "lists_starting", "what has not worked yet is not known to work"
    seen = [(job.once(), job.problem) for _ in range(3)]
    assert seen == [(False, "lists_failed"), (True, None), (False, None)]


def test_job__repeats_at_once_while_there_is_more_and_closes_at_the_end() -> None:
    stop, closed, left = threading.Event(), threading.Event(), [3]

    def run() -> bool:
        left[0] -= 1
        if not left[0]:
            stop.set()
        return True

    # An hour between two looks: without "more to do" this would not end.
    Job("kyc", 3600.0, run, closed.set).repeat(stop)
    assert (left[0], closed.is_set()) == (0, True)

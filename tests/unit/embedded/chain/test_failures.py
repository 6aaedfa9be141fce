"""Failures on command."""

from __future__ import annotations

import threading

from infra.embedded.chain.failures import Failures
from infra.embedded.chain.models import FailureMode, FailureRequest


def test_draw__fails_the_share_that_the_seed_gives():
    failures = Failures()
    failures.set(FailureRequest(mode=FailureMode.DROP, share=0.5, seed=1))
    first = [failures.draw(None) for _ in range(200)]
    failures.set(FailureRequest(mode=FailureMode.DROP, share=0.5, seed=1))
    assert [failures.draw(None) for _ in range(200)] == first
    assert 70 < sum(each is FailureMode.DROP for each in first) < 130


def test_draw__ends_after_the_count_and_keeps_to_its_lane():
    failures = Failures()
    failures.set(FailureRequest(mode=FailureMode.HTTP_500, count=2, lane="main"))
    drawn = [failures.draw(lane) for lane in ("second", "main", None, "main", "main")]
    assert drawn == [None, FailureMode.HTTP_500, None, FailureMode.HTTP_500, None]
    assert failures.wanted is None


def test_hang__ends_when_the_failure_does():
    failures = Failures()
    failures.set(FailureRequest(mode=FailureMode.HANG))
    thread = threading.Thread(target=failures.hang, args=(60.0,))
    thread.start()
    failures.set(None)
    thread.join(0.5)
    while thread.is_alive():
        # The thread may have begun to wait only after the first release.
        failures.set(None)
        thread.join(0.1)
    assert failures.wanted is None

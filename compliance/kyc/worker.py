"""The loop that keeps verifications going: polls, cases that nobody has yet, and ends of validity."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger

EVERY_S = 1.0
POLLS = 50
EXPIRY_EVERY_S = 60.0
_log = get_logger(__name__)


class Polled(Protocol):
    """The part of the service that the loop needs."""

    def poll_due(self, limit: int) -> int: ...

    def expire_due(self) -> int: ...


def run_kyc(
    service: Polled,
    stop: threading.Event,
    every_s: float = EVERY_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Work until `stop` is set; a failure of the database or a policy is logged when it begins and tried again."""
    problem: str | None = None
    expires_at_s = monotonic()
    while not stop.is_set():
        polled = 0
        try:
            polled = service.poll_due(POLLS)
            if monotonic() >= expires_at_s:
                service.expire_due()
                expires_at_s = monotonic() + EXPIRY_EVERY_S
        except (BallastError, SQLAlchemyError) as error:
            found = error.code if isinstance(error, BallastError) else type(error).__name__
            if found != problem:
                _log.warning("kyc_waits", reason=found)
            problem = found
        else:
            if problem is not None:
                _log.info("kyc_works_again", was=problem)
            problem = None
        if polled < POLLS:
            stop.wait(every_s)

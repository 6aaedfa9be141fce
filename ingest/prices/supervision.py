"""Keeps each source running in a thread of its own: what one source does never stops another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger
from ingest.prices.inbox import Broken, Inbox
from ingest.prices.ticks import Source

SourceFactory = Callable[[], Source]
DIED = "source_died"
_log = get_logger(__name__)


@dataclass(frozen=True)
class Restarts:
    """Waits between two runs of a source that ended, in seconds; doubled up to the longest."""

    first_s: float = 1.0
    longest_s: float = 60.0


def start_sources(
    factories: Mapping[str, SourceFactory],
    inbox: Inbox,
    stop: threading.Event,
    clock: Clock,
    restarts: Restarts = Restarts(),
) -> list[threading.Thread]:
    """One running thread a source. They end after `stop`; a provider that hangs does not hold up the process."""
    threads = [
        threading.Thread(
            target=keep_running, args=(name, factory, inbox, stop, clock, restarts), name=f"source-{name}", daemon=True
        )
        for name, factory in factories.items()
    ]
    for thread in threads:
        thread.start()
    return threads


def keep_running(
    name: str, factory: SourceFactory, inbox: Inbox, stop: threading.Event, clock: Clock, restarts: Restarts
) -> None:
    """Make the source and run it, again and again until `stop`; each end that nobody asked for is told."""
    wait_s = restarts.first_s
    while not stop.is_set():
        began = clock.now()
        broken = _run_once(name, factory, inbox, stop, clock)
        if stop.is_set():
            return
        if (clock.now() - began).total_seconds() > restarts.longest_s:
            wait_s = restarts.first_s
        _log.error("source_ended", source=name, code=broken.code, reason=broken.reason, again_in_s=wait_s)
        inbox.broken(broken)
        stop.wait(wait_s)
        wait_s = min(wait_s * 2, restarts.longest_s)


def _run_once(name: str, factory: SourceFactory, inbox: Inbox, stop: threading.Event, clock: Clock) -> Broken:
    """Run to the end; what ended it."""
    try:
        factory().run(inbox, stop)
    except BallastError as error:
        return Broken(name, error.code, error.message, clock.now())
    except Exception as error:
        # The boundary between sources. A library's error may hold a provider's address with its key: not repeated.
        return Broken(name, DIED, f"the source died of {type(error).__name__} at {_place(error)}", clock.now())
    return Broken(name, DIED, "the source ended without being asked", clock.now())


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "an unknown place"

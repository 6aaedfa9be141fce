"""Ending a process when it is asked to."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from infra.runtime.logs import get_logger

_log = get_logger(__name__)


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` at SIGTERM and SIGINT, and log which it was; for the main thread."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        _log.info("process_stops", signal=signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)

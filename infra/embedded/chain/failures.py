"""Failures on command of the local chain's JSON-RPC."""

from __future__ import annotations

import random
import threading

from infra.embedded.chain.models import FailureMode, FailureRequest


class Failures:
    """The one failure that is set, if any; safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: FailureRequest | None = None
        self._left: int | None = None
        self._random = random.Random()  # noqa: S311
        self._cleared = threading.Event()

    @property
    def wanted(self) -> FailureRequest | None:
        """What is set and not used up."""
        with self._lock:
            return self._wanted

    def set(self, wanted: FailureRequest | None) -> None:
        """Replace the failure; None ends it, and lets requests that hang go."""
        with self._lock:
            self._wanted = wanted
            self._left = wanted.count if wanted else None
            self._random = random.Random(wanted.seed if wanted else None)  # noqa: S311
            self._cleared.set()
            self._cleared = threading.Event()

    def draw(self, lane: str | None) -> FailureMode | None:
        """How the next request on a lane fails; None if it does not."""
        with self._lock:
            wanted = self._wanted
            if wanted is None or (wanted.lane is not None and wanted.lane != lane):
                return None
            if wanted.share < 1 and self._random.random() >= wanted.share:
                return None
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    self._wanted = None
            return wanted.mode

    def hang(self, longest_s: float) -> None:
        """Wait until the failure is replaced, `longest_s` at most."""
        with self._lock:
            cleared = self._cleared
        cleared.wait(longest_s)

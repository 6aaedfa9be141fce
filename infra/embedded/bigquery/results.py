"""Results of queries and read sessions, bounded in number and bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from bqemulator.jobs import executor
from bqemulator.streaming import read_session

from infra.embedded.bigquery.patching import replace, replace_everywhere


class BoundedStore(OrderedDict[str, Any]):
    """A dict that drops its oldest entries beyond `entries` or `size`; the newest always stays.

    `measure` gives an entry's size (bytes for Arrow tables). Safe to write from several threads.
    """

    def __init__(self, entries: int, size: int, measure: Callable[[Any], int]) -> None:
        super().__init__()
        self._entries = entries
        self._size = size
        self._measure = measure
        self._total = 0
        self._guard = threading.RLock()

    def __setitem__(self, key: str, value: Any) -> None:
        with self._guard:
            if key in self:
                del self[key]
            super().__setitem__(key, value)
            self._total += self._measure(value)
            while len(self) > 1 and (len(self) > self._entries or self._total > self._size):
                del self[next(iter(self))]

    def __delitem__(self, key: str) -> None:
        with self._guard:
            self._total -= self._measure(self[key])
            super().__delitem__(key)

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove and return an entry, or `default`."""
        with self._guard:
            if key not in self:
                return default
            value = self[key]
            del self[key]
            return value


def bound_results(entries: int, size: int) -> None:
    """Keep the last `entries` results of at most `size` bytes; a dropped one answers 404. Stock keeps all for ever."""
    replace_everywhere(executor, "JOB_RESULTS", lambda _: BoundedStore(entries, size, lambda table: int(table.nbytes)))
    replace_everywhere(executor, "JOB_SCHEMAS", lambda _: BoundedStore(entries, entries, lambda _schema: 1))


def bound_read_sessions(entries: int, size: int) -> None:
    """Keep the last `entries` Storage Read sessions; stock keeps the rows of each session for ever."""
    replace(read_session, "_SESSIONS", BoundedStore(entries, size, lambda state: int(state.table.nbytes)))

"""Which statements exclude each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

TableKey = tuple[str, str, str]


class SharedLock:
    """Many holders in shared mode or one in exclusive mode; a waiting exclusive holder goes before new shared ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shared = 0
        self._exclusive = False
        self._waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold together with others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive and not self._waiting)
            self._shared += 1
        try:
            yield
        finally:
            with self._changed:
                self._shared -= 1
                self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold alone."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._exclusive and not self._shared)
            finally:
                self._waiting -= 1
                self._changed.notify_all()
            self._exclusive = True
        try:
            yield
        finally:
            with self._changed:
                self._exclusive = False
                self._changed.notify_all()


@dataclass
class _Table:
    """`shape` is held alone by a statement that replaces the table; `rows` by one that changes rows at large."""

    shape: SharedLock = field(default_factory=SharedLock)
    rows: threading.Lock = field(default_factory=threading.Lock)


class StatementLocks:
    """Locks of one server, by table.

    Appends to a table run beside each other and beside DML; DML on a table runs one at a time; DDL on a table
    runs alone. Statements whose tables are not known run one at a time, beside appends. SELECT takes no lock.
    Locks are taken in the order: all statements, then tables by name, so they cannot deadlock.
    """

    def __init__(self) -> None:
        self._all = SharedLock()
        self._tables: dict[TableKey, _Table] = {}
        self._guard = threading.Lock()

    @contextmanager
    def append(self, key: TableKey) -> Iterator[None]:
        """Add rows to a table."""
        with self._table(key).shape.shared():
            yield

    @contextmanager
    def change_rows(self, keys: frozenset[TableKey]) -> Iterator[None]:
        """INSERT, UPDATE, DELETE, MERGE or TRUNCATE on `keys`."""
        with ExitStack() as held:
            held.enter_context(self._all.shared())
            for key in sorted(keys):
                held.enter_context(self._table(key).shape.shared())
                held.enter_context(self._table(key).rows)
            yield

    @contextmanager
    def change_shape(self, keys: frozenset[TableKey]) -> Iterator[None]:
        """CREATE, ALTER or DROP of `keys`."""
        with ExitStack() as held:
            held.enter_context(self._all.shared())
            for key in sorted(keys):
                held.enter_context(self._table(key).shape.exclusive())
            yield

    @contextmanager
    def everything(self) -> Iterator[None]:
        """A script, or a statement whose tables are not known."""
        with self._all.exclusive():
            yield

    def _table(self, key: TableKey) -> _Table:
        with self._guard:
            return self._tables.setdefault(key, _Table())

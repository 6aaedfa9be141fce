"""The failure that is on command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from infra.embedded.hermes.models import FailureMode, FailureRequest

HTTP_STATUS = {
    FailureMode.HTTP_401: 401,
    FailureMode.HTTP_403: 403,
    FailureMode.HTTP_429: 429,
    FailureMode.HTTP_500: 500,
}
SPOILING = frozenset(
    {
        FailureMode.MALFORMED,
        FailureMode.PARSED_MISMATCH,
        FailureMode.NO_BINARY,
        FailureMode.FROM_FUTURE,
        FailureMode.NEGATIVE,
    }
)
ENDING = frozenset({FailureMode.ERROR_EVENT, FailureMode.RESET})


@dataclass
class Failures:
    """At most one failure at a time; `monotonic` gives seconds."""

    monotonic: Callable[[], float]
    _wanted: FailureRequest | None = field(default=None, init=False)
    _left: int | None = field(default=None, init=False)
    _ends_at: float | None = field(default=None, init=False)

    def begin(self, wanted: FailureRequest) -> None:
        """Fail like this from now on."""
        self._wanted, self._left = wanted, wanted.count
        self._ends_at = None if wanted.seconds is None else self.monotonic() + wanted.seconds

    def end(self) -> None:
        """Work."""
        self._wanted = None

    @property
    def active(self) -> FailureRequest | None:
        """The failure that lasts, with what is left of its count."""
        if self._ends_at is not None and self.monotonic() >= self._ends_at:
            self._wanted = None
        if self._wanted is None:
            return None
        return self._wanted.model_copy(update={"count": self._left})

    def take(self, modes: frozenset[FailureMode]) -> FailureRequest | None:
        """The failure that this answer or event must show, if it is one of the modes; counts it."""
        found = self.active
        if found is None or found.mode not in modes:
            return None
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._wanted = None
        return found

    def is_active(self, *modes: FailureMode) -> bool:
        """Whether one of the modes lasts."""
        found = self.active
        return found is not None and found.mode in modes

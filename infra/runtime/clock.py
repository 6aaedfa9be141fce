"""The clock as a dependency: product code never asks the machine for the time directly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol

from pydantic import AfterValidator, AwareDatetime


class Clock(Protocol):
    """Where the current time comes from."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)


@dataclass
class FixedClock:
    """A clock that stands still until it is moved; for tests and replays."""

    at: datetime

    def now(self) -> datetime:
        """The time it was set to."""
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move the clock forward."""
        self.at += by


def as_utc(value: datetime) -> datetime:
    """`value` in UTC; a naive datetime is refused with `ValueError` because its zone is unknown."""
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone; give an aware time such as 2026-01-31T12:00:00Z")
    return value.astimezone(UTC)


UtcTime = Annotated[AwareDatetime, AfterValidator(as_utc)]
"""A time of a message or file: aware when it comes, UTC from then on."""

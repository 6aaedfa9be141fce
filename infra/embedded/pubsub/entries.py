"""The parts of the delivery state machine: a held message and its states, a consumer, and how much it may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a held message is; `TRANSITIONS` says where it may go from there."""

    READY = "ready"
    WAITING = "waiting"
    """Held back until `due` by the retry policy."""
    LEASED = "leased"
    """With a consumer until `due`."""
    ACKED = "acked"
    """Acknowledged while an earlier message of its ordering key is still out."""
    DEAD = "dead"
    """Out of attempts, on its way to the dead-letter topic."""
    GONE = "gone"


TRANSITIONS: Final = {
    State.READY: frozenset({State.LEASED, State.WAITING, State.GONE}),
    State.WAITING: frozenset({State.READY, State.GONE}),
    State.LEASED: frozenset({State.READY, State.WAITING, State.ACKED, State.DEAD, State.GONE}),
    State.ACKED: frozenset({State.READY, State.GONE}),
    State.DEAD: frozenset({State.READY, State.WAITING, State.GONE}),
    State.GONE: frozenset[State](),
}


@dataclass(slots=True, eq=False)
class Consumer:
    """Someone who takes messages: a stream, one pull call, or the push worker.

    `is_sticky`: it may take more of a key while it holds earlier messages of that key (streams only).
    `is_single`: it gets one message of a key at a time (push).
    """

    is_sticky: bool = False
    is_single: bool = False
    messages: int = 0
    """How many messages it holds."""
    bytes: int = 0
    keys: dict[str, None] = field(default_factory=dict)
    """Ordering keys that it holds and that may have more for it."""


@dataclass(slots=True, eq=False)
class Entry:
    """One message that the state machine holds; times in microseconds since 1970."""

    message_id: int
    ordering_key: str
    size: int
    failures: int = 0
    state: State = State.READY
    due: int = 0
    lease: int = 0
    holder: Consumer | None = None

    @property
    def attempt(self) -> int:
        """Which delivery this is, or the next will be: 1 + how often it was refused or ran out of time."""
        return self.failures + 1

    def move(self, to: State) -> None:
        """Change the state; a move that `TRANSITIONS` does not know is a defect and raises `RuntimeError`."""
        if to not in TRANSITIONS[self.state]:
            raise RuntimeError(f"Message {self.message_id} cannot go from {self.state} to {to}.")
        self.state = to

    def hand_to(self, consumer: Consumer, lease: int, until: int) -> None:
        """Lease it."""
        self.move(State.LEASED)
        self.holder, self.lease, self.due = consumer, lease, until
        consumer.messages += 1
        consumer.bytes += self.size

    def take_back(self, to: State) -> None:
        """End the lease, if there is one, and change the state."""
        self.move(to)
        if self.holder is not None:
            self.holder.messages -= 1
            self.holder.bytes -= self.size
        self.holder, self.lease, self.due = None, 0, 0


@dataclass(slots=True)
class Budget:
    """How much one take may hand out. A first message larger than all of `bytes` passes, or it never could."""

    messages: int
    bytes: int
    is_untouched: bool = True

    def admits(self, entry: Entry) -> bool:
        """Whether the entry still fits."""
        return self.messages > 0 and (entry.size <= self.bytes or self.is_untouched)

    def spend(self, entry: Entry) -> None:
        """Count the entry."""
        self.messages -= 1
        self.bytes -= entry.size
        self.is_untouched = False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff between deliveries, in microseconds; zero maximum means at once."""

    minimum: int = 0
    maximum: int = 0

    def backoff(self, failures: int) -> int:
        """How long to hold a message back after so many failures: the minimum, doubled each time, up to the maximum."""
        return int(min(self.maximum, self.minimum << min(failures - 1, 40)))

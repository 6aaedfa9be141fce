"""One look at the book: who crossed a threshold, kept and announced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerting.errors import MarginInputError
from alerting.events import MarginEvent
from alerting.margin.decision import decide
from alerting.margin.store import Candidate, MarginPublisher, MarginWarehouse, candidates, publish_outbox, write_events
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True)
class Look:
    """What one look did: events decided, ids published, and accounts that could not be judged (with the reason)."""

    decided: Sequence[MarginEvent]
    published: Sequence[str]
    unjudged: dict[str, str]


def look(warehouse: MarginWarehouse, publisher: MarginPublisher, clock: Clock) -> Look:
    """Decide on every candidate, keep the events, publish the outbox.

    Safe to repeat and to run twice at once. Raises what the warehouse or Pub/Sub raise when they are away; what was
    kept but not published by then is published by the next look.
    """
    decided: list[MarginEvent] = []
    published: list[str] = []
    unjudged: dict[str, str] = {}
    after: str | None = ""
    while after is not None:
        page = candidates(warehouse, after)
        unjudged |= page.unjudged
        events = _decide_all(page.candidates, unjudged, clock)
        write_events(warehouse, events)
        published += publish_outbox(warehouse, publisher, clock)
        decided += events
        after = page.last_account_id
    for account_id, reason in unjudged.items():
        _log.error("account_not_judged", account_id=account_id, reason=reason)
    return Look(decided, published, unjudged)


def _decide_all(found: Sequence[Candidate], unjudged: dict[str, str], clock: Clock) -> list[MarginEvent]:
    """Events of the candidates; an account that cannot be judged is noted and does not hold up the others."""
    events = []
    for candidate in found:
        try:
            event = decide(candidate.health, candidate.last, clock)
        except MarginInputError as error:
            unjudged[candidate.health.account_id] = error.message
            continue
        if event is not None:
            events.append(event)
    return events

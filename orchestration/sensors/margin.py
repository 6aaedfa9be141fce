"""The margin sensor: looks at the book several times within each of Dagster's ticks, and acts itself.

Dagster ticks a sensor every five seconds whatever interval is asked, and a run takes nine or more to start: so the
body looks repeatedly for about four seconds, and writes and publishes directly instead of requesting a run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from alerting.margin.store import MarginPublisher, MarginWarehouse
from alerting.margin.watch import Look, look
from assets.platform import Platform
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import BallastError

# Dagster begins a tick every five seconds unless the one before is still under way.
LOOKING_S = 4.2
PAUSE_S = 0.2
HEARTBEAT = "margin_sensor"
# The sensor works, but some accounts contradict themselves and get no alerts.
ACCOUNTS_UNJUDGED = "accounts_unjudged"
MARGIN_EVENTS_KEY = dg.AssetKey(["risk", "margin_events"])


class MarginCursor(BaseModel):
    """What the sensor remembers: counts for people. The state of accounts stands in `risk.margin_events`."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    looks: int = 0
    events: int = 0
    last_look_at: str | None = None
    last_error: str | None = None


@dataclass(frozen=True)
class Watch:
    """How long to look and how often; times in seconds."""

    looking_s: float = LOOKING_S
    pause_s: float = PAUSE_S
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def read_cursor(text: str | None) -> MarginCursor:
    """The cursor, or a fresh one where there is none or it cannot be read here: nothing depends on it."""
    if not text:
        return MarginCursor()
    try:
        cursor = MarginCursor.model_validate_json(text)
    except ValidationError:
        return MarginCursor()
    return cursor if cursor.version == 1 else MarginCursor()


def watch_book(
    cursor: MarginCursor,
    warehouse: MarginWarehouse,
    publisher: MarginPublisher,
    clock: Clock,
    watch: Watch,
    on_look: Callable[[str | None], None] = lambda _problem: None,
) -> tuple[MarginCursor, list[dg.AssetMaterialization]]:
    """Look until the time is over; returns the new cursor and a materialization for each look that found something.

    A look that fails ends the watching and stands in the cursor; the next tick looks again. `on_look` is told of each
    look, with the error of one that failed.
    """
    ends = watch.monotonic() + watch.looking_s
    found: list[dg.AssetMaterialization] = []
    while True:
        try:
            seen = look(warehouse, publisher, clock)
        except BallastError as error:
            on_look(error.code)
            return cursor.model_copy(update={"last_error": f"{error.code}: {error.message}"}), found
        on_look(ACCOUNTS_UNJUDGED if seen.unjudged else None)
        cursor = cursor.model_copy(
            update={
                "looks": cursor.looks + 1,
                "events": cursor.events + len(seen.decided),
                "last_look_at": clock.now().isoformat(),
                "last_error": None,
            }
        )
        if seen.decided or seen.published:
            found.append(_materialization(seen))
        if watch.monotonic() + watch.pause_s >= ends:
            return cursor, found
        watch.sleep(watch.pause_s)


def _materialization(seen: Look) -> dg.AssetMaterialization:
    named = ", ".join(f"{event.account_id}: {event.severity}" for event in seen.decided[:50])
    return dg.AssetMaterialization(
        MARGIN_EVENTS_KEY,
        description=named or "published what an earlier look had kept",
        metadata={"decided": len(seen.decided), "published": len(seen.published), "unjudged": len(seen.unjudged)},
    )


@dg.sensor(
    name="margin_alert_sensor",
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Turns margin health into margin events and publishes them to alerts.margin.v1.",
)
def margin_alert_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    """Look at the book for about four seconds; decide, keep, publish."""
    shown = platform.heartbeat(HEARTBEAT)
    try:
        cursor, found = watch_book(
            read_cursor(context.cursor),
            platform.warehouse(),
            platform.publisher(),
            SystemClock(),
            Watch(),
            lambda problem: shown.beat(problem=problem),
        )
    except Exception:
        platform.discard_clients()
        raise
    if cursor.last_error:
        platform.discard_clients()
        context.log.warning(f"the book could not be judged: {cursor.last_error}")
    return dg.SensorResult(
        skip_reason=None if found else _skip_reason(cursor), cursor=cursor.model_dump_json(), asset_events=found
    )


def _skip_reason(cursor: MarginCursor) -> str:
    return cursor.last_error or f"{cursor.looks} looks so far, {cursor.events} events; none in this tick"

"""The readiness check: every part in parallel, each within a short limit, never more than one check of a part.

Beside the parts stand the workers, by their last signs of life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from sqlalchemy import Engine, text

from api.errors import InternalError, as_ballast_error
from api.health.schemas import PartState, PartView, Readiness, WorkerState, WorkerView
from assets.risk.queries import Reader
from infra.runtime.clock import Clock
from infra.runtime.heartbeats import Beat
from infra.runtime.logs import get_logger

PROBE_TIMEOUT_S = 3.0
_log = get_logger(__name__)


class Probe(Protocol):
    """A blocking check of one part; it returns if the part is up and raises if not."""

    def __call__(self) -> object:
        """Check the part once."""
        ...


def bigquery_probe(reader: Reader) -> Probe:
    """A query that reads no table."""
    return lambda: reader.query("select 1 as one")


def postgres_probe(engine: Engine) -> Probe:
    """A connection of the pool and a `select 1`."""

    def probe() -> object:
        with engine.connect() as connection:
            return connection.execute(text("select 1")).scalar_one()

    return probe


MARGIN_SENSOR = "margin_sensor"
# The longest silence of each process that still counts as work, in seconds.
# The database's clock tells ages; after a move to another host it may have gone back.
ALLOWED_SKEW_S = 2.0
MAX_SILENCE_S: Mapping[str, float] = {
    MARGIN_SENSOR: 10,
    "consumer": 10,
    "alert-worker": 10,
    "alert-upkeep": 30,
    "compliance-worker": 30,
    "runner": 30,
    "oracle": 10,
}
Beats = Callable[[], Mapping[str, Beat]]


def workers_of(beats: Mapping[str, Beat]) -> dict[str, WorkerView]:
    """What the beats say of each process; the margin sensor stands there also if it never beat."""
    names = sorted({MARGIN_SENSOR, *beats} & MAX_SILENCE_S.keys())
    return {name: _worker(beats.get(name), MAX_SILENCE_S[name]) for name in names}


def _worker(beat: Beat | None, max_silence_s: float) -> WorkerView:
    if beat is None:
        return _unknown("never_beat")
    if beat.age_s < -ALLOWED_SKEW_S:
        return _unknown("clock_skew")
    reason = "heartbeat_old" if beat.age_s > max_silence_s else beat.problem
    state = WorkerState.UP if reason is None else WorkerState.DOWN
    return WorkerView(state=state, reason=reason, beat_at=beat.beat_at, age_seconds=round(beat.age_s, 1))


def _unknown(reason: str) -> WorkerView:
    return WorkerView(state=WorkerState.UNKNOWN, reason=reason, beat_at=None, age_seconds=None)


class ReadinessChecks:
    """Runs the probes in threads of their own, so that a full request pool does not look like a server that is away.

    A probe that outlasts the limit counts as down and is joined, not repeated, by the next check: the open address
    cannot pile up queries. `close` when the application ends.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        has_token: bool,
        clock: Clock,
        timeout_s: float = PROBE_TIMEOUT_S,
        beats: Beats = dict,
    ) -> None:
        self._probes = probes
        self._beats = beats
        self._workers: dict[str, WorkerView] = {}
        self._has_token = has_token
        self._clock = clock
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(max_workers=len(probes) + 1, thread_name_prefix="readiness")
        self._running: dict[str, asyncio.Future[str | None]] = {}

    async def check(self) -> Readiness:
        """The state of every part and worker now."""
        heartbeats = self._start("heartbeats", self._read_beats)
        futures = {name: self._start(name, probe) for name, probe in self._probes.items()}
        await asyncio.wait([heartbeats, *futures.values()], timeout=self._timeout_s)
        parts = {"authentication": _part(None if self._has_token else "token_not_configured")}
        parts |= {name: _part(each.result() if each.done() else "timeout") for name, each in futures.items()}
        is_ready = all(part.state is PartState.UP for part in parts.values())
        are_read = heartbeats.done() and heartbeats.result() is None
        return Readiness(
            status="ready" if is_ready else "not_ready",
            parts=parts,
            workers=self._workers if are_read else {MARGIN_SENSOR: _unknown("heartbeats_unreadable")},
            checked_at=self._clock.now(),
        )

    def close(self) -> None:
        """Take no further probes; one that still runs ends at its own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read_beats(self) -> None:
        self._workers = workers_of(self._beats())

    def _start(self, name: str, probe: Callable[[], object]) -> asyncio.Future[str | None]:
        running = self._running.get(name)
        if running is None or running.done():
            running = asyncio.get_running_loop().run_in_executor(self._pool, _outcome, name, probe)
            self._running[name] = running
        return running


def _outcome(name: str, probe: Callable[[], object]) -> str | None:
    """None if the part is up, else why not, as a code; the log has the words."""
    try:
        probe()
    except Exception as error:
        known = as_ballast_error(error)
        _log.warning("part_down", part=name, code=known.code, reason=known.message)
        return "failed" if isinstance(known, InternalError) else known.code
    return None


def _part(reason: str | None) -> PartView:
    return PartView(state=PartState.UP if reason is None else PartState.DOWN, reason=reason)

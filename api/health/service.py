"""The readiness check: every part in parallel, each within a short limit, never more than one check of a part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from sqlalchemy import Engine, text

from api.errors import InternalError, as_ballast_error
from api.health.schemas import PartState, PartView, Readiness
from assets.risk.queries import Reader
from infra.runtime.clock import Clock
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


class ReadinessChecks:
    """Runs the probes in threads of their own, so that a full request pool does not look like a server that is away.

    A probe that outlasts the limit counts as down and is joined, not repeated, by the next check: the open address
    cannot pile up queries. `close` when the application ends.
    """

    def __init__(
        self, probes: Mapping[str, Probe], has_token: bool, clock: Clock, timeout_s: float = PROBE_TIMEOUT_S
    ) -> None:
        self._probes = probes
        self._has_token = has_token
        self._clock = clock
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(max_workers=max(len(probes), 1), thread_name_prefix="readiness")
        self._running: dict[str, asyncio.Future[str | None]] = {}

    async def check(self) -> Readiness:
        """The state of every part now."""
        futures = {name: self._start(name, probe) for name, probe in self._probes.items()}
        if futures:
            await asyncio.wait(futures.values(), timeout=self._timeout_s)
        parts = {"authentication": _part(None if self._has_token else "token_not_configured")}
        parts |= {name: _part(each.result() if each.done() else "timeout") for name, each in futures.items()}
        is_ready = all(part.state is PartState.UP for part in parts.values())
        return Readiness(status="ready" if is_ready else "not_ready", parts=parts, checked_at=self._clock.now())

    def close(self) -> None:
        """Take no further probes; one that still runs ends at its own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

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

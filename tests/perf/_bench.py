"""What the benchmarks share: the machine's line, percentiles, processes of the platform, and an isolated ground."""

from __future__ import annotations

import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.embedded.testing import embedded_ground
from infra.runtime.settings import PROJECT_ROOT, Settings

PATIENCE_S = 120.0
"""Seconds without any progress after which a benchmark gives up."""


class NoPublisher:
    """Publishing is not measured here."""

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        """Ids as Pub/Sub would give them."""
        return [f"{topic}-{number}" for number in range(len(messages))]


def print_machine() -> None:
    """Cores, Python and the load of the last minute, without which no figure below means anything."""
    load = os.getloadavg()[0]
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.2f}")


def cuts(values: Sequence[float], unit: str = "ms", scale: float = 1000.0) -> str:
    """`p50 .. p95 .. p99 .. max` of values in seconds, printed in `unit`."""
    if len(values) < 2:
        return "not measured" if not values else f"{values[0] * scale:.1f} {unit} (one value)"
    found = statistics.quantiles(values, n=100, method="inclusive")
    shown = (("p50", found[49]), ("p95", found[94]), ("p99", found[98]), ("max", max(values)))
    return "  ".join(f"{name} {value * scale:8.1f}" for name, value in shown) + f" {unit}"


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each of `times` calls, after one that is not counted."""
    call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


@contextmanager
def ground(services: Sequence[str], **changes: object) -> Iterator[Settings]:
    """Settings of fresh embedded servers on free ports, in a folder that goes with the block."""
    with (
        tempfile.TemporaryDirectory(prefix="ballast-bench-") as folder,
        embedded_ground(Path(folder), services) as settings,
    ):
        yield settings.model_copy(update=changes)


@contextmanager
def process(settings: Settings, *argv: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python <argv>` on the servers of `settings`, ended with the block; its log stands in the state folder."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("BALLAST_")}
    own = {"BALLAST_STATE_DIR": str(settings.state_dir), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROJECT_ROOT)}
    log = settings.state_dir / f"{name}.log"
    with log.open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, *argv], env=inherited | own, cwd=PROJECT_ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield started
        if started.poll() is not None:
            raise SystemExit(f"{name} ended with {started.returncode}:\n{log.read_text(errors='replace')[-3000:]}")
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_until(check: Callable[[], bool], what: str, pause_s: float = 0.1) -> None:
    """Wait until `check` holds; gives up with `what` was awaited."""
    ends = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > ends:
            raise SystemExit(f"gave up after {PATIENCE_S:.0f} s: {what}")
        time.sleep(pause_s)

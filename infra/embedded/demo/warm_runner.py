"""The warm runner as a child process: jobs in, outcomes and progress out."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra.embedded.errors import EmbeddedError
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.runtime.settings import PROJECT_ROOT

LOG_NAME = "demo-runner.log"
READY_TIMEOUT_S = 300.0
JOB_TIMEOUT_S = 600.0
_NODE_ENDED = re.compile(r"dbt (\S+): (\w+)")


class WarmRunner:
    """Runs Dagster jobs in a process whose imports are already done."""

    def __init__(self, process: subprocess.Popen[str], state: StateFolder) -> None:
        self._process = process
        self._log = state.logs / LOG_NAME
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_ready(self) -> None:
        """Return when the definitions are loaded; raises `EmbeddedError` when the process ends or takes too long."""
        self._answer(READY_TIMEOUT_S)

    def run(self, job: str, on_node: Callable[[str, str], None]) -> dict[str, Any]:
        """Run a job and return its outcome; `on_node` is called with each dbt node that ended and its status."""
        assert self._process.stdin is not None
        start = self._log.stat().st_size
        self._process.stdin.write(f"{job}\n")
        self._process.stdin.flush()
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(start, on_node, done))
        watcher.start()
        try:
            return self._answer(JOB_TIMEOUT_S)
        finally:
            done.set()
            watcher.join()

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise EmbeddedError(f"The Dagster runner gave no answer in {timeout_s:.0f} s: see {self._log}.") from None
        if "ended" in answer:
            raise EmbeddedError(f"The Dagster runner ended with code {answer['ended']}: see {self._log}.")
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self._answers.put(json.loads(line))
        self._answers.put({"ended": self._process.wait()})

    def _watch(self, position: int, on_node: Callable[[str, str], None], done: threading.Event) -> None:
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(position)
            while True:
                is_last = done.is_set()
                for found in _NODE_ENDED.finditer(log.read()):
                    on_node(found[1], found[2])
                if is_last:
                    return
                done.wait(0.2)


@contextmanager
def warm_runner(state: StateFolder) -> Iterator[WarmRunner]:
    """A runner that loads while others start, and is ended with the block."""
    state.logs.mkdir(parents=True, exist_ok=True)
    with (state.logs / LOG_NAME).open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.runner"],
            cwd=PROJECT_ROOT,
            env=child_environment(state, "demo-runner", {"DAGSTER_DISABLE_TELEMETRY": "yes"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield WarmRunner(process, state)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

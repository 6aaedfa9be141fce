"""Embedded servers for tests: started directly on free ports, ended exactly, also if the test process is killed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.embedded.credentials import ensure_env_file, stack_settings
from infra.embedded.errors import EmbeddedError, PortBusyError
from infra.embedded.feed_table import write_feeds
from infra.embedded.guard import DONE
from infra.embedded.ports import Ports, listens
from infra.embedded.postgres_home import remove_home
from infra.embedded.probes import ProbeContext, is_ready
from infra.embedded.services import Service, child_environment, ground_services
from infra.embedded.state import StateFolder, remove_socket_folder
from infra.runtime.settings import PROJECT_ROOT, Settings

_ATTEMPTS = 5
_LOG_TAIL_LINES = 30


@dataclass(frozen=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def embedded_ground(
    tmp_dir: Path, services: Sequence[str] = ("bigquery", "pubsub", "postgres"), *, keep: bool = False
) -> Iterator[Settings]:
    """Settings bound to fresh embedded servers, which end with the block.

    `services` are names of the ground group. With `keep`, PostgreSQL's data survives the block, for a second start
    in the same folder; everything else in `tmp_dir` always does. Raises `EmbeddedError` with the end of the log if
    a server does not come up.
    """
    state = StateFolder(tmp_dir.absolute())
    state.prepare()
    with contextlib.ExitStack() as stack:
        if not keep:
            stack.callback(_remove_postgres, state.path / "postgres")
        settings = _start_on_free_ports(state, tuple(services), stack)
        yield settings


def _start_on_free_ports(state: StateFolder, names: tuple[str, ...], stack: contextlib.ExitStack) -> Settings:
    for attempt in range(1, _ATTEMPTS + 1):
        ports = Ports.free()
        ensure_env_file(state.path, ports)
        settings = stack_settings(state.path)
        write_feeds(settings)
        known = {service.name: service for service in ground_services(state, ports)}
        unknown = set(names) - set(known)
        if unknown:
            raise EmbeddedError(f"No embedded server is called {sorted(unknown)}: choose from {sorted(known)}.")
        with contextlib.ExitStack() as own:
            try:
                guard = own.enter_context(_guard())
                running = [own.enter_context(_started(state, known[name], guard)) for name in names]
                for each in running:
                    _wait_ready(state, each, ProbeContext(settings))
            except PortBusyError:
                # Somebody took a port between our probe and the server's bind.
                if attempt == _ATTEMPTS:
                    raise
                continue
            stack.push(own.pop_all())
            return settings
    raise EmbeddedError("unreachable: the last attempt returns or raises")


@contextlib.contextmanager
def _guard() -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "infra.embedded.guard"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, cwd=PROJECT_ROOT, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.communicate(f"{DONE}\n")


@contextlib.contextmanager
def _started(state: StateFolder, service: Service, guard: subprocess.Popen[str]) -> Iterator[_Running]:
    with state.log_file(service.name).open("ab") as log:
        process = subprocess.Popen(
            service.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=PROJECT_ROOT,
            env=child_environment(state, service.name, service.env),
            start_new_session=True,
        )
    try:
        assert guard.stdin is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            guard.stdin.write(f"{process.pid} {psutil.Process(process.pid).create_time()}\n")
            guard.stdin.flush()
        yield _Running(service, process)
    finally:
        _end(service, process)


def _end(service: Service, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.Signals[f"SIG{service.stop_signal}"])
        try:
            process.wait(service.stop_wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(state: StateFolder, running: _Running, context: ProbeContext) -> None:
    service = running.service
    deadline = time.monotonic() + service.ready_timeout_s
    while True:
        code = running.process.poll()
        if code is not None:
            tail = _log_tail(state, service)
            error = PortBusyError if "in use" in tail.lower() else EmbeddedError
            raise error(f"{service.name} ended with exit code {code} instead of becoming ready:\n{tail}")
        if is_ready(service.probes, context) and listens(running.process.pid, service.ports):
            return
        if time.monotonic() > deadline:
            tail = _log_tail(state, service)
            raise EmbeddedError(f"{service.name} was not ready after {service.ready_timeout_s:.0f} s:\n{tail}")
        time.sleep(0.1)


def _log_tail(state: StateFolder, service: Service) -> str:
    lines = state.log_file(service.name).read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_TAIL_LINES:])


def _remove_postgres(data_dir: Path) -> None:
    if data_dir.exists():
        remove_home(data_dir)
        remove_socket_folder(data_dir / "run")
        shutil.rmtree(data_dir)

"""Processes of a stack whose supervisor is gone: found by record and mark, ended, and nobody else touched."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from infra.embedded.guard import is_same_process
from infra.embedded.launch import read_record
from infra.embedded.services import SERVICE_VARIABLE, STATE_VARIABLE
from infra.embedded.state import StateFolder

END_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Leftover:
    """A live process that belongs to the state folder."""

    name: str
    process: psutil.Process


def find_leftovers(state: StateFolder) -> list[Leftover]:
    """Live processes of this state folder, the caller and its ancestors excluded.

    One belongs if its pid and start time are the recorded ones, or if its environment names both this state folder
    and a service (`BALLAST_STATE_DIR` alone may stand in anybody's shell).
    """
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, Leftover] = {}
    for record_file in state.pids.glob("*.json"):
        record = read_record(state, record_file.stem)
        if record and record.pid not in own and is_same_process(record.pid, record.create_time):
            with contextlib.suppress(psutil.NoSuchProcess):
                found[record.pid] = Leftover(record.name, psutil.Process(record.pid))
    for process in psutil.process_iter():
        if process.pid in own or process.pid in found:
            continue
        try:
            environment = process.environ()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.Error, OSError):
            continue
        name = environment.get(SERVICE_VARIABLE)
        if name and environment.get(STATE_VARIABLE) == str(state.path):
            found[process.pid] = Leftover(name, process)
    return list(found.values())


def end_leftovers(leftovers: Iterable[Leftover], interrupt: frozenset[str]) -> None:
    """Ask each process to end (SIGINT for the names in `interrupt`, else SIGTERM), then kill what remains."""
    processes = []
    for each in leftovers:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.process.send_signal(signal.SIGINT if each.name in interrupt else signal.SIGTERM)
            processes.append(each.process)
    _, alive = psutil.wait_procs(processes, timeout=END_TIMEOUT_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=END_TIMEOUT_S)

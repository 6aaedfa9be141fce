"""Becomes one service of the stack: `python -m infra.embedded.launch NAME`, called by the supervisor.

Records the process (pid and start time) before it turns into the service, so that it can be found and told from
others even after the supervisor was killed. The command comes from the state folder's `services.json`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.embedded.errors import EmbeddedError
from infra.embedded.services import STATE_VARIABLE, Service, child_environment
from infra.embedded.state import StateFolder, read_json, write_atomically
from infra.runtime.settings import PROJECT_ROOT

COMMANDS_FILE = "services.json"


@dataclass(frozen=True)
class ProcessRecord:
    """Which process a service is: pid, start time (seconds since 1970), and how often it was started since `up`."""

    name: str
    pid: int
    create_time: float
    starts: int


def write_commands(state: StateFolder, services: tuple[Service, ...]) -> None:
    """Record each service's command and environment for later starts."""
    commands = {each.name: {"argv": each.argv, "env": dict(each.env)} for each in services}
    write_atomically(state.path / COMMANDS_FILE, json.dumps(commands, indent=2) + "\n")


def read_record(state: StateFolder, name: str) -> ProcessRecord | None:
    """The last recorded process of a service; None if there is none or the record cannot be read."""
    try:
        values = read_json(state.pids / f"{name}.json")
        if values is None:
            return None
        return ProcessRecord(name, int(values["pid"]), float(values["create_time"]), int(values["starts"]))
    except (EmbeddedError, KeyError, ValueError):
        return None


def write_record(state: StateFolder, name: str, pid: int) -> None:
    """Record that the service runs as this process now, and count the start."""
    previous = read_record(state, name)
    values = {
        "pid": pid,
        "create_time": psutil.Process(pid).create_time(),
        "starts": previous.starts + 1 if previous else 1,
    }
    write_atomically(state.pids / f"{name}.json", json.dumps(values) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Record this process and execute the service's command in its place."""
    (name,) = sys.argv[1:] if arguments is None else arguments
    state = StateFolder(Path(os.environ[STATE_VARIABLE]))
    command = (read_json(state.path / COMMANDS_FILE) or {}).get(name)
    if command is None:
        print(f"{state.path / COMMANDS_FILE} has no service {name}: run `ballast up`.", file=sys.stderr)
        return 1
    write_record(state, name, os.getpid())
    environment = child_environment(state, name, command["env"])
    os.chdir(PROJECT_ROOT)
    os.execve(command["argv"][0], command["argv"], environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main())

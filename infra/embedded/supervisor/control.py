"""Talking to supervisord: XML-RPC over its Unix socket, with a timeout on every call."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from xml.parsers.expat import ExpatError

from infra.embedded.errors import EmbeddedError
from infra.embedded.launch import write_record
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder

CALL_TIMEOUT_S = 15.0
START_TIMEOUT_S = 30.0
SUPERVISOR_NAME = "supervisord"
_UNREACHABLE = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class ProcessInfo:
    """What supervisord says of one program; `state` is its own word, such as RUNNING, BACKOFF or FATAL."""

    name: str
    state: str
    pid: int | None
    uptime_s: int | None
    detail: str


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CALL_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CALL_TIMEOUT_S)
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        self.sock = connection


@dataclass(frozen=True)
class SupervisorClient:
    """Calls to the supervisord behind one socket; each raises `EmbeddedError` if it cannot be done."""

    path: Path

    def is_alive(self) -> bool:
        """Whether a supervisord answers."""
        try:
            self._call("supervisor.getSupervisorVersion")
        except EmbeddedError:
            return False
        return True

    def pid(self) -> int:
        """The process id of supervisord."""
        return int(self._call("supervisor.getPID"))

    def processes(self) -> dict[str, ProcessInfo]:
        """Every configured program by name."""
        found = {}
        for each in cast("list[dict[str, Any]]", self._call("supervisor.getAllProcessInfo")):
            found[each["name"]] = ProcessInfo(
                name=each["name"],
                state=each["statename"],
                pid=each["pid"] or None,
                uptime_s=max(0, each["now"] - each["start"]) if each["pid"] else None,
                # "Exited too quickly" says less than the state does.
                detail="" if each["spawnerr"].startswith("Exited too quickly") else each["spawnerr"],
            )
        return found

    def start(self, name: str) -> None:
        """Ask for a start and return at once; starting what already starts or runs is no error."""
        self._call("supervisor.startProcess", name, False, allowed={"ALREADY_STARTED"})

    def stop(self, name: str) -> None:
        """Ask for a stop and return at once; stopping what does not run is no error."""
        self._call("supervisor.stopProcess", name, False, allowed={"NOT_RUNNING"})

    def shutdown(self) -> None:
        """Ask supervisord to stop everything and end."""
        self._call("supervisor.shutdown", allowed={"SHUTDOWN_STATE"})

    def _call(self, method: str, *arguments: Any, allowed: frozenset[str] | set[str] = frozenset()) -> Any:
        try:
            return _remote_call(self.path, method, arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultString.split(":")[0] in allowed:
                return None
            raise EmbeddedError(f"The supervisor refused {method}{arguments}: {fault.faultString}") from fault
        except (*_UNREACHABLE, xmlrpc.client.Error, ExpatError) as error:
            raise EmbeddedError(f"The supervisor does not answer on {self.path}: {error}") from error


def _remote_call(path: Path, method: str, arguments: tuple[Any, ...]) -> Any:
    """One XML-RPC call on a connection of its own: a kept one would hide that supervisord was replaced."""
    body = xmlrpc.client.dumps(arguments, method).encode()
    with contextlib.closing(_UnixConnection(path)) as connection:
        connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml", "Connection": "close"})
        with connection.getresponse() as response:
            answer = response.read()
            if response.status != http.client.OK:
                raise http.client.HTTPException(f"HTTP status {response.status}")
    (result,), _ = xmlrpc.client.loads(answer)
    return result


def start_supervisor(state: StateFolder, conf: Path, client: SupervisorClient) -> None:
    """Start supervisord in the background and wait until it answers; raises `EmbeddedError` with its output."""
    argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
    with (state.logs / "supervisord.out").open("w+b") as output:
        os.fchmod(output.fileno(), 0o600)
        try:
            code = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=state.path,
                env=child_environment(state, SUPERVISOR_NAME),
                timeout=START_TIMEOUT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    deadline = time.monotonic() + START_TIMEOUT_S
    while code == 0 and time.monotonic() < deadline:
        if client.is_alive():
            write_record(state, SUPERVISOR_NAME, client.pid())
            return
        time.sleep(0.05)
    raise EmbeddedError(f"supervisord did not start (exit code {code}): {said or state.logs / 'supervisord.log'}")

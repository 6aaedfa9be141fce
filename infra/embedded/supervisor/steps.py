"""Steps of the start that run once to their end, such as provisioning."""

from __future__ import annotations

import json
import subprocess
import sys

from infra.embedded.errors import EmbeddedError
from infra.embedded.services import Service, child_environment
from infra.embedded.state import StateFolder, read_json, write_atomically
from infra.embedded.supervisor.status import Progress, ServiceState, ServiceStatus, StackEvent
from infra.runtime.settings import PROJECT_ROOT

LOG_TAIL_LINES = 10
LOG_TAIL_CHARACTERS = 300


def run_step(state: StateFolder, service: Service, progress: Progress) -> None:
    """Run the step and wait for its end; raises `EmbeddedError` with the end of its log unless it exits with 0."""
    progress(StackEvent(service.name, ServiceState.STARTING))
    result = state.path / "steps" / f"{service.name}.json"
    result.unlink(missing_ok=True)
    with state.log_file(service.name).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.embedded.launch", service.name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=PROJECT_ROOT,
            env=child_environment(state, service.name, service.env),
        )
        try:
            code = process.wait(service.ready_timeout_s)
        except subprocess.TimeoutExpired:
            raise EmbeddedError(
                f"The step {service.name} was not done after {service.ready_timeout_s:.0f} s. "
                f"{log_tail(state, service)}"
            ) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    write_atomically(result, json.dumps({"exit_code": code}) + "\n")
    if code != 0:
        progress(StackEvent(service.name, ServiceState.FAILED, f"exit code {code}"))
        raise EmbeddedError(f"The step {service.name} failed with exit code {code}. {log_tail(state, service)}")
    progress(StackEvent(service.name, ServiceState.DONE))


def step_status(state: StateFolder, service: Service) -> ServiceStatus:
    """How the step ended the last time."""
    values = read_json(state.path / "steps" / f"{service.name}.json")
    if values is None:
        return ServiceStatus(service.name, service.group, ServiceState.STOPPED, detail="has not run to its end")
    if values["exit_code"] != 0:
        return ServiceStatus(
            service.name, service.group, ServiceState.FAILED, detail=f"exit code {values['exit_code']}"
        )
    return ServiceStatus(service.name, service.group, ServiceState.DONE)


def log_tail(state: StateFolder, service: Service) -> str:
    """The end of the service's log, introduced by where the whole stands."""
    file = state.log_file(service.name)
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return f"It wrote no log ({file})."
    return f"The end of {file}:\n" + "\n".join(f"  {line[:LOG_TAIL_CHARACTERS]}" for line in lines[-LOG_TAIL_LINES:])

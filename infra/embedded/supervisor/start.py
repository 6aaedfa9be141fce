"""Starting a group of services: each as soon as what it depends on is ready, all waited for together."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from infra.embedded.launch import read_record
from infra.embedded.probes import ProbeContext
from infra.embedded.services import Service
from infra.embedded.state import StateFolder
from infra.embedded.supervisor.control import ProcessInfo, SupervisorClient
from infra.embedded.supervisor.status import Progress, ServiceState, StackEvent, state_of
from infra.embedded.supervisor.steps import log_tail

POLL_S = 0.2
# `up` stops waiting for a service that ended this often; the supervisor goes on trying.
MOST_STARTS = 4
_IDLE = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})


@dataclass
class _GroupStart:
    state: StateFolder
    client: SupervisorClient
    context: ProbeContext
    progress: Progress
    waiting: dict[str, Service]
    deadlines: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def step(self) -> None:
        """Start what may start, and settle what has become ready or has failed."""
        processes = self.client.processes()
        for service in list(self.waiting.values()):
            if service.name in self.deadlines:
                self._settle(service, processes[service.name])
            elif not any(name in self.waiting for name in service.depends):
                self._begin(service, processes[service.name])

    def _begin(self, service: Service, process: ProcessInfo) -> None:
        broken = [name for name in service.depends if name in self.failed]
        if broken:
            self._fail(service, f"it needs {', '.join(broken)}")
            return
        self.progress(StackEvent(service.name, ServiceState.STARTING))
        if process.state in _IDLE:
            # Restarts are counted from here.
            (self.state.pids / f"{service.name}.json").unlink(missing_ok=True)
        self.client.start(service.name)
        self.deadlines[service.name] = time.monotonic() + service.ready_timeout_s

    def _settle(self, service: Service, process: ProcessInfo) -> None:
        found = state_of(process, service, self.context)
        is_hopeless = found is ServiceState.RESTARTING and self._starts(service) >= MOST_STARTS
        if found is ServiceState.READY:
            del self.waiting[service.name]
            self.progress(StackEvent(service.name, ServiceState.READY))
        elif found is ServiceState.FAILED or is_hopeless:
            self._fail(service, f"it ended again and again. {log_tail(self.state, service)}")
        elif time.monotonic() > self.deadlines[service.name]:
            self._fail(service, f"it is {found} after {service.ready_timeout_s:.0f} s. {log_tail(self.state, service)}")

    def _starts(self, service: Service) -> int:
        record = read_record(self.state, service.name)
        return record.starts if record else 0

    def _fail(self, service: Service, why: str) -> None:
        del self.waiting[service.name]
        self.failed[service.name] = f"{service.name} did not become ready: {why}"
        self.progress(StackEvent(service.name, ServiceState.FAILED, why.splitlines()[0]))


def start_group(
    state: StateFolder,
    services: Iterable[Service],
    client: SupervisorClient,
    context: ProbeContext,
    progress: Progress,
) -> list[str]:
    """Start the services, wait until each is ready or has failed, and return what to say about those that failed."""
    start = _GroupStart(state, client, context, progress, {each.name: each for each in services})
    while start.waiting:
        start.step()
        if start.waiting:
            time.sleep(POLL_S)
    return list(start.failed.values())

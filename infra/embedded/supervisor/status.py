"""What the stack's services are doing, in words for people and programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from infra.embedded.ports import listens
from infra.embedded.probes import ProbeContext, is_ready
from infra.embedded.services import Group, Service
from infra.embedded.supervisor.control import ProcessInfo


class ServiceState(StrEnum):
    """Where one service stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"  # runs, and does not answer
    RESTARTING = "restarting"  # ended, the next start waits
    FAILED = "failed"  # ended too often, or the step failed
    STOPPING = "stopping"
    DONE = "done"  # a step that ran to its end
    LEFT_OVER = "left over"  # runs without a supervisor


_FROM_SUPERVISOR = {
    "RUNNING": ServiceState.NOT_READY,
    "STOPPED": ServiceState.STOPPED,
    "STARTING": ServiceState.STARTING,
    "BACKOFF": ServiceState.RESTARTING,
    "STOPPING": ServiceState.STOPPING,
    "EXITED": ServiceState.RESTARTING,
    "FATAL": ServiceState.FAILED,
    "UNKNOWN": ServiceState.FAILED,
}


@dataclass(frozen=True)
class ServiceStatus:
    """One service as it stands now; `restarts` counts starts after the first since `up`."""

    name: str
    group: Group
    state: ServiceState
    pid: int | None = None
    uptime_s: int | None = None
    address: str | None = None
    restarts: int = 0
    detail: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether the service does what it is for."""
        return self.state in (ServiceState.READY, ServiceState.DONE)


@dataclass(frozen=True)
class StackEvent:
    """A step of `up` or `down`, for whoever shows progress."""

    name: str
    state: ServiceState
    detail: str = ""


Progress = Callable[[StackEvent], None]


def silent(_event: StackEvent) -> None:
    """A `Progress` that shows nothing."""


def state_of(process: ProcessInfo, service: Service, context: ProbeContext) -> ServiceState:
    """Our word for supervisord's: a process is ready only if it holds its ports and answers its probes.

    Without probes a service counts as ready once it has run for as long as supervisord demands of a start.
    """
    context = replace(context, uptime_s=process.uptime_s)
    is_live = process.state == "RUNNING" or (process.state == "STARTING" and bool(service.probes))
    if is_live and process.pid and is_ready(service.probes, context) and listens(process.pid, service.ports):
        return ServiceState.READY
    return _FROM_SUPERVISOR[process.state]

"""The stack of one state folder: up, down, status, from Python."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from infra.embedded.credentials import ensure_env_file, stack_settings
from infra.embedded.dagster_home import write_dagster_home
from infra.embedded.errors import EmbeddedError, PortBusyError, ServicesFailedError
from infra.embedded.feed_table import write_feeds
from infra.embedded.guard import is_same_process
from infra.embedded.launch import read_record, write_commands
from infra.embedded.ports import Ports, holder, is_free
from infra.embedded.postgres_home import remove_home
from infra.embedded.probes import ProbeContext
from infra.embedded.services import Group, Service, all_services
from infra.embedded.state import MarketChoice, StateFolder, remove_socket_folder
from infra.embedded.supervisor.conf import socket_path, write_conf
from infra.embedded.supervisor.control import SUPERVISOR_NAME, ProcessInfo, SupervisorClient, start_supervisor
from infra.embedded.supervisor.leftovers import end_leftovers, find_leftovers
from infra.embedded.supervisor.start import start_group
from infra.embedded.supervisor.status import Progress, ServiceState, ServiceStatus, StackEvent, silent, state_of
from infra.embedded.supervisor.steps import run_step, step_status

POLL_S = 0.2
SHUTDOWN_TIMEOUT_S = 60.0
# Faces do not need workers: both start, in this order, and are waited for together.
_BATCHES: tuple[tuple[Group, ...], ...] = ((Group.GROUND,), (Group.PROVISION,), (Group.WORKERS, Group.FACES))
_STOPPED = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})

ServiceFactory = Callable[[StateFolder, Ports], tuple[Service, ...]]


class Stack:
    """The services of one state folder.

    Without `ports` it takes those of the last start, or the default block. `services` replaces the platform's own
    declarations, for tests.
    """

    def __init__(self, state_dir: Path, ports: Ports | None = None, services: ServiceFactory = all_services) -> None:
        self.state = StateFolder(state_dir.expanduser().absolute())
        self.ports = ports or self.state.read_ports() or Ports.from_base()
        self.services = services(self.state, self.ports)

    def up(
        self,
        select: Collection[str] | None = None,
        progress: Progress = silent,
        market: MarketChoice | None = None,
    ) -> None:
        """Start what does not run yet and wait until it is ready; `select` holds names of groups or services.

        What a killed supervisor left over is ended first. Ground and steps must succeed; a worker or face that
        fails does not stop the others, and is named in the `ServicesFailedError` at the end.
        """
        chosen = self._chosen(select)
        self.state.prepare()
        with self.state.lock():
            client = self._client()
            if client.is_alive():
                self._check_same(client, market)
                self._check_ports(chosen, client.processes())
            else:
                self._end_leftovers(progress)
                self._check_ports(chosen, {})
                self._write_files(market)
                start_supervisor(self.state, write_conf(self.state, self.services), client)
            failures = self._start_all(chosen, client, progress)
        if failures:
            raise ServicesFailedError("\n".join(failures))

    def down(self, progress: Progress = silent) -> bool:
        """Stop everything, also what a killed supervisor left over; False if nothing ran."""
        if not self.state.path.is_dir():
            return False
        with self.state.lock():
            return self._down_locked(progress)

    def reset(self, progress: Progress = silent) -> None:
        """Stop everything and delete the state folder with all data, also what stands outside it on its behalf."""
        folder = self.state.path
        if not folder.is_dir():
            return
        if not self.state.pids.is_dir():
            raise EmbeddedError(f"{folder} does not look like a state folder of Ballast, so it is not deleted.")
        with self.state.lock():
            self._down_locked(progress)
            if self._client().is_alive() or find_leftovers(self.state):
                raise EmbeddedError(
                    f"Not everything of {folder} has ended, so nothing was deleted: see `ballast status`."
                )
            remove_home(folder / "postgres")
            for preferred in (folder / "run", folder / "postgres" / "run"):
                remove_socket_folder(preferred)
            shutil.rmtree(folder)

    def status(self) -> list[ServiceStatus]:
        """Every service as it stands now; readiness is asked of each running server."""
        if not self.state.path.is_dir():
            return [self._stopped(each) for each in self.services]
        client = self._client()
        try:
            processes: dict[str, ProcessInfo] | None = client.processes()
        except EmbeddedError:
            processes = None
        if processes is None:
            leftovers = {each.name: each.process.pid for each in find_leftovers(self.state)}
            return [self._without_supervisor(each, leftovers) for each in self.services]
        context = ProbeContext(stack_settings(self.state.path))
        return [self._status_of(each, processes, context) for each in self.services]

    def wait_ready(self, name: str, timeout_s: float = 60.0) -> None:
        """Return when the service is ready; raises `EmbeddedError` when it is not within the time."""
        service = self._by_name(name)
        client, context = self._client(), ProbeContext(stack_settings(self.state.path))
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._status_of(service, client.processes(), context)
            if found.is_ready:
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{name} was not ready after {timeout_s:.0f} s: it is {found.state}.")
            time.sleep(POLL_S)

    def is_running(self) -> bool:
        """Whether a supervisor answers or something of this stack is left over."""
        return self.state.path.is_dir() and (self._client().is_alive() or bool(find_leftovers(self.state)))

    def _down_locked(self, progress: Progress) -> bool:
        client = self._client()
        did_run = client.is_alive()
        if did_run:
            self._stop_all(client, progress)
        return self._end_leftovers(progress) or did_run

    def _client(self) -> SupervisorClient:
        return SupervisorClient(socket_path(self.state))

    def _by_name(self, name: str) -> Service:
        for service in self.services:
            if service.name == name:
                return service
        raise EmbeddedError(
            f"There is no service {name}: choose from {', '.join(each.name for each in self.services)}."
        )

    def _chosen(self, select: Collection[str] | None) -> tuple[Service, ...]:
        if select is None:
            return self.services
        known = {each.name for each in self.services} | set(Group)
        unknown = set(select) - known
        if unknown:
            raise EmbeddedError(f"There is no service or group {sorted(unknown)}: choose from {sorted(known)}.")
        names = {each.name for each in self.services if each.name in select or each.group in select}
        for service in reversed(self.services):
            if service.name in names:
                names.update(service.depends)
        return tuple(each for each in self.services if each.name in names)

    def _check_same(self, client: SupervisorClient, market: MarketChoice | None) -> None:
        recorded = self.state.read_ports()
        if recorded is not None and recorded != self.ports:
            raise EmbeddedError(
                f"The stack of {self.state.path} runs on other ports (API: {recorded.api}): "
                "`ballast down` before it can move."
            )
        if market is not None and market != self.state.read_market():
            raise EmbeddedError("The running stack uses other prices: `ballast down` before they can change.")
        if set(client.processes()) != {each.name for each in self.services if not each.once}:
            raise EmbeddedError("The running stack was started by another version: `ballast down`, then `ballast up`.")

    def _check_ports(self, chosen: Iterable[Service], processes: dict[str, ProcessInfo]) -> None:
        busy = []
        for service in chosen:
            process = processes.get(service.name)
            if process is None or process.state in _STOPPED:
                busy += [
                    f"port {port} of {service.name} is held by {holder(port)}"
                    for port in service.ports
                    if not is_free(port)
                ]
        if busy:
            raise PortBusyError(
                f"Busy: {'; '.join(busy)}. End that process, or choose other ports: "
                "`ballast up --port-base 9600` or `ballast up --ports free`."
            )

    def _write_files(self, market: MarketChoice | None) -> None:
        self.state.write_ports(self.ports)
        if market is not None:
            self.state.write_market(market)
        ensure_env_file(self.state.path, self.ports, self.state.read_market())
        write_feeds(stack_settings(self.state.path))
        write_dagster_home(self.state, self.ports)
        write_commands(self.state, self.services)

    def _start_all(self, chosen: tuple[Service, ...], client: SupervisorClient, progress: Progress) -> list[str]:
        context = ProbeContext(stack_settings(self.state.path))
        failures: list[str] = []
        for groups in _BATCHES:
            members = [each for each in chosen if each.group in groups]
            for step in (each for each in members if each.once):
                run_step(self.state, step, progress)
            servers = [each for each in members if not each.once]
            failures += start_group(self.state, servers, client, context, progress)
            if failures:
                break
        return failures

    def _stop_all(self, client: SupervisorClient, progress: Progress) -> None:
        pid_of_supervisor = client.pid()
        for groups in reversed(_BATCHES):
            members = [each for each in self.services if each.group in groups and not each.once]
            longest = max((each.stop_wait_s for each in members), default=0)
            self._stop_batch([each.name for each in members], client, longest + 5.0, progress)
        client.shutdown()
        record = read_record(self.state, SUPERVISOR_NAME)
        deadline = time.monotonic() + SHUTDOWN_TIMEOUT_S
        while record and record.pid == pid_of_supervisor and is_same_process(record.pid, record.create_time):
            if time.monotonic() > deadline:
                return  # the caller ends it as left over
            time.sleep(0.05)

    def _stop_batch(self, names: list[str], client: SupervisorClient, timeout_s: float, progress: Progress) -> None:
        present = client.processes()
        waiting = {name for name in names if name in present and present[name].state not in _STOPPED}
        for name in waiting:
            progress(StackEvent(name, ServiceState.STOPPING))
            with contextlib.suppress(EmbeddedError):
                client.stop(name)
        deadline = time.monotonic() + timeout_s
        while waiting and time.monotonic() < deadline:
            present = client.processes()
            for name in [each for each in waiting if present[each].state in _STOPPED]:
                waiting.discard(name)
                progress(StackEvent(name, ServiceState.STOPPED))
            time.sleep(0.1)

    def _end_leftovers(self, progress: Progress) -> bool:
        leftovers = find_leftovers(self.state)
        for each in leftovers:
            progress(StackEvent(each.name, ServiceState.LEFT_OVER, f"pid {each.process.pid}, ending it"))
        end_leftovers(leftovers, frozenset(each.name for each in self.services if each.stop_signal == "INT"))
        for file in self.state.pids.glob("*.json"):
            file.unlink(missing_ok=True)
        return bool(leftovers)

    def _stopped(self, service: Service) -> ServiceStatus:
        return ServiceStatus(service.name, service.group, ServiceState.STOPPED, address=service.address)

    def _without_supervisor(self, service: Service, leftovers: dict[str, int]) -> ServiceStatus:
        pid = leftovers.get(service.name)
        if pid is None:
            return self._stopped(service)
        detail = "its supervisor was killed: `ballast up` or `ballast down`"
        return ServiceStatus(service.name, service.group, ServiceState.LEFT_OVER, pid, None, service.address, 0, detail)

    def _status_of(self, service: Service, processes: dict[str, ProcessInfo], context: ProbeContext) -> ServiceStatus:
        if service.once:
            return step_status(self.state, service)
        process = processes.get(service.name)
        if process is None:
            return self._stopped(service)
        record = read_record(self.state, service.name)
        return ServiceStatus(
            name=service.name,
            group=service.group,
            state=state_of(process, service, context),
            pid=process.pid,
            uptime_s=process.uptime_s,
            address=service.address,
            restarts=max(0, record.starts - 1) if record else 0,
            detail=process.detail,
        )

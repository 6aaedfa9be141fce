"""The TCP ports of the embedded stack: fixed by default, movable as a block, and free ones for tests."""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import asdict, dataclass, fields

import psutil

from infra.embedded.errors import EmbeddedError

HOST = "127.0.0.1"
DEFAULT_BASE = 8600
_OFFSETS = {
    "api": 0,
    "app": 1,
    "dagster_ui": 2,
    "dagster_code": 3,
    "bigquery_rest": 10,
    "bigquery_grpc": 11,
    "pubsub": 12,
    "postgres": 13,
    "inbox": 14,
    "ethereum": 15,
    "hermes": 16,
    "oracle": 17,
    "alert_worker": 18,
    "alert_upkeep": 19,
    "persona": 20,
    "sumsub": 21,
    "compliance_worker": 22,
}
_HIGHEST_BASE = 65535 - max(_OFFSETS.values())


@dataclass(frozen=True)
class Ports:
    """One port for each server of the stack, all on 127.0.0.1."""

    api: int
    app: int
    dagster_ui: int
    dagster_code: int
    bigquery_rest: int
    bigquery_grpc: int
    pubsub: int
    postgres: int
    inbox: int
    ethereum: int
    hermes: int
    oracle: int
    alert_worker: int
    alert_upkeep: int
    persona: int
    sumsub: int
    compliance_worker: int

    @classmethod
    def from_base(cls, base: int = DEFAULT_BASE) -> Ports:
        """The block that starts at `base`; raises `EmbeddedError` outside 1024..65513."""
        if not 1024 <= base <= _HIGHEST_BASE:
            raise EmbeddedError(f"Port base {base} is out of range: give a number from 1024 to {_HIGHEST_BASE}.")
        return cls(**{name: base + offset for name, offset in _OFFSETS.items()})

    @classmethod
    def free(cls) -> Ports:
        """Ports that were free a moment ago; another process may still take one before it is bound."""
        return cls(**dict(zip((field.name for field in fields(cls)), free_ports(len(fields(cls))), strict=True)))

    @classmethod
    def from_dict(cls, values: dict[str, int]) -> Ports:
        """The ports that `as_dict` gave; one that an older version did not know gets its place in the API's block.

        Raises `EmbeddedError` where that of the API is missing, a name is unknown, or a value is no port number.
        """
        names = {field.name for field in fields(cls)}
        known = {name: port for name, port in values.items() if isinstance(port, int)}
        if "api" not in known or not set(values) <= names:
            raise EmbeddedError(f"The recorded ports are not usable: they must be those of {sorted(names)}.")
        ports = {name: known["api"] + offset for name, offset in _OFFSETS.items()} | values
        if not all(isinstance(port, int) and 0 < port < 65536 for port in ports.values()):
            raise EmbeddedError("The recorded ports are not usable: each must be a port number.")
        return cls(**ports)

    def as_dict(self) -> dict[str, int]:
        """Name to port number."""
        return asdict(self)


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on now."""
    probes = []
    try:
        for _ in range(count):
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            probes.append(probe)
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def holder(port: int) -> str:
    """Who listens on the port, as far as this user may know: "nginx (pid 42)"."""
    for process in psutil.process_iter(["name"]):
        try:
            connections = process.net_connections(kind="tcp")
        except (psutil.Error, OSError):
            continue
        if any(each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port for each in connections):
            return f"{process.info['name']} (pid {process.pid})"
    return "a process that this user cannot see"


def listens(pid: int, ports: tuple[int, ...]) -> bool:
    """Whether the process or one of its children listens on every one of the ports.

    A server that answers on a port may be somebody else's who was faster.
    """
    found: set[int] = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            # A child may end while we look.
            with contextlib.suppress(psutil.Error, OSError):
                connections = each.net_connections(kind="tcp")
                found.update(one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN and one.laddr)
            if found.issuperset(ports):
                return True
    return False

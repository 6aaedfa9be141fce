"""Is a server ready? Short, cheap questions whose answer is no unless the server proves otherwise."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from infra.embedded.ports import HOST
from infra.runtime.settings import Settings

PROBE_TIMEOUT_S = 3.0
# Client preface and empty SETTINGS frame, see RFC 9113, section 3.4.
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_HTTP2_FRAME_HEADER_BYTES = 9
_HTTP2_SETTINGS = 4


@dataclass(frozen=True)
class TcpProbe:
    """Something accepts connections on the port."""

    port: int


@dataclass(frozen=True)
class HttpProbe:
    """GET of the path answers 200."""

    port: int
    path: str


@dataclass(frozen=True)
class GrpcProbe:
    """The port answers an HTTP/2 client with its SETTINGS frame, as every gRPC server does."""

    port: int


@dataclass(frozen=True)
class PostgresProbe:
    """The database of the settings answers `select 1` to the role and password of the settings."""


@dataclass(frozen=True)
class HeartbeatProbe:
    """The file was touched at most `max_age_s` seconds ago."""

    file: Path
    max_age_s: float


Probe = TcpProbe | HttpProbe | GrpcProbe | PostgresProbe | HeartbeatProbe


@dataclass(frozen=True)
class ProbeContext:
    """What probes need besides themselves; `wall_clock` gives seconds since 1970, as file times do."""

    settings: Settings
    timeout_s: float = PROBE_TIMEOUT_S
    wall_clock: Callable[[], float] = field(default=time.time)


def is_ready(probes: tuple[Probe, ...], context: ProbeContext) -> bool:
    """Whether every probe passes; no probes: True, so the caller must know by other means that it runs."""
    return all(_check(probe, context) for probe in probes)


def _check(probe: Probe, context: ProbeContext) -> bool:
    match probe:
        case TcpProbe(port):
            return _accepts(port, context.timeout_s)
        case HttpProbe(port, path):
            return _answers_http(port, path, context.timeout_s)
        case GrpcProbe(port):
            return _answers_http2(port, context.timeout_s)
        case PostgresProbe():
            return _answers_postgres(context)
        case HeartbeatProbe(file, max_age_s):
            return _is_recent(file, max_age_s, context.wall_clock())


def _accepts(port: int, timeout_s: float) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def _answers_http(port: int, path: str, timeout_s: float) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _answers_http2(port: int, timeout_s: float) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s) as connection:
            connection.sendall(_HTTP2_HELLO)
            header = b""
            while len(header) < _HTTP2_FRAME_HEADER_BYTES:
                received = connection.recv(_HTTP2_FRAME_HEADER_BYTES - len(header))
                if not received:
                    return False
                header += received
    except OSError:
        return False
    return header[3] == _HTTP2_SETTINGS


def _answers_postgres(context: ProbeContext) -> bool:
    import psycopg  # slow to import, and only this probe needs it

    address = context.settings.postgres_url.get_secret_value().replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(address, connect_timeout=max(2, int(context.timeout_s))) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _is_recent(file: Path, max_age_s: float, now_s: float) -> bool:
    try:
        return now_s - file.stat().st_mtime <= max_age_s
    except OSError:
        return False

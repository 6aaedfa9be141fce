"""Is a server ready? Short, cheap questions whose answer is no unless the server proves otherwise."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from typing import LiteralString

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
    """The process of that name gave a sign of life at most `max_age_s` seconds ago, and since it was started."""

    name: str
    max_age_s: float


Probe = TcpProbe | HttpProbe | GrpcProbe | PostgresProbe | HeartbeatProbe


@dataclass(frozen=True)
class ProbeContext:
    """What probes need besides themselves; `uptime_s` is how long the process runs, where that is known."""

    settings: Settings
    timeout_s: float = PROBE_TIMEOUT_S
    uptime_s: float | None = None


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
        case HeartbeatProbe(name, max_age_s):
            return _beats(name, max_age_s if context.uptime_s is None else min(max_age_s, context.uptime_s), context)


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
    return _postgres_row("select 1", (), context) == (1,)


def _beats(name: str, max_age_s: float, context: ProbeContext) -> bool:
    statement = (
        "select clock_timestamp() - beat_at <= make_interval(secs => %s) from platform.heartbeats where name = %s"
    )
    return _postgres_row(statement, (max_age_s, name), context) == (True,)


def _postgres_row(statement: LiteralString, values: tuple[object, ...], context: ProbeContext) -> object:
    """The only row of the statement; None if PostgreSQL does not answer, or not so."""
    import psycopg  # slow to import, and only these probes need it

    address = context.settings.postgres_url.get_secret_value().replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(address, connect_timeout=max(2, int(context.timeout_s))) as connection:
            return connection.execute(statement, values).fetchone()
    except psycopg.Error:
        return None

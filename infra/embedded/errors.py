"""Errors of the embedded stack; each message says what to do about it."""

from __future__ import annotations

from infra.runtime.errors import BallastError


class EmbeddedError(BallastError):
    """The embedded stack could not do what was asked."""

    code = "embedded_failed"


class PortBusyError(EmbeddedError):
    """A port that a service needs is held by somebody else."""

    code = "embedded_port_busy"


class StackBusyError(EmbeddedError):
    """Another `ballast` command works on the same state folder."""

    code = "embedded_stack_busy"


class ServicesFailedError(EmbeddedError):
    """Some services did not become ready; the others run."""

    code = "embedded_services_failed"


class StorageError(EmbeddedError):
    """The state folder cannot be written: disk full, read-only, or not ours."""

    code = "embedded_storage_failed"


class PostgresError(EmbeddedError):
    """PostgreSQL could not be prepared or started."""

    code = "embedded_postgres_failed"

"""Bringing schema `alerting` to the newest revision."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from alerting.tables import SCHEMA
from infra.runtime.logs import get_logger
from infra.runtime.migrations import upgrade_schema

ADVISORY_LOCK = 0x616C657274
WAIT_S = 1.0
_log = get_logger(__name__)


def upgrade(engine: Engine) -> None:
    """Apply what is missing, in one transaction; safe to call from many processes at once."""
    upgrade_schema(engine, SCHEMA, Path(__file__).parent, ADVISORY_LOCK)


def upgrade_when_up(engine: Engine, stop: threading.Event, waiting: str) -> bool:
    """Bring the schema up to date, waiting for PostgreSQL as long as needed; False when stopped before.

    `waiting` is the event that is logged for each try that PostgreSQL does not answer.
    """
    while not stop.is_set():
        try:
            upgrade(engine)
        except OperationalError as error:
            _log.warning(waiting, reason=type(error.orig).__name__)
            stop.wait(WAIT_S)
        else:
            return True
    return False

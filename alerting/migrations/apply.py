"""Bringing schema `alerting` to the newest revision."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from alerting.tables import SCHEMA
from infra.runtime.migrations import upgrade_schema

ADVISORY_LOCK = 0x616C657274


def upgrade(engine: Engine) -> None:
    """Apply what is missing, in one transaction; safe to call from many processes at once."""
    upgrade_schema(engine, SCHEMA, Path(__file__).parent, ADVISORY_LOCK)

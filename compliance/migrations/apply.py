"""Bringing schema `compliance` to the newest revision."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from infra.runtime.migrations import upgrade_schema

SCHEMA = "compliance"
ADVISORY_LOCK = 0x636F6D706C79


def upgrade(engine: Engine) -> None:
    """Apply what is missing, in one transaction; safe to call from many processes at once."""
    upgrade_schema(engine, SCHEMA, Path(__file__).parent, ADVISORY_LOCK)

"""Alembic migrations of schema `alerting`, applied from Python."""

from alerting.migrations.apply import upgrade, upgrade_when_up

__all__ = ["upgrade", "upgrade_when_up"]

"""Alembic migrations of schema `alerting`, applied from Python."""

from alerting.migrations.apply import upgrade

__all__ = ["upgrade"]

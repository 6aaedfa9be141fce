"""Alembic migrations of schema `compliance`, applied from Python."""

from compliance.migrations.apply import upgrade

__all__ = ["upgrade"]

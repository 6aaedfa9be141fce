"""Alembic's entry: runs on the connection that `compliance.migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("No connection was handed over; call compliance.migrations.upgrade(engine).")

context.configure(connection=connection, version_table_schema="compliance", transactional_ddl=False)
context.run_migrations()

"""Alembic's entry: runs on the connection that `alerting.migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from alerting.tables import SCHEMA, metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("No connection was handed over; call alerting.migrations.upgrade(engine).")

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    transactional_ddl=False,
)
context.run_migrations()

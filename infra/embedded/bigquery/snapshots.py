"""Snapshots: no copy of a table for each write, and no time travel that silently answers with live rows."""

from __future__ import annotations

from typing import Any

from bqemulator.domain.errors import InvalidQueryError
from bqemulator.versioning.snapshots import SnapshotManager

from infra.embedded.bigquery.patching import replace


def copy_nothing_on_write() -> None:
    """A write stores its own rows only; explicit snapshots (CREATE SNAPSHOT TABLE ... CLONE) still copy.

    Stock copies the whole table after each insertAll, DML statement and load, for time travel.
    """
    capture = SnapshotManager.capture

    def capture_explicit(manager: Any, *table: str, kind: str = "AUTO") -> Any:
        return None if kind == "AUTO" else capture(manager, *table, kind=kind)

    replace(SnapshotManager, "capture", capture_explicit)


def refuse_time_travel() -> None:
    """FOR SYSTEM_TIME AS OF is refused; stock reads the live rows when a table has no snapshot."""
    resolve = SnapshotManager.resolve_time_travel

    def resolve_or_refuse(manager: Any, project_id: str, dataset_id: str, table_id: str, target: Any) -> Any:
        snapshot = resolve(manager, project_id, dataset_id, table_id, target)
        if snapshot is None:
            raise InvalidQueryError(
                f"The embedded BigQuery keeps no history of {dataset_id}.{table_id}: FOR SYSTEM_TIME AS OF is not "
                "available. Filter on a time column, or take a copy with CREATE SNAPSHOT TABLE."
            )
        return snapshot

    replace(SnapshotManager, "resolve_time_travel", resolve_or_refuse)

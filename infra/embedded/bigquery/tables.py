"""Tables over REST: views are created and dropped as views, row counts are counted."""

from __future__ import annotations

from typing import Any

from bqemulator.domain.errors import ResourceRef, resource_not_found
from bqemulator.storage.sql_identifiers import quoted_table_ref
from fastapi import Response

from infra.embedded.bigquery.handlers import Handlers
from infra.embedded.bigquery.locks import StatementLocks


def count_rows_when_asked(handlers: Handlers) -> None:
    """tables.get counts the rows; stock answers a number that DML and concurrent appends leave wrong."""

    def make(handler: Any) -> Any:
        def get_table(**arguments: Any) -> Any:
            body = handler(**arguments)
            meta = arguments["ctx"].catalog.get_table(*_key(arguments))
            if meta is not None and meta.table_type == "TABLE":
                count = arguments["ctx"].engine.execute(f"SELECT count(*) FROM {quoted_table_ref(*_key(arguments))}")  # noqa: S608 -- quoted and checked by bqemulator
                body["numRows"] = str(count.fetchone()[0])
            return body

        return get_table

    handlers.wrap("get_table", make)


def drop_views_as_views(handlers: Handlers, locks: StatementLocks) -> None:
    """tables.delete drops a view (dbt drops relations that way) and answers 404 for what is not there.

    Stock runs DROP TABLE for both, which fails for a view with HTTP 500.
    """

    def make(handler: Any) -> Any:
        async def delete_table(**arguments: Any) -> Any:
            ctx, key = arguments["ctx"], _key(arguments)
            with locks.change_shape(frozenset({key})):
                meta = ctx.catalog.get_table(*key)
                if meta is None:
                    raise resource_not_found(ResourceRef("table", *key))
                if meta.table_type not in ("VIEW", "MATERIALIZED_VIEW"):
                    return await handler(**arguments)
                async with ctx.engine.write_lock():
                    ctx.engine.execute(f"DROP VIEW IF EXISTS {quoted_table_ref(*key)}")
                    ctx.catalog.delete_table(*key, not_found_ok=True)
            return Response(status_code=204)

        return delete_table

    handlers.wrap("delete_table", make)


def _key(arguments: dict[str, Any]) -> tuple[str, str, str]:
    return arguments["project_id"], arguments["dataset_id"], arguments["table_id"]

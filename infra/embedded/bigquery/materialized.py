"""Materialized views as dbt writes them: accepted with all clauses, listed as such, and never stale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlglot
from bqemulator.api.routes import tables as table_routes
from bqemulator.catalog import ddl_sync
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import Clustering, TableMeta, TimePartitioning
from bqemulator.domain.errors import (
    InvalidQueryError,
    ResourceRef,
    resource_already_exists,
    resource_not_found,
)
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.versioning import ddl
from bqemulator.versioning.materialized_views import MaterializedViewManager
from sqlglot import exp

from infra.embedded.bigquery.patching import replace, replace_everywhere

_TYPE = "MATERIALIZED_VIEW"
_MILLISECONDS_PER_MINUTE = 60_000
_DEFAULT_REFRESH_MINUTES = "30"
# Options that the catalog has no field for travel as labels under this prefix, which tables.get takes off again.
_OPTION_LABEL = "ballast_option_"


@dataclass(frozen=True)
class ViewStatement:
    """CREATE, ALTER or DROP of a materialized view. `query` is set for CREATE."""

    action: str
    target: tuple[str, str, str]
    query: str | None = None
    if_exists: bool = False
    if_not_exists: bool = False
    or_replace: bool = False
    partition_field: str | None = None
    cluster_fields: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()


def accept_materialized_views() -> None:
    """CREATE, ALTER and DROP MATERIALIZED VIEW work with all clauses that dbt writes.

    Stock takes such a CREATE for one of a plain view, which is then missing from tables.list and tables.get, so
    that dbt does not find it on its next run; OR REPLACE, ALTER and DROP IF EXISTS fail; and a real materialized view
    keeps its old rows when its base table is replaced or it is read through a view.
    A materialized view is stored as a view here: always fresh, computed at each read.
    """
    parse = ddl.VersioningDDLRouter.parse

    def parse_all(router: Any, sql: str) -> Any:
        return parse_view_statement(sql, router._project_id) or parse(router, sql)

    replace(ddl.VersioningDDLRouter, "parse", parse_all)

    def make(execute: Any) -> Any:
        async def execute_all(statement: Any, ctx: Any) -> None:
            if isinstance(statement, ViewStatement):
                await _apply(statement, ctx)
            elif statement.kind is ddl.VersioningDDLKind.REFRESH_MATERIALIZED_VIEW:
                target = (statement.target_project, statement.target_dataset, statement.target_table)
                _existing(ctx, target, required=True)  # always fresh: there is nothing to refresh
            else:
                await execute(statement, ctx)

        return execute_all

    replace_everywhere(ddl, "execute_versioning_ddl", make)


def show_materialized_views() -> None:
    """tables.get answers `materializedView` and `view`, which clients and dbt read; stock leaves both out."""
    render = table_routes._table_to_rest

    def render_all(meta: Any) -> dict[str, Any]:
        body: dict[str, Any] = render(meta)
        labels = body.pop("labels", {})
        options = {name.removeprefix(_OPTION_LABEL): labels.pop(name) for name in list(labels) if _is_option(name)}
        if labels:
            body["labels"] = labels
        if meta.table_type == "VIEW":
            body["view"] = {"query": meta.view_query or "", "useLegacySql": False}
        elif meta.table_type == _TYPE:
            minutes = options.get("refresh_interval_minutes", _DEFAULT_REFRESH_MINUTES)
            body["materializedView"] = {
                "query": meta.view_query or "",
                "enableRefresh": options.get("enable_refresh", "true") == "true",
                "refreshIntervalMs": str(int(float(minutes) * _MILLISECONDS_PER_MINUTE)),
            }
        return body

    replace(table_routes, "_table_to_rest", render_all)


def parse_view_statement(sql: str, project_id: str) -> ViewStatement | None:
    """What `sql` does to a materialized view; None when it does nothing to one."""
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    if isinstance(tree, exp.Create) and ddl_sync._is_materialized_view(tree):
        return _parse_create(tree, project_id)
    if isinstance(tree, exp.Drop) and tree.args.get("materialized"):
        return ViewStatement("drop", _target(tree.this, project_id), if_exists=bool(tree.args.get("exists")))
    if isinstance(tree, exp.Command) and str(tree.this).upper() == "ALTER":
        return _parse_alter(str(tree.expression), project_id)
    return None


def _parse_create(tree: exp.Create, project_id: str) -> ViewStatement:
    partition, clusters, options = None, (), []
    for item in tree.args["properties"].expressions:
        if isinstance(item, exp.PartitionedByProperty):
            column = item.this if isinstance(item.this, exp.Identifier) else item.this.find(exp.Column)
            partition = column.name if column is not None else None
        elif isinstance(item, exp.Cluster | exp.ClusterProperty):
            clusters = tuple(part.name for part in item.expressions)
        elif type(item) is exp.Property:
            options.append(_option(item))
    return ViewStatement(
        "create",
        _target(tree.this, project_id),
        query=tree.expression.sql(dialect="bigquery"),
        if_not_exists=bool(tree.args.get("exists")),
        or_replace=bool(tree.args.get("replace")),
        partition_field=partition,
        cluster_fields=clusters,
        options=tuple(options),
    )


def _parse_alter(rest: str, project_id: str) -> ViewStatement | None:
    """ALTER MATERIALIZED VIEW, which sqlglot passes through, read as ALTER TABLE, which it knows."""
    words = rest.split(None, 2)
    if len(words) < 3 or [word.upper() for word in words[:2]] != ["MATERIALIZED", "VIEW"]:
        return None
    altered, _set, options = words[2].partition(" set ") if " set " in words[2] else words[2].partition(" SET ")
    if_exists = altered.upper().startswith("IF EXISTS ")
    table = exp.to_table(altered[10:].strip() if if_exists else altered.strip(), dialect="bigquery")
    probe = sqlglot.parse_one(f"CREATE TABLE x (y INT64) {options}", read="bigquery")
    found = [item for item in probe.find_all(exp.Property) if type(item) is exp.Property]
    values = tuple(_option(item) for item in found)
    return ViewStatement("alter", _target(table, project_id), if_exists=if_exists, options=values)


def _option(item: exp.Property) -> tuple[str, str]:
    return item.name.lower(), item.args["value"].sql(dialect="bigquery").strip("'\"").lower()


def _target(node: exp.Expression, project_id: str) -> tuple[str, str, str]:
    table = ddl_sync._unwrap_table_target(node)
    target = ddl_sync._split_target(table, project_id) if table is not None else ("", "", "")
    if not target[1] or not target[2]:
        raise InvalidQueryError("A materialized view needs the name of its dataset, as in dataset.view")
    return target[0], target[1], target[2]


async def _apply(statement: ViewStatement, ctx: Any) -> None:
    existing = _existing(ctx, statement.target, required=not (statement.action == "create" or statement.if_exists))
    async with ctx.engine.write_lock():
        if statement.action == "create":
            _create(statement, ctx, existing)
        elif existing is not None and statement.action == "drop":
            ctx.engine.execute(f"DROP VIEW IF EXISTS {quoted_table_ref(*statement.target)}")
            ctx.catalog.delete_table(*statement.target, not_found_ok=True)
        elif existing is not None:
            labels = {**existing.labels, **_option_labels(statement)}
            ctx.catalog.update_table(existing.model_copy(update={"labels": labels}))


def _existing(ctx: Any, target: tuple[str, str, str], *, required: bool) -> Any:
    """The catalog's entry, which has to be a materialized view."""
    meta = ctx.catalog.get_table(*target)
    if meta is None and required:
        raise resource_not_found(ResourceRef("materialized_view", *target))
    if meta is not None and meta.table_type != _TYPE:
        raise InvalidQueryError(f"{'.'.join(target)} is a {meta.table_type}, not a materialized view")
    return meta


def _create(statement: ViewStatement, ctx: Any, existing: Any) -> None:
    if existing is not None and not statement.or_replace:
        if statement.if_not_exists:
            return
        raise resource_already_exists(ResourceRef("table", *statement.target))
    project, dataset, table = statement.target
    if ctx.catalog.get_dataset(project, dataset) is None:
        raise resource_not_found(ResourceRef("dataset", project, dataset))
    manager = MaterializedViewManager(ctx)
    query = manager._translate(statement.query or "", project)
    ctx.engine.execute(f"CREATE OR REPLACE VIEW {quoted_table_ref(*statement.target)} AS {query}")
    now = ctx.clock.now()
    partition = statement.partition_field
    meta = TableMeta(
        project_id=project,
        dataset_id=dataset,
        table_id=table,
        table_type=_TYPE,
        schema=ddl_sync._introspect_schema(project, dataset, table, ctx),
        view_query=statement.query,
        time_partitioning=TimePartitioning(type="DAY", field=partition) if partition else None,
        clustering=Clustering(fields=statement.cluster_fields) if statement.cluster_fields else None,
        labels=_option_labels(statement),
        creation_time=now,
        last_modified_time=now,
        etag=generate_etag(project, dataset, table, _TYPE, str(now)),
    )
    (ctx.catalog.create_table if existing is None else ctx.catalog.update_table)(meta)


def _option_labels(statement: ViewStatement) -> dict[str, str]:
    return {_OPTION_LABEL + name: value for name, value in statement.options}


def _is_option(label: str) -> bool:
    return label.startswith(_OPTION_LABEL)

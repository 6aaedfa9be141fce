"""Load jobs: content types that clients send, columns by name, CSV options, all or nothing."""

from __future__ import annotations

from typing import Any

from bqemulator.api.routes import upload
from bqemulator.jobs import executor

from infra.embedded.bigquery.connections import end_transaction
from infra.embedded.bigquery.locks import StatementLocks
from infra.embedded.bigquery.patching import replace, replace_everywhere


def accept_any_upload_type() -> None:
    """Accept `*/*`, which the Python client sends for dataframes and JSON; stock answers 400."""
    replace(upload, "_PERMITTED_MEDIA_CONTENT_TYPES", (*upload._PERMITTED_MEDIA_CONTENT_TYPES, "*/*"))


def load_all_or_nothing(locks: StatementLocks) -> None:
    """The files of a load job and its truncation are one transaction, in order with statements on that table.

    Stock truncates and loads each file on its own: a failure half way leaves half of the rows.
    """
    truncate = executor._apply_load_write_disposition
    count = executor._refresh_load_row_count

    def begin(job: Any, ctx: Any) -> None:
        ctx.engine.connection.begin()
        truncate(job, ctx)

    def commit(job: Any, ctx: Any) -> Any:
        ctx.engine.connection.commit()
        return count(job, ctx)

    replace(executor, "_apply_load_write_disposition", begin)
    replace(executor, "_refresh_load_row_count", commit)

    def make(execute: Any) -> Any:
        async def execute_in_order(project_id: str, job_id: str, config: dict[str, Any], ctx: Any) -> Any:
            table = config.get("load", {}).get("destinationTable", {})
            key = (table.get("projectId", project_id), table.get("datasetId", ""), table.get("tableId", ""))
            exists = ctx.catalog.get_table(*key) is not None
            keys = frozenset({key})
            with locks.change_rows(keys) if exists else locks.change_shape(keys):
                try:
                    return await execute(project_id, job_id, config, ctx)
                finally:
                    end_transaction(ctx)

        return execute_in_order

    replace_everywhere(executor, "execute_load_job", make)


def map_columns_as_bigquery_does() -> None:
    """Parquet and JSON columns go by name, CSV columns by position, with the job's CSV options.

    Stock maps Parquet by position (silently wrong when the order differs) and takes each first CSV row for a
    header, whatever `skipLeadingRows` says.
    """

    def load_parquet(path: str, target: str, ctx: Any) -> None:
        ctx.engine.execute(f"INSERT INTO {target} BY NAME SELECT * FROM read_parquet(?)", [path])  # noqa: S608 -- quoted by bqemulator

    replace(executor, "_load_parquet", load_parquet)
    executor._LOAD_FORMAT_HANDLERS["PARQUET"] = load_parquet
    load_path = executor._load_path_into_target

    def load_with_options(path: str, job: Any, ctx: Any) -> None:
        if job.source_format == "CSV":
            options = ", ".join(_csv_options(job.raw_config))
            ctx.engine.execute(f"COPY {job.target_ref} FROM ? (FORMAT CSV, {options})", [path])
        else:
            load_path(path, job, ctx)

    replace(executor, "_load_path_into_target", load_with_options)


def _csv_options(load: dict[str, Any]) -> list[str]:
    """DuckDB's COPY options for a `configuration.load` block."""
    skip = int(load.get("skipLeadingRows") or 0)
    header = skip > 0 or ("skipLeadingRows" not in load and bool(load.get("autodetect")))
    options = [f"HEADER {str(header).lower()}"]
    if skip > 1:
        options.append(f"SKIP {skip - 1}")
    for key, option in (("fieldDelimiter", "DELIM"), ("quote", "QUOTE"), ("nullMarker", "NULLSTR")):
        if key in load:
            options.append(f"{option} {_text(load[key])}")
    return options


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

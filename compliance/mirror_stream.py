"""What the mirror knows of a table of PostgreSQL and of its copy in the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.cloud.bigquery import SchemaField

from infra.runtime.bigquery import TableSpec, nullable, required

RAW_DATASET = "raw"


@dataclass(frozen=True)
class Stream:
    """A table of PostgreSQL and its copy.

    `reads` has the SQL over `source` of columns that are not read by their own name, and `sums` the numeric columns
    whose totals must be equal on both sides. Of `addresses` only keyed hashes leave, and `free_texts` may hold some.
    `is_chained`: rows are numbered in the order in which they commit and never change.
    """

    name: str
    key: str
    target: TableSpec
    reads: Mapping[str, str] = field(default_factory=dict)
    sums: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    free_texts: tuple[str, ...] = ()
    is_chained: bool = False


def copy_table(
    name: str, columns: tuple[SchemaField, ...], grain: str, partition_field: str, cluster_fields: tuple[str, ...]
) -> TableSpec:
    return TableSpec(
        RAW_DATASET,
        f"compliance_{name}",
        (
            *columns,
            required("change_number", "INTEGER", "Grows with each change of the row: the greatest one counts"),
            required("mirrored_at", "TIMESTAMP", "When the row was read from PostgreSQL, UTC"),
        ),
        f"{grain} Append-only, at least once: one row a state and copy; the greatest change_number of a key counts.",
        partition_field=partition_field,
        cluster_fields=cluster_fields,
    )


LIST_VERSION_COLUMNS = (
    nullable("list_versions", "STRING", "JSON: versions of the lists that were searched, by name of the list"),
    nullable("list_version_ids", "STRING", "The same versions, comma-separated"),
)
READ_LIST_VERSIONS = {
    "list_versions": "cast(source.list_versions as text)",
    "list_version_ids": (
        "case when jsonb_typeof(source.list_versions) = 'object' then"
        " (select string_agg(value, ',' order by value) from jsonb_each_text(source.list_versions)) end"
    ),
}

"""Versions of lists and their entries in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from compliance.screening.lists.entries import ListEntry, entry_from_row


@dataclass(frozen=True, slots=True)
class ListVersion:
    """A load of a list; `added`, `changed`, `removed` count entries against the version that was active before."""

    list_version_id: str
    list_name: str
    content_hash: str
    state: str
    reason: str | None
    entries: int
    names: int
    wallets: int
    added: int
    changed: int
    removed: int
    published_on: date | None
    loaded_at: datetime


_COLUMNS = """
    list_version_id, list_name, content_hash, state, reason, entries, names, wallets, added, changed, removed,
    published_on, loaded_at
"""
_ACTIVE = text(
    f"select {_COLUMNS} from compliance.list_versions"  # noqa: S608 - a constant
    " where list_name = :list_name and state = 'active'"
)
_HASHES = text("select entry_id, entry_hash from compliance.list_entries where list_version_id = :list_version_id")
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('compliance.list:' || :list_name, 0))")
# Loading a whole list is one long statement or two.
_PATIENCE = text("set local statement_timeout = '120s'")
_STORE = text(
    """
    insert into compliance.list_versions
        (list_version_id, list_name, content_hash, state, reason, entries, names, wallets, added, changed, removed,
        published_on, loaded_at)
    values
        (:list_version_id, :list_name, :content_hash, :state, :reason, :entries, :names, :wallets, :added, :changed,
        :removed, :published_on, :loaded_at)
    on conflict (list_version_id) do update
    set
        state = excluded.state, reason = excluded.reason, added = excluded.added, changed = excluded.changed,
        removed = excluded.removed, loaded_at = excluded.loaded_at
    """
)
_ACTIVATE = text(
    """
    update compliance.list_versions
    set state = 'active'
    where list_version_id = :list_version_id
    """
)
_SUPERSEDE = text(
    """
    update compliance.list_versions
    set state = 'superseded'
    where list_name = :list_name and state = 'active'
    """
)
_HAS_ENTRIES = text("select exists (select from compliance.list_entries where list_version_id = :list_version_id)")
_ENTRIES = text(
    """
    select entry_id, entry_hash, kind, topics, names, details
    from compliance.list_entries
    where list_version_id = :list_version_id
    order by entry_id
    """
)
_ACTIVE_VERSIONS = text(
    """
    select list_name, list_version_id
    from compliance.list_versions
    where state = 'active'
    order by list_name
    """
)
_IS_SANCTIONS = text(
    """
    select exists (
        select
        from compliance.list_entries
        where list_version_id = :list_version_id and 'sanction' = any(topics)
    )
    """
)


def lock_list(connection: Connection, list_name: str) -> None:
    """Let one load of the list run at a time, until the transaction ends."""
    connection.execute(_PATIENCE)
    connection.execute(_LOCK, {"list_name": list_name})


def active_version(connection: Connection, list_name: str) -> ListVersion | None:
    """The version of the list that is searched."""
    row = connection.execute(_ACTIVE, {"list_name": list_name}).mappings().one_or_none()
    return ListVersion(**row) if row is not None else None


def active_versions(connection: Connection) -> dict[str, str]:
    """List to the id of its active version."""
    return {row.list_name: row.list_version_id for row in connection.execute(_ACTIVE_VERSIONS)}


def is_sanctions(connection: Connection, list_version_id: str) -> bool:
    """Whether the version names anybody under sanctions; of a version that is or was active the answer stays."""
    found: bool = connection.execute(_IS_SANCTIONS, {"list_version_id": list_version_id}).scalar_one()
    return found


def entry_hashes(connection: Connection, list_version_id: str) -> dict[str, str]:
    """Entry id to its hash."""
    rows = connection.execute(_HASHES, {"list_version_id": list_version_id})
    return {row.entry_id: row.entry_hash for row in rows}


def read_entries(connection: Connection, list_version_id: str) -> Iterator[tuple[ListEntry, str]]:
    """The entries of a version with their hashes, without wallets, in order of id."""
    for row in connection.execute(_ENTRIES, {"list_version_id": list_version_id}).mappings():
        yield entry_from_row(dict(row)), row["entry_hash"]


def store_version(connection: Connection, version: ListVersion) -> None:
    """Record the version, or what a repeated load changes of it."""
    values = {name: getattr(version, name) for name in ListVersion.__slots__}
    connection.execute(_STORE, values)


def activate(connection: Connection, version: ListVersion) -> None:
    """Search this version from now on, and no longer the one before."""
    connection.execute(_SUPERSEDE, {"list_name": version.list_name})
    connection.execute(_ACTIVATE, {"list_version_id": version.list_version_id})


def store_entries(
    connection: Connection, list_version_id: str, entries: Sequence[ListEntry], hashes: Mapping[str, str]
) -> None:
    """Copy the entries and wallets of a version, unless they are there."""
    are_there: bool = connection.execute(_HAS_ENTRIES, {"list_version_id": list_version_id}).scalar_one()
    if are_there:
        return
    # SQLAlchemy has no copy; psycopg's connection, in the same transaction, has.
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        with cursor.copy(
            "copy compliance.list_entries (list_version_id, entry_id, entry_hash, kind, topics, names, details)"
            " from stdin"
        ) as copy:
            for entry in entries:
                copy.write_row(
                    (
                        list_version_id,
                        entry.entry_id,
                        hashes[entry.entry_id],
                        entry.kind.value,
                        list(entry.topics),
                        _json(entry.listed_names),
                        _json(entry.details),
                    )
                )
        with cursor.copy(
            "copy compliance.list_wallets (list_version_id, address, entry_id, asset_label) from stdin"
        ) as copy:
            for entry in entries:
                # One address may stand under several labels of one entry.
                labels: dict[str, list[str]] = {}
                for wallet in entry.wallets:
                    labels.setdefault(wallet.address, []).append(wallet.asset_label)
                for address, named in labels.items():
                    copy.write_row((list_version_id, address, entry.entry_id, ",".join(dict.fromkeys(named))))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))

"""Loads a list as a new version, or refuses it and leaves the version before in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, Engine

from compliance.errors import ComplianceInputError, ListRefusedError
from compliance.screening.lists import store
from compliance.screening.lists.entries import ParsedList
from compliance.screening.lists.files import content_hash, parse_files, read_files
from compliance.screening.lists.store import ListVersion
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id
from infra.runtime.logs import get_logger

MOST_SHRINKAGE = 0.05
"""Share of entries, names or wallets that a new version may have fewer without a person's word."""
_NAME = re.compile(r"[a-z][a-z0-9_]{1,63}")
_log = get_logger(__name__)


def load_list(
    engine: Engine, clock: Clock, list_name: str, files: Sequence[Path], *, max_shrinkage: float = MOST_SHRINKAGE
) -> ListVersion:
    """Load the files as the list's active version; the same content again changes nothing.

    One transaction: another process sees the old version or the new one. Raises `ListRefusedError` for files that are
    empty, damaged, or hold more than `max_shrinkage` fewer entries, names or wallets than the active version: that is
    recorded as a refused version with its reason, and the version before stays active.
    """
    if not _NAME.fullmatch(list_name):
        raise ComplianceInputError("A list's name is 2 to 64 small letters, digits and underscores.")
    hashed = ""
    try:
        contents = read_files(files)
        hashed = content_hash(contents)
        with engine.connect() as connection:
            active = store.active_version(connection, list_name)
        if active is not None and active.content_hash == hashed:
            return active
        parsed = parse_files(contents)
        with engine.begin() as connection:
            version = _load(connection, clock, list_name, hashed, parsed, max_shrinkage)
    except ListRefusedError as error:
        _record_refusal(engine, clock, list_name, hashed, error.message)
        raise
    for note in parsed.notes:
        _log.warning("list_note", list_name=list_name, note=note)
    _log.info("list_loaded", list_name=list_name, list_version_id=version.list_version_id, entries=version.entries)
    return version


def _load(
    connection: Connection, clock: Clock, list_name: str, hashed: str, parsed: ParsedList, max_shrinkage: float
) -> ListVersion:
    store.lock_list(connection, list_name)
    active = store.active_version(connection, list_name)
    if active is not None and active.content_hash == hashed:
        return active
    version = ListVersion(
        list_version_id=stable_id("lst", list_name, hashed),
        list_name=list_name,
        content_hash=hashed,
        state="loading",
        reason="; ".join(parsed.notes) or None,
        entries=len(parsed.entries),
        names=sum(len(entry.names) for entry in parsed.entries),
        wallets=len({wallet.address for entry in parsed.entries for wallet in entry.wallets}),
        added=0,
        changed=0,
        removed=0,
        published_on=parsed.published_on,
        loaded_at=clock.now(),
    )
    if active is not None:
        _refuse_shrunken(version, active, max_shrinkage)
    before = store.entry_hashes(connection, active.list_version_id) if active is not None else {}
    hashes = {entry.entry_id: entry.entry_hash for entry in parsed.entries}
    version = replace(
        version,
        added=len(hashes.keys() - before.keys()),
        changed=sum(before[key] != hashes[key] for key in hashes.keys() & before.keys()),
        removed=len(before.keys() - hashes.keys()),
    )
    store.store_version(connection, version)
    store.store_entries(connection, version.list_version_id, parsed.entries, hashes)
    store.activate(connection, version)
    return replace(version, state="active")


def _refuse_shrunken(version: ListVersion, active: ListVersion, max_shrinkage: float) -> None:
    for what in ("entries", "names", "wallets"):
        new, old = getattr(version, what), getattr(active, what)
        if new < old * (1 - max_shrinkage):
            raise ListRefusedError(
                f"{version.list_name} has {new} {what}, the active version {old}: more than {max_shrinkage:.0%} fewer. "
                "If that is right, load it again with a higher limit."
            )


def _record_refusal(engine: Engine, clock: Clock, list_name: str, hashed: str, reason: str) -> None:
    """A refusal has a row of its own, so that a version which once was active keeps its history."""
    refused = ListVersion(
        list_version_id=stable_id("lst", list_name, hashed, "refused", reason),
        list_name=list_name,
        content_hash=hashed,
        state="refused",
        reason=reason,
        entries=0,
        names=0,
        wallets=0,
        added=0,
        changed=0,
        removed=0,
        published_on=None,
        loaded_at=clock.now(),
    )
    with engine.begin() as connection:
        store.store_version(connection, refused)
    _log.error("list_refused", list_name=list_name, reason=reason)

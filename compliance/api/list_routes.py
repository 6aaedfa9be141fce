"""Lists to screen against as people look at them: which version is searched, how old it is, what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection, RowMapping, text

from compliance.api.access import GUARDS
from compliance.api.dependencies import ServicesDependency
from compliance.api.schemas import Shown, UtcTime

MOST_VERSIONS = 20
_COUNTS = ("entries", "names", "wallets", "added", "changed", "removed")
router = APIRouter(prefix="/v1/compliance/lists", tags=["compliance"], dependencies=GUARDS)
_VERSIONS = text(
    """
    select
        list_name, list_version_id, content_hash, state, reason, entries, names, wallets, added, changed, removed,
        published_on, loaded_at
    from (
        select
            versions.*,
            row_number() over (
                partition by list_name order by (state = 'active') desc, loaded_at desc, list_version_id
            ) as place
        from compliance.list_versions as versions
    ) as placed
    where place <= :most
    order by list_name, loaded_at desc, list_version_id
    """
)


class ListVersionView(Shown):
    """A load of a list; what was added, changed and removed is counted against the version that was active before."""

    list_version_id: str
    content_hash: str = Field(description="SHA-256 of the files; empty where they could not be read")
    state: Literal["loading", "active", "superseded", "refused"]
    reason: str | None = Field(description="why it was refused, or what was noted")
    entries: int | None = Field(description="null: of a load that was refused nothing is counted")
    names: int | None
    wallets: int | None
    added: int | None
    changed: int | None
    removed: int | None
    published_on: date | None = Field(description="the day that the list itself names")
    loaded_at: UtcTime
    age_s: float


class ListView(Shown):
    """A list; without an active version nothing is screened by it."""

    list_name: str
    active: ListVersionView | None
    refused_since: int = Field(description="loads that were refused since the active version; of those shown")
    versions: list[ListVersionView] = Field(description="the newest loads, refused ones too, newest first")


class ListsView(Shown):
    """All lists as of now."""

    measured_at: UtcTime
    lists: list[ListView]


@router.get("")
def list_sanctions_lists(services: ServicesDependency) -> ListsView:
    """Every list with its newest loads: what is searched, what it replaced, what was refused and why."""
    now = services.clock.now()
    with services.engine.connect() as connection:
        rows = _read(connection)
    by_name: dict[str, list[ListVersionView]] = {}
    for row in rows:
        by_name.setdefault(row["list_name"], []).append(_version(row, now))
    return ListsView(measured_at=now, lists=[_list(name, versions) for name, versions in by_name.items()])


def _read(connection: Connection) -> Sequence[RowMapping]:
    return connection.execute(_VERSIONS, {"most": MOST_VERSIONS}).mappings().all()


def _version(row: RowMapping, now: datetime) -> ListVersionView:
    fields = {name: value for name, value in row.items() if name != "list_name"}
    if row["state"] == "refused":
        fields |= dict.fromkeys(_COUNTS)
    return ListVersionView(**fields, age_s=round(max(0.0, (now - row["loaded_at"]).total_seconds()), 3))


def _list(name: str, versions: list[ListVersionView]) -> ListView:
    active = next((version for version in versions if version.state == "active"), None)
    refused = [
        version
        for version in versions
        if version.state == "refused" and (active is None or version.loaded_at > active.loaded_at)
    ]
    return ListView(list_name=name, active=active, refused_since=len(refused), versions=versions)

"""List entries and queries as the entities that nomenklatura compares.

Trap: nomenklatura caches the analysis of names by the entity's id. A query's id is therefore used once and never again,
and an entry's id follows from its content: an entry that changed is another entity.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from followthemoney import EntityProxy, model
from followthemoney.names import entity_names
from rigour.names import Name

from compliance.screening.lists.entries import EntryKind, ListEntry, Strength

_SCHEMATA = {
    EntryKind.PERSON: "Person",
    EntryKind.ENTITY: "Organization",
    EntryKind.VESSEL: "Vessel",
    EntryKind.AIRCRAFT: "Airplane",
    EntryKind.UNKNOWN: "LegalEntity",
}
# A company may bear the name of a person who is listed: it is compared with persons as well.
_QUERY_SCHEMATA = {
    "person": "Person",
    "company": "LegalEntity",
    "entity": "LegalEntity",
    "unknown": "LegalEntity",
    "vessel": "Vessel",
    "aircraft": "Airplane",
}
_PROPERTIES = {
    Strength.PRIMARY: "name",
    Strength.ALIAS: "alias",
    Strength.FORMER: "previousName",
    Strength.WEAK: "weakAlias",
}
KINDS = frozenset(_QUERY_SCHEMATA)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom to look for: names, and what tells namesakes apart. No repr shows it."""

    names: tuple[str, ...] = field(repr=False)
    kind: str
    birth_date: date | None = field(default=None, repr=False)
    countries: tuple[str, ...] = field(default=(), repr=False)


def entry_proxy(list_name: str, entry: ListEntry, entry_hash: str) -> EntityProxy | None:
    """The entry as an entity; None where it has no name, or is a wallet, so that names cannot find it."""
    schema = _SCHEMATA.get(entry.kind)
    if schema is None or not entry.names:
        return None
    properties: dict[str, list[str]] = {}
    for name in entry.names:
        properties.setdefault(_PROPERTIES[name.strength], []).append(name.name)
    properties["birthDate"] = list(entry.birth_dates) if entry.kind is EntryKind.PERSON else []
    properties["country"] = [code.lower() for code in entry.countries]
    if entry.kind is EntryKind.PERSON:
        properties["gender"] = [entry.gender] if entry.gender else []
        properties["firstName"] = [entry.first_name] if entry.first_name else []
        properties["lastName"] = [entry.last_name] if entry.last_name else []
    return _proxy(f"{list_name}:{entry.entry_id}:{entry_hash}", schema, properties)


def query_proxy(subject: Subject, names: Sequence[str] | None = None) -> EntityProxy:
    """The subject as an entity with an id that no other query has; `names` instead of all of its names."""
    properties = {
        "name": list(names if names is not None else subject.names),
        "birthDate": [subject.birth_date.isoformat()] if subject.birth_date else [],
        "country": [code.lower() for code in subject.countries],
    }
    return _proxy(f"query:{uuid.uuid4().hex}", _QUERY_SCHEMATA[subject.kind], properties)


def listed_name_proxy(proxy: EntityProxy, name: str) -> EntityProxy:
    """The entry with one of its names alone, to see how well that one matches."""
    properties = {prop: proxy.get(prop, quiet=True) for prop in ("firstName", "lastName")}
    return _proxy(f"one:{uuid.uuid4().hex}", proxy.schema.name, properties | {"name": [name]})


def analysed(proxy: EntityProxy, *, is_query: bool) -> set[Name]:
    """The names as the matcher analyses them, with weak ones, which it compares in their own way."""
    names = entity_names(proxy, infer_initials=is_query, consolidate=False)
    weak = ("weakAlias",)
    return names | entity_names(proxy, weak, consolidate=False) if proxy.get("weakAlias", quiet=True) else names


def load_name_data() -> None:
    """Let the libraries load what they know of names, once a process: seconds of processor, and 500 MB of memory."""
    analysed(query_proxy(Subject(("Any Name",), "person")), is_query=True)


def _proxy(entity_id: str, schema: str, properties: dict[str, list[str]]) -> EntityProxy:
    known = model.get(schema)
    if known is None:
        raise LookupError(f"FollowTheMoney knows no {schema}.")
    given: dict[str, Any] = {key: values for key, values in properties.items() if values and key in known.properties}
    return model.get_proxy({"id": entity_id, "schema": schema, "properties": given}, cleaned=True)

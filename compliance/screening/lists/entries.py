"""An entry of a list as every loader gives it, and its hash, by which a change is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

SANCTION = "sanction"
"""The topic of entries that the law forbids to deal with, as FollowTheMoney names it."""


class EntryKind(StrEnum):
    """What an entry is; `unknown`: the list does not say."""

    PERSON = "person"
    ENTITY = "entity"
    VESSEL = "vessel"
    AIRCRAFT = "aircraft"
    WALLET = "wallet"
    UNKNOWN = "unknown"


class Strength(StrEnum):
    """How much a listed name says, the strongest first; a weak one counts only where it is given exactly."""

    PRIMARY = "primary"
    ALIAS = "alias"
    FORMER = "former"
    WEAK = "weak"


@dataclass(frozen=True, slots=True, order=True)
class ListedName:
    """A name in reading order, given names first."""

    name: str
    strength: Strength


@dataclass(frozen=True, slots=True, order=True)
class ListedWallet:
    """An address in its normal form, with the label of the asset that the list gives it."""

    address: str
    asset_label: str


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One entry. `birth_dates` are dates or their beginnings (`1961`, `1961-05`), countries two capitals.

    `first_name` and `last_name` are set where the list tells them apart in the primary name.
    """

    entry_id: str
    kind: EntryKind
    topics: tuple[str, ...]
    names: tuple[ListedName, ...]
    wallets: tuple[ListedWallet, ...] = ()
    birth_dates: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    gender: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    programs: tuple[str, ...] = ()
    remarks: str = field(default="", repr=False)

    @property
    def details(self) -> dict[str, Any]:
        """Everything beside id, kind, topics, names and wallets, as JSON; what is unknown is left out."""
        given = {
            "birth_dates": list(self.birth_dates),
            "countries": list(self.countries),
            "gender": self.gender,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "programs": list(self.programs),
            "remarks": self.remarks,
        }
        return {key: value for key, value in given.items() if value}

    @property
    def listed_names(self) -> list[dict[str, str]]:
        """The names as JSON."""
        return [{"name": name.name, "strength": name.strength.value} for name in self.names]

    @property
    def entry_hash(self) -> str:
        """SHA-256 over the whole entry; the order in which names, wallets, dates stand does not matter."""
        content = {
            "kind": self.kind.value,
            "topics": sorted(self.topics),
            "names": sorted([name.name, name.strength.value] for name in self.names),
            "wallets": sorted([wallet.address, wallet.asset_label] for wallet in self.wallets),
            "details": {
                key: sorted(value) if isinstance(value, list) else value for key, value in self.details.items()
            },
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ParsedList:
    """What the files of a list hold; `notes` say what was left out or seems wrong, without being a reason to refuse."""

    entries: tuple[ListEntry, ...]
    published_on: date | None = None
    notes: tuple[str, ...] = ()


def entry_from_row(row: Mapping[str, Any]) -> ListEntry:
    """An entry as it stands in `compliance.list_entries`, without its wallets."""
    details: Mapping[str, Any] = row["details"]
    return ListEntry(
        entry_id=row["entry_id"],
        kind=EntryKind(row["kind"]),
        topics=tuple(row["topics"]),
        names=tuple(ListedName(each["name"], Strength(each["strength"])) for each in row["names"]),
        birth_dates=tuple(details.get("birth_dates", ())),
        countries=tuple(details.get("countries", ())),
        gender=details.get("gender"),
        first_name=details.get("first_name"),
        last_name=details.get("last_name"),
        programs=tuple(details.get("programs", ())),
        remarks=details.get("remarks", ""),
    )


def unique_names(names: Sequence[ListedName]) -> tuple[ListedName, ...]:
    """Each name once, with the strongest of its strengths, in the order given."""
    order = list(Strength)
    best: dict[str, ListedName] = {}
    for name in names:
        text = " ".join(name.name.replace("\x00", " ").split())
        if not text:
            continue
        known = best.get(text)
        if known is None or order.index(name.strength) < order.index(known.strength):
            best[text] = ListedName(text, name.strength)
    return tuple(best.values())

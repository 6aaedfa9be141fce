"""Lists as FollowTheMoney entities, one JSON object a line, as OpenSanctions publishes them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compliance.errors import ListRefusedError
from compliance.screening.addresses import normalise_address
from compliance.screening.lists.countries import country_code
from compliance.screening.lists.entries import (
    EntryKind,
    ListedName,
    ListedWallet,
    ListEntry,
    ParsedList,
    Strength,
    unique_names,
)

KINDS: Mapping[str, EntryKind] = {
    "Person": EntryKind.PERSON,
    "Organization": EntryKind.ENTITY,
    "Company": EntryKind.ENTITY,
    "PublicBody": EntryKind.ENTITY,
    "LegalEntity": EntryKind.UNKNOWN,
    "Vessel": EntryKind.VESSEL,
    "Airplane": EntryKind.AIRCRAFT,
    "CryptoWallet": EntryKind.WALLET,
}
_STRENGTHS = {
    "name": Strength.PRIMARY,
    "alias": Strength.ALIAS,
    "previousName": Strength.FORMER,
    "weakAlias": Strength.WEAK,
    "abbreviation": Strength.WEAK,
}
_COUNTRIES = ("country", "nationality", "citizenship", "jurisdiction", "mainCountry")
_GENDERS = {"male", "female"}


class FtmLine(BaseModel):
    """One entity; values of other types than text are kept out of names by leaving them be."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=300)
    schema_name: str = Field(alias="schema", min_length=1)
    properties: dict[str, list[Any]]
    target: bool | None = None

    def values(self, name: str) -> tuple[str, ...]:
        """The texts of a property, without what PostgreSQL cannot hold: NUL and half a pair."""
        texts = (value for value in self.properties.get(name, ()) if isinstance(value, str))
        return tuple(text.replace("\x00", " ").encode("utf-8", "replace").decode() for text in texts)


def parse(content: bytes) -> ParsedList:
    """The entities that are targets: those with a topic, and wallets. Wallets count for their holder where it is here.

    Raises `ListRefusedError` with the line of what cannot be read.
    """
    lines = list(_lines(content))
    topics = {line.id: line.values("topics") for line in lines}
    skipped = Counter(line.schema_name for line in lines if not _is_kept(line))
    kept = [line for line in lines if _is_kept(line)]
    ids = {line.id for line in kept if line.schema_name != "CryptoWallet"}
    of_holder: dict[str, list[ListedWallet]] = defaultdict(list)
    entries: list[ListEntry] = []
    for line in kept:
        if line.schema_name != "CryptoWallet":
            continue
        holders = [holder for holder in line.values("holder") if holder in ids]
        for holder in holders:
            of_holder[holder] += _wallets(line)
        if not holders:
            named = tuple(topic for holder in line.values("holder") for topic in topics.get(holder, ()))
            entries.append(_entry(line, tuple(_wallets(line)), named))
    entries += [_entry(line, tuple(of_holder[line.id]), ()) for line in kept if line.schema_name != "CryptoWallet"]
    seen = Counter(entry.entry_id for entry in entries)
    twice = [entry_id for entry_id, count in seen.items() if count > 1]
    if twice:
        raise ListRefusedError(f"The file names entity {twice[0][:80]!r} more than once.")
    left = ", ".join(f"{count} {name}" for name, count in sorted(skipped.items()))
    return ParsedList(tuple(entries), notes=(f"left out as no targets: {left}",) if left else ())


def _is_kept(line: FtmLine) -> bool:
    if line.schema_name == "CryptoWallet":
        return True
    return line.schema_name in KINDS and (bool(line.values("topics")) or line.target is True)


def _lines(content: bytes) -> Iterator[FtmLine]:
    for number, raw in enumerate(content.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            yield FtmLine.model_validate(json.loads(raw))
        except (ValueError, ValidationError) as error:
            raise ListRefusedError(
                f"Line {number} is no FollowTheMoney entity ({type(error).__name__}): the file is cut or damaged."
            ) from None


def _wallets(line: FtmLine) -> Iterator[ListedWallet]:
    label = next(iter(line.values("currency")), "").upper() or "?"
    for address in line.values("publicKey"):
        normal = normalise_address(address)
        if normal:
            yield ListedWallet(normal, label)


def _entry(line: FtmLine, wallets: tuple[ListedWallet, ...], more_topics: tuple[str, ...]) -> ListEntry:
    kind = KINDS[line.schema_name]
    names = [ListedName(value, strength) for prop, strength in _STRENGTHS.items() for value in line.values(prop)]
    if kind is not EntryKind.WALLET and not unique_names(names):
        raise ListRefusedError(f"Entity {line.id[:80]!r} is a target without a name.")
    first, last = line.values("firstName"), line.values("lastName")
    genders = {value.lower() for value in line.values("gender")} & _GENDERS
    countries = (country_code(value) for prop in _COUNTRIES for value in line.values(prop))
    return ListEntry(
        entry_id=line.id,
        kind=kind,
        topics=tuple(dict.fromkeys((*line.values("topics"), *more_topics))),
        names=unique_names(names) if kind is not EntryKind.WALLET else (),
        wallets=tuple(dict.fromkeys(wallets)),
        birth_dates=tuple(value for value in line.values("birthDate") if value[:4].isdigit()),
        countries=tuple(dict.fromkeys(code for code in countries if code)),
        gender=genders.pop() if len(genders) == 1 else None,
        first_name=first[0] if len(first) == 1 else None,
        last_name=last[0] if len(last) == 1 else None,
        programs=line.values("program"),
        remarks=" ".join(line.values("notes"))[:4000],
    )

"""The consolidated list of the UN Security Council as one XML file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from compliance.errors import ListRefusedError
from compliance.screening.lists.countries import country_code
from compliance.screening.lists.entries import (
    SANCTION,
    EntryKind,
    ListedName,
    ListEntry,
    ParsedList,
    Strength,
    unique_names,
)

MOST_YEARS = 40
_QUALITIES = {"good": Strength.ALIAS, "a.k.a.": Strength.ALIAS, "f.k.a.": Strength.FORMER, "low": Strength.WEAK}
_PARTS = ("FIRST_NAME", "SECOND_NAME", "THIRD_NAME", "FOURTH_NAME")
_GENDERS = {"male": "male", "female": "female"}


def parse(content: bytes) -> ParsedList:
    """The individuals and entities of the file; raises `ListRefusedError` for one that is not whole or declares types.

    An alias without a quality that we know counts as a full alias: it is not the weaker for that.
    """
    _refuse_declarations(content)
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - nothing is declared in it
    except ElementTree.ParseError as error:
        raise ListRefusedError(f"The UN's list is cut or damaged: {error}.") from None
    if root.tag != "CONSOLIDATED_LIST":
        raise ListRefusedError(f"This is no consolidated list of the UN: its root is {root.tag[:60]!r}.")
    entries: dict[str, ListEntry] = {}
    for element in root.iterfind("./INDIVIDUALS/INDIVIDUAL"):
        _add(entries, element, EntryKind.PERSON, "INDIVIDUAL")
    for element in root.iterfind("./ENTITIES/ENTITY"):
        _add(entries, element, EntryKind.ENTITY, "ENTITY")
    generated = root.get("dateGenerated", "")[:10]
    try:
        published_on = date.fromisoformat(generated) if generated else None
    except ValueError:
        published_on = None
    return ParsedList(tuple(entries.values()), published_on)


def _refuse_declarations(content: bytes) -> None:
    def refuse(*_: object) -> NoReturn:
        raise ListRefusedError("The UN's list declares a document type, which it never does: entities could expand.")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ListRefusedError(f"The UN's list is cut or damaged: {error}.") from None


def _text(element: ElementTree.Element, path: str) -> str:
    return " ".join((element.findtext(path) or "").split())


def _add(entries: dict[str, ListEntry], element: ElementTree.Element, kind: EntryKind, prefix: str) -> None:
    entry_id = _text(element, "DATAID")
    if not entry_id or entry_id in entries:
        raise ListRefusedError(f"The UN's list has an entry {'twice: ' + entry_id if entry_id else 'without DATAID'}.")
    main = " ".join(filter(None, (_text(element, part) for part in _PARTS)))
    names = [ListedName(main, Strength.PRIMARY), ListedName(_text(element, "NAME_ORIGINAL_SCRIPT"), Strength.ALIAS)]
    for alias in element.iterfind(f"{prefix}_ALIAS"):
        quality = _QUALITIES.get(_text(alias, "QUALITY").lower(), Strength.ALIAS)
        names.append(ListedName(_text(alias, "ALIAS_NAME"), quality))
    said = [_text(value, ".") for value in element.iterfind("NATIONALITY/VALUE")]
    said += [_text(address, "COUNTRY") for address in element.iterfind(f"{prefix}_ADDRESS")]
    found = unique_names(names)
    if not found:
        raise ListRefusedError(f"Entry {entry_id} of the UN's list has no name.")
    entries[entry_id] = ListEntry(
        entry_id=entry_id,
        kind=kind,
        topics=(SANCTION,),
        names=found,
        birth_dates=tuple(
            dict.fromkeys(date for each in element.iterfind("INDIVIDUAL_DATE_OF_BIRTH") for date in _dates(each))
        ),
        countries=tuple(dict.fromkeys(code for text in said if (code := country_code(text)))),
        gender=_GENDERS.get(_text(element, "GENDER").lower()),
        programs=tuple(filter(None, (_text(element, "UN_LIST_TYPE"), _text(element, "REFERENCE_NUMBER")))),
        remarks=_text(element, "COMMENTS1"),
    )


def _dates(element: ElementTree.Element) -> Iterator[str]:
    """Dates or years; an approximate date is its year, a span each of its years."""
    day, year = _text(element, "DATE")[:10], _text(element, "YEAR")[:4]
    begin, end = _text(element, "FROM_YEAR")[:4], _text(element, "TO_YEAR")[:4]
    if day:
        yield day[:4] if _text(element, "TYPE_OF_DATE").upper() == "APPROXIMATELY" else day
    elif year.isdigit():
        yield year
    elif begin.isdigit() and end.isdigit():
        yield from (str(each) for each in range(int(begin), int(end) + 1)[:MOST_YEARS])

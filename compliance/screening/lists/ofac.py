"""OFAC's list of Specially Designated Nationals as its four CSV files: sdn, alt, add, sdn_comments.

No header, Latin-1 or UTF-8, `-0-` where a field is empty, and a remark too long for sdn.csv goes on in sdn_comments.csv
without a space. A row that belongs to no entry of sdn.csv still names somebody who is listed: it becomes an entry of
unknown kind, so that neither name nor wallet is lost.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping

from compliance.errors import ListRefusedError
from compliance.screening.lists import ofac_remarks
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

COLUMNS = {"sdn.csv": 12, "alt.csv": 5, "add.csv": 6, "sdn_comments.csv": 2}
MOST_ORPHANS = 0.05
_EMPTY = "-0-"
_END_OF_FILE = "\x1a"
_KINDS = {
    "individual": EntryKind.PERSON,
    "vessel": EntryKind.VESSEL,
    "aircraft": EntryKind.AIRCRAFT,
    "": EntryKind.ENTITY,
}
_STRENGTHS = {"aka": Strength.ALIAS, "fka": Strength.FORMER, "nka": Strength.ALIAS}
Rows = list[list[str]]


def parse(files: Mapping[str, bytes]) -> ParsedList:
    """The entries of the four files, by name in lower case; raises `ListRefusedError` for files that are not whole."""
    missing = sorted(set(COLUMNS) - set(files))
    if missing:
        raise ListRefusedError(f"OFAC's list comes in four files; {', '.join(missing)} is missing.")
    rows = {name: _rows(name, files[name]) for name in COLUMNS}
    remarks: dict[str, str] = defaultdict(str)
    for row in rows["sdn.csv"]:
        remarks[row[0]] = row[11]
    for entry_id, text in rows["sdn_comments.csv"]:
        remarks[entry_id] += text
    aliases: dict[str, list[list[str]]] = defaultdict(list)
    for row in rows["alt.csv"]:
        aliases[row[0]].append(row)
    countries: dict[str, list[str]] = defaultdict(list)
    for row in rows["add.csv"]:
        countries[row[0]].append(row[4])
    entries: dict[str, ListEntry] = {}
    for row in rows["sdn.csv"]:
        if row[0] in entries:
            raise ListRefusedError(f"sdn.csv names entry {row[0]} twice.")
        entries[row[0]] = _entry(row, aliases[row[0]], countries[row[0]], remarks[row[0]])
    known = set(entries)
    for name in ("alt.csv", "add.csv"):
        orphans = sum(row[0] not in known for row in rows[name])
        if orphans > MOST_ORPHANS * len(rows[name]):
            raise ListRefusedError(
                f"{orphans} of {len(rows[name])} rows of {name} belong to no entry of sdn.csv: the files are not of "
                "one day, or sdn.csv is cut."
            )
    strays = sorted((set(aliases) | set(remarks)) - known)
    for entry_id in strays:
        stray = _entry(_nobody(entry_id), aliases[entry_id], countries[entry_id], remarks[entry_id])
        if stray.names or stray.wallets:
            entries[entry_id] = stray
    notes = (f"entries that sdn.csv lacks, known from the other files: {', '.join(strays)}",) if strays else ()
    return ParsedList(tuple(entries.values()), notes=notes)


def _rows(name: str, content: bytes) -> Rows:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    found: Rows = []
    reader = csv.reader(io.StringIO(text.rstrip(_END_OF_FILE + "\r\n"), newline=""), strict=True)
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip(_END_OF_FILE + " ")):
                continue
            if len(row) != COLUMNS[name]:
                raise ListRefusedError(
                    f"{name}, line {reader.line_num}: {len(row)} columns instead of {COLUMNS[name]}; it is cut or of "
                    "another form."
                )
            found.append(["" if field.strip() == _EMPTY else field.strip() for field in row])
    except csv.Error as error:
        raise ListRefusedError(f"{name}, line {reader.line_num}: {error}; it is cut or damaged.") from None
    for number, row in enumerate(found, 1):
        if not row[0].isdigit():
            raise ListRefusedError(f"{name}, row {number}: the first column is no number of an entry.")
    return found


def _nobody(entry_id: str) -> list[str]:
    return [entry_id, "", "unknown", *[""] * (COLUMNS["sdn.csv"] - 3)]


def _entry(row: list[str], aliases: Rows, addresses: list[str], remarks: str) -> ListEntry:
    kind = _KINDS.get(row[2].lower(), EntryKind.UNKNOWN)
    is_person = kind is EntryKind.PERSON
    last, _, first = row[1].partition(", ") if is_person else ("", "", "")
    names = [ListedName(_in_reading_order(row[1], is_person), Strength.PRIMARY)]
    names += [
        ListedName(_in_reading_order(alias[3], is_person), _STRENGTHS.get(alias[2].lower(), Strength.ALIAS))
        for alias in aliases
    ]
    names += ofac_remarks.quoted_names(remarks)
    said = [*ofac_remarks.countries(remarks), *(code for each in addresses if (code := country_code(each)))]
    return ListEntry(
        entry_id=row[0],
        kind=kind,
        topics=(SANCTION,),
        names=unique_names(names),
        wallets=ofac_remarks.wallets(remarks),
        birth_dates=ofac_remarks.birth_dates(remarks) if is_person else (),
        countries=tuple(dict.fromkeys(said)),
        gender=ofac_remarks.gender(remarks),
        first_name=first or None,
        last_name=last if first else None,
        programs=tuple(part.strip(" []") for part in row[3].split("] [") if part.strip(" []")),
        remarks=remarks,
    )


def _in_reading_order(name: str, is_person: bool) -> str:
    """`PAK, Kwang Ho` of a person is Kwang Ho PAK."""
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if is_person and comma else name

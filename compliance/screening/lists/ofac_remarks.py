"""What OFAC writes into the free text of an entry: dates of birth, nationalities, weak names, wallets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compliance.screening.addresses import normalise_address
from compliance.screening.lists.countries import country_code
from compliance.screening.lists.entries import ListedName, ListedWallet, Strength

MOST_YEARS = 40
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# A remark that was cut in the middle of the label still shows its end.
_WALLET = re.compile(r"ddress - ([A-Za-z0-9]{2,12}) ([A-Za-z0-9][A-Za-z0-9:_]{19,})")
_BIRTH = re.compile(r"\bDOB ([^;]+)")
_ONE_DATE = re.compile(r"(?:(?:(\d{1,2}) )?([A-Za-z]{3}) )?(\d{4})")
_COUNTRY = re.compile(r"\b(?:nationality|citizen) ([^;]+)")
_GENDER = re.compile(r"\bGender (Male|Female)\b")
_QUOTED = re.compile(r"\b([afn])\.k\.a\. '([^']+)'")


def wallets(remarks: str) -> tuple[ListedWallet, ...]:
    """Every digital currency address, whatever its label."""
    found = {
        (normalise_address(address.rstrip(":_")), label.upper()): None for label, address in _WALLET.findall(remarks)
    }
    return tuple(ListedWallet(address, label) for address, label in found if address)


def birth_dates(remarks: str) -> tuple[str, ...]:
    """Dates or their beginnings; a span of years becomes each of its years."""
    return tuple(dict.fromkeys(date for text in _BIRTH.findall(remarks) for date in _dates(text.strip(" ."))))


def _dates(text: str) -> Iterator[str]:
    begin, _, end = text.partition(" to ")
    first = _ONE_DATE.search(begin)
    last = _ONE_DATE.search(end)
    if first is None:
        return
    if last is not None:
        years = range(int(first[3]), int(last[3]) + 1)
        yield from (str(year) for year in years[:MOST_YEARS])
        return
    day, month, year = first[1], first[2], first[3]
    # An approximate date is a year.
    if month is None or month.lower() not in _MONTHS or begin.lower().startswith("circa"):
        yield year
    else:
        prefix = f"{year}-{_MONTHS.index(month.lower()) + 1:02d}"
        yield f"{prefix}-{int(day):02d}" if day is not None else prefix


def countries(remarks: str) -> tuple[str, ...]:
    """Nationalities and citizenships as two capitals."""
    found = (country_code(text.strip(" .")) for text in _COUNTRY.findall(remarks))
    return tuple(dict.fromkeys(code for code in found if code))


def gender(remarks: str) -> str | None:
    """`male` or `female`; None where it is not said."""
    found = _GENDER.search(remarks)
    return found[1].lower() if found else None


def quoted_names(remarks: str) -> tuple[ListedName, ...]:
    """Names in quotes are weak: OFAC has them in remarks because they give many false hits (FAQ 123)."""
    return tuple(ListedName(name, Strength.WEAK) for _, name in _QUOTED.findall(remarks))

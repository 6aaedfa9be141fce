"""Why an entry is a hit, in plain sentences for officers, and the grades by which equal scores are ordered.

Scores of exact namesakes are all 1.0, so hits are ordered by a second rank: how exactly the name is the listed one, how
strong that listed name is, whether the date of birth and the countries agree. The sentences quote what the list says
and never what the customer said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

from rigour.names import normalize_name, tokenize_name
from rigour.text.scripts import common_scripts
from rigour.text.translit import maybe_ascii

from compliance.screening.lists.entries import EntryKind, ListedName, ListEntry, Strength


class Exactness(IntEnum):
    """How the name given and the listed one agree, the best last."""

    SIMILAR = 0
    EQUIVALENT = 1
    REORDERED = 2
    SAME_WORDS = 3
    IDENTICAL = 4


class Agreement(IntEnum):
    """What a date of birth or a country says, the best last; `unknown` stands between for and against."""

    DIFFERS = 0
    FLIPPED = 1
    UNKNOWN = 2
    COMPATIBLE = 3
    AGREES = 4


_STRENGTHS = {Strength.WEAK: 0, Strength.FORMER: 1, Strength.ALIAS: 2, Strength.PRIMARY: 3}
_STRENGTH_WORDS = {
    Strength.PRIMARY: "primary name",
    Strength.ALIAS: "alias",
    Strength.FORMER: "former name",
    Strength.WEAK: "weak alias",
}
_EXACTNESS_WORDS = {
    Exactness.IDENTICAL: "is letter for letter",
    Exactness.SAME_WORDS: "has the same words, but for case, accents or punctuation, as",
    Exactness.REORDERED: "has the same words in another order as",
    Exactness.EQUIVALENT: "is, by known spellings of its words in other languages or scripts,",
    Exactness.SIMILAR: "is similar to",
}
_CRITERIA = (
    "the exactness of the name",
    "the strength of the listed name",
    "the date of birth",
    "the country",
)
_LABEL = re.compile(r"\b(literalMatch|symbolMatch|fuzzyMatch|extraQueryPart|extraResultPart)\b")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How many pieces of the matcher's alignment are of which sort."""

    literal: int
    symbol: int
    fuzzy: int
    extra_given: int
    extra_listed: int


def read_alignment(detail: str | None) -> Alignment:
    """The counts in the matcher's own explanation, whose words may be personal data and go no further."""
    labels = _LABEL.findall(detail or "")
    return Alignment(
        *(
            labels.count(label)
            for label in ("literalMatch", "symbolMatch", "fuzzyMatch", "extraQueryPart", "extraResultPart")
        )
    )


def exactness(given: str, listed: str, alignment: Alignment) -> Exactness:
    """How exactly the name given is the listed one."""
    if " ".join(given.casefold().split()) == " ".join(listed.casefold().split()):
        return Exactness.IDENTICAL
    given_words, listed_words = _words(given), _words(listed)
    if given_words == listed_words:
        return Exactness.SAME_WORDS
    if sorted(given_words) == sorted(listed_words):
        return Exactness.REORDERED
    if alignment.fuzzy or alignment.extra_given or alignment.extra_listed:
        return Exactness.SIMILAR
    return Exactness.EQUIVALENT


def _words(name: str) -> list[str]:
    normal = normalize_name(name) or ""
    return [maybe_ascii(word) for word in tokenize_name(normal)]


def birth_agreement(given: date | None, listed: Iterable[str]) -> Agreement:
    """The date of birth against the listed ones, which may be beginnings of dates; the best of several counts."""
    found = [_one_birth(given, each) for each in listed] if given is not None else []
    return max(found, default=Agreement.UNKNOWN)


def _one_birth(given: date, listed: str) -> Agreement:
    day = given.isoformat()
    if listed == day:
        return Agreement.AGREES
    if len(listed) < len(day):
        return Agreement.COMPATIBLE if day.startswith(listed) else Agreement.DIFFERS
    return Agreement.FLIPPED if listed == f"{day[:4]}-{day[8:]}-{day[5:7]}" else Agreement.DIFFERS


def country_agreement(given: Iterable[str], listed: Iterable[str]) -> Agreement:
    """Whether any country is the same."""
    ours, theirs = set(given), set(listed)
    if not ours or not theirs:
        return Agreement.UNKNOWN
    return Agreement.AGREES if ours & theirs else Agreement.DIFFERS


@dataclass(frozen=True, slots=True)
class Finding:
    """Everything that was seen of one entry; `qualified_score` is the score with what speaks against it."""

    entry: ListEntry
    listed: ListedName
    score: float
    qualified_score: float
    alignment: Alignment
    exactness: Exactness
    birth: Agreement
    country: Agreement
    has_shared_script: bool

    @property
    def grade(self) -> tuple[float, int, int, int, int]:
        """What hits are ordered by, the greatest first; equal grades share a rank."""
        return (
            round(self.score, 5),
            int(self.exactness),
            _STRENGTHS[self.listed.strength],
            int(self.birth),
            int(self.country),
        )


def shares_script(given: str, listed: str) -> bool:
    """Whether the two names are written in one script."""
    return bool(common_scripts(given, listed))


def sentences(finding: Finding, ties: int, first: Finding) -> tuple[str, ...]:
    """The reasons, the heaviest first; `ties` is how many other hits share the rank, `first` the likeliest hit."""
    return tuple(_sentences(finding, ties, first))


def _sentences(finding: Finding, ties: int, first: Finding) -> Iterable[str]:
    what = _STRENGTH_WORDS[finding.listed.strength]
    yield (
        f'Name: the name given {_EXACTNESS_WORDS[finding.exactness]} the listed {what} "{finding.listed.name}" '
        f"(score {finding.score:.2f} of 1)."
    )
    if finding.exactness in (Exactness.SIMILAR, Exactness.EQUIVALENT):
        yield f"How: {_how(finding.alignment)}."
    if not finding.has_shared_script:
        yield "Script: the two names are written in different scripts and were compared by sound and known spellings."
    if finding.listed.strength is Strength.WEAK:
        yield "For caution: the list calls this name weak, because many others bear it; it counts only as it stands."
    yield from _birth(finding)
    if finding.country is Agreement.AGREES:
        yield f"For it: a country agrees with the list ({', '.join(finding.entry.countries)})."
    elif finding.country is Agreement.DIFFERS:
        yield f"Against it: the list names other countries ({', '.join(finding.entry.countries)})."
    if finding.qualified_score < finding.score:
        yield (
            "Verdict: by the names alone; with what speaks against it the score would be "
            f"{finding.qualified_score:.2f}. A wrong date or country must not hide a listed person."
        )
    if finding.grade != first.grade and finding.grade[0] == first.grade[0]:
        pairs = zip(_CRITERIA, finding.grade[1:], first.grade[1:], strict=True)
        better = next(criterion for criterion, own, other in pairs if own != other)
        yield f"Rank: below a hit of the same score, for which {better} speaks more."
    if ties:
        others = "another hit" if ties == 1 else f"{ties} other hits"
        yield (
            f"Rank: shared with {others}; score, exactness of the name, strength of the listed name, date of birth and "
            "country are the same."
        )


def _how(alignment: Alignment) -> str:
    counted = (
        (alignment.literal, "the same"),
        (alignment.symbol, "a known other spelling or form"),
        (alignment.fuzzy, "similar in spelling"),
        (alignment.extra_given, "in the name given only"),
        (alignment.extra_listed, "in the listed name only"),
    )
    said = [f"{count} {'part' if count == 1 else 'parts'} {words}" for count, words in counted if count]
    return ", ".join(said) if said else "the spelling as a whole"


def _birth(finding: Finding) -> Iterable[str]:
    listed = ", ".join(finding.entry.birth_dates[:6])
    match finding.birth:
        case Agreement.AGREES:
            yield f"For it: the date of birth is a listed one ({listed})."
        case Agreement.COMPATIBLE:
            yield f"For it: the date of birth fits what the list knows ({listed})."
        case Agreement.FLIPPED:
            yield f"Unclear: the date of birth is a listed one with day and month exchanged ({listed})."
        case Agreement.DIFFERS:
            yield f"Against it: the list has another date of birth ({listed})."
        case Agreement.UNKNOWN if finding.entry.birth_dates:
            yield f"Unknown: no date of birth was given to compare with the listed one ({listed})."
        case _ if finding.entry.kind is EntryKind.PERSON:
            yield "Unknown: the list has no date of birth."
        case _:
            pass

"""The names of the active lists in memory, and what they say of a subject: candidates, the matcher's verdict, ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from followthemoney import EntityProxy
from nomenklatura.matching import LogicV2
from nomenklatura.matching.types import MatchingResult, ScoringConfig

from compliance.screening.blocking import NameIndex, Words, words_of
from compliance.screening.lists.entries import ListedName, ListEntry, Strength
from compliance.screening.model import Hit
from compliance.screening.proxies import Subject, analysed, entry_proxy, listed_name_proxy, query_proxy
from compliance.screening.reasons import (
    Finding,
    birth_agreement,
    country_agreement,
    exactness,
    read_alignment,
    sentences,
    shares_script,
)

_NAME_FEATURES = frozenset({"name_match", "weak_alias_match"})


class UnsearchableNameError(ValueError):
    """No name of the subject has a word that could be compared; the message does not repeat it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry with where it stands and the entity that is compared."""

    list_name: str
    list_version_id: str
    entry: ListEntry
    entry_hash: str
    proxy: EntityProxy


@dataclass(frozen=True, slots=True)
class Matches:
    """The hits, at most as many as were asked for, and how many there were."""

    hits: tuple[Hit, ...]
    found: int
    candidates: int


def names_alone() -> ScoringConfig:
    """The matcher's settings by which only names count."""
    config = LogicV2.default_config()
    config.weights = {feature.name: 0.0 for feature in LogicV2.features if feature.name not in _NAME_FEATURES}
    return config


class Matcher:
    """Built once for a set of list versions; safe to use from several threads."""

    def __init__(self, entries: Iterable[tuple[str, str, ListEntry, str]]) -> None:
        """`entries` are list name, list version, entry, its hash."""
        self._listed: list[Listed] = []
        names: list[tuple[int, Words]] = []
        for list_name, version_id, entry, entry_hash in entries:
            proxy = entry_proxy(list_name, entry, entry_hash)
            if proxy is None:
                continue
            names += ((len(self._listed), words_of(name)) for name in analysed(proxy, is_query=False))
            self._listed.append(Listed(list_name, version_id, entry, entry_hash, proxy))
        self._index = NameIndex(names)

    def __len__(self) -> int:
        return len(self._listed)

    def entries(self) -> Sequence[Listed]:
        """Every entry that a name can find."""
        return self._listed

    def candidates(self, query: EntityProxy, threshold: float) -> list[Listed]:
        """Entries that could score `threshold` or more; raises `UnsearchableNameError` for names without words."""
        names = [words for name in analysed(query, is_query=True) if (words := words_of(name)).words]
        if not names:
            raise UnsearchableNameError("No name has a letter or digit that could be compared.")
        places = sorted({place for words in names for place in self._index.could_match(words, threshold)})
        return [listed for place in places if _is_comparable(query, listed := self._listed[place])]

    def match(self, subject: Subject, threshold: float, limit: int) -> Matches:
        """The hits from `threshold` on, ranked."""
        query = query_proxy(subject)
        return self.judge(subject, query, self.candidates(query, threshold), threshold, limit)

    def match_all(self, subject: Subject, threshold: float, limit: int) -> Matches:
        """As `match`, scoring every entry: the reference for measuring what blocking loses."""
        query = query_proxy(subject)
        every = [listed for listed in self._listed if _is_comparable(query, listed)]
        return self.judge(subject, query, every, threshold, limit)

    def judge(
        self, subject: Subject, query: EntityProxy, candidates: Sequence[Listed], threshold: float, limit: int
    ) -> Matches:
        """The matcher's verdict on each candidate."""
        config = names_alone()
        found: list[tuple[Listed, Finding]] = []
        for listed in candidates:
            result = LogicV2.compare(query, listed.proxy, config)
            if result.score >= threshold:
                found.append((listed, _finding(subject, query, listed, result, config)))
        # The list's name and the entry's id only make the order of equals the same every time.
        found.sort(key=lambda pair: (*(-part for part in pair[1].grade), pair[0].list_name, pair[0].entry.entry_id))
        sharing = Counter(finding.grade for _, finding in found)
        hits: list[Hit] = []
        for number, (listed, finding) in enumerate(found[:limit], 1):
            is_tied = bool(hits) and finding.grade == found[number - 2][1].grade
            hits.append(
                Hit(
                    list_name=listed.list_name,
                    list_version_id=listed.list_version_id,
                    entry_id=listed.entry.entry_id,
                    entry_hash=listed.entry_hash,
                    kind=listed.entry.kind,
                    topics=listed.entry.topics,
                    score=round(finding.score, 5),
                    rank=hits[-1].rank if is_tied else number,
                    listed_name=finding.listed.name,
                    reasons=sentences(finding, sharing[finding.grade] - 1, found[0][1]),
                )
            )
        return Matches(tuple(hits), len(found), len(candidates))


def reaches(query: EntityProxy, listed: Listed, threshold: float) -> bool:
    """Whether the matcher's verdict on a query and an entry is a hit."""
    return _is_comparable(query, listed) and LogicV2.compare(query, listed.proxy, names_alone()).score >= threshold


def _is_comparable(query: EntityProxy, listed: Listed) -> bool:
    return query.schema.name == listed.proxy.schema.name or query.schema.can_match(listed.proxy.schema)


def _finding(
    subject: Subject, query: EntityProxy, listed: Listed, alone: MatchingResult, config: ScoringConfig
) -> Finding:
    # The names alone decide; what else is known can only speak against, and is said.
    qualified = min(alone.score, LogicV2.compare(query, listed.proxy, LogicV2.default_config()).score)
    entry = listed.entry
    given, name, detail = _best_pair(subject, listed, alone, config)
    alignment = read_alignment(detail)
    return Finding(
        entry=entry,
        listed=name,
        score=alone.score,
        qualified_score=qualified,
        alignment=alignment,
        exactness=exactness(given, name.name, alignment),
        birth=birth_agreement(subject.birth_date, entry.birth_dates),
        country=country_agreement(subject.countries, entry.countries),
        has_shared_script=shares_script(given, name.name),
    )


def _best_pair(
    subject: Subject, listed: Listed, alone: MatchingResult, config: ScoringConfig
) -> tuple[str, ListedName, str | None]:
    """The pair of a given and a listed name that explains the score best, the same one every time.

    The matcher names any of the pairs that reach its score, whichever its sets happen to yield first.
    """
    queries = {name: query_proxy(subject, [name]) for name in subject.names}
    order = list(Strength)
    best: tuple[tuple[float, int, int, str, str], str, ListedName, str | None] | None = None
    for listed_name in listed.entry.names:
        proxy = listed.proxy if len(listed.entry.names) == 1 else listed_name_proxy(listed.proxy, listed_name.name)
        for given, query in queries.items():
            result = LogicV2.compare(query, proxy, config)
            explained = result.explanations.get("name_match")
            detail = explained.detail if explained is not None else None
            exact = exactness(given, listed_name.name, read_alignment(detail))
            score = 0.0 if listed_name.strength is Strength.WEAK and exact < 2 else result.score
            # A pair may score above the entry, whose short names the matcher drops where a longer one contains them.
            key = (-min(score, alone.score), -exact, order.index(listed_name.strength), listed_name.name, given)
            if best is None or key < best[0]:
                best = (key, given, listed_name, detail)
    if best is None:
        raise LookupError(f"Entry {listed.entry.entry_id} of {listed.list_name} has no name to explain its score by.")
    return best[1], best[2], best[3]

"""Which names could match at all: an upper bound of the matcher's score, found without scoring every pair.

The score is a weighted mean over the words of the queried name. With threshold t it is reached only if the sum over
the words of `weight * (likeness - t)` is not negative, so each word adds at most:

- with a counterpart of likeness q: `HEAVIEST * (q - t)` where q is at least t, else its least weight times `(q - t)`;
- without one: `-t` times the least that such a word can weigh.

Names for which even this sum is negative cannot be hits; leaving them out loses nothing. A counterpart is a word near
enough in spelling, the same two words written as one, or one with the same symbol (a known spelling of the name in
another language or script, a legal form, a number). Recall against scoring everything is measured in
`tests/perf/bench_screening.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from rigour.names import Name, NamePartTag, Symbol

from compliance.screening.near_words import Floats, Near, WordPool

HEAVIEST = 1.3
"""Most that a matched word weighs: a family name, or a number."""
LIGHTEST = 0.5
"""Least that a word weighs which found a poor counterpart: one of two that match as one; less for stop words."""
UNMATCHED = 0.8
"""Weight of a word of the query that found nothing, before what makes it lighter."""
MOST_JOINED = 4
"""Words that may be written as one."""
SHORTEST_SPLIT = 4
"""Letters of a word that may begin or end a longer one of the query which lost its space."""
SPLIT_LIKENESS = 0.9
SYMBOL_LIKENESS = 0.9
_LIGHTER = {Symbol.Category.ORG_CLASS: 0.7, Symbol.Category.SYMBOL: 0.7, Symbol.Category.LOCATION: 0.8}
_STOP_FACTOR = 0.7
_STOP = 0.5 * _STOP_FACTOR


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a name, its symbols, and how little it can weigh where it finds no counterpart."""

    text: str
    symbols: frozenset[str]
    unmatched_weight: float
    lightest: float


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one name, and the joins of neighbours, each with its first place and the one after its last."""

    words: tuple[Word, ...]
    joins: tuple[tuple[str, int, int], ...]


def words_of(name: Name) -> Words:
    """What can be looked up of a name that was analysed as the matcher does it."""
    symbols: dict[int, set[str]] = defaultdict(set)
    lighter: dict[int, float] = defaultdict(lambda: 1.0)
    for span in name.spans:
        category = span.symbol.category
        for part in span.parts:
            symbols[part.index].add(f"{category.value}:{span.symbol.id}")
            lighter[part.index] *= _LIGHTER.get(category, 1.0)
    words = tuple(
        Word(
            part.comparable,
            frozenset(symbols[part.index]),
            UNMATCHED * (_STOP if part.tag == NamePartTag.STOP else lighter[part.index]),
            LIGHTEST * (_STOP_FACTOR if part.tag == NamePartTag.STOP else 1.0),
        )
        for part in name.parts
    )
    joins = tuple(
        ("".join(word.text for word in words[at : at + size]), at, at + size)
        for size in range(2, MOST_JOINED + 1)
        for at in range(len(words) - size + 1)
    )
    return Words(words, joins)


class NameIndex:
    """Names by their words, each with whatever it belongs to. Not for changing once built; safe for threads."""

    def __init__(self, names: Iterable[tuple[int, Words]]) -> None:
        owners: list[int] = []
        weights: list[float] = []
        lightest: list[float] = []
        name_of_slot: list[int] = []
        by_word: dict[str, list[int]] = defaultdict(list)
        by_join: dict[str, list[int]] = defaultdict(list)
        by_symbol: dict[str, list[int]] = defaultdict(list)
        for number, (owner, found) in enumerate(names):
            owners.append(owner)
            first = len(name_of_slot)
            for place, word in enumerate(found.words):
                name_of_slot.append(number)
                weights.append(word.unmatched_weight)
                lightest.append(word.lightest)
                by_word[word.text].append(first + place)
                for symbol in word.symbols:
                    by_symbol[symbol].append(first + place)
            for text, begin, end in found.joins:
                by_join[text].extend(range(first + begin, first + end))
        self._owners = np.asarray(owners, dtype=np.int64)
        self._name_of_slot = np.asarray(name_of_slot, dtype=np.int32)
        self._weight_of_slot = np.asarray(weights, dtype=np.float32)
        self._lightest_of_slot = np.asarray(lightest, dtype=np.float32)
        self._slots_of_symbol = {key: np.asarray(slots, dtype=np.int32) for key, slots in by_symbol.items()}
        self._words = WordPool(by_word)
        self._joins = WordPool(by_join)

    def __len__(self) -> int:
        return len(self._owners)

    def could_match(self, query: Words, threshold: float) -> list[int]:
        """Owners of names that could score `threshold` or more when `query` is the queried one, in order."""
        if not len(self):
            return []
        total = np.zeros(len(self), dtype=np.float32)
        for word, (slots, likeness) in zip(query.words, self._counterparts(query), strict=True):
            alone = -threshold * word.unmatched_weight
            gain = np.zeros(len(self), dtype=np.float32)
            np.maximum.at(
                gain, self._name_of_slot[slots], np.maximum(_worth(likeness, threshold, word.lightest) - alone, 0)
            )
            total += gain
            total += alone
        return self._owners_of(total)

    def could_be_matched_by(self, listed: Words, threshold: float) -> list[int]:
        """Owners of names that could score `threshold` or more as queries against `listed`, in order."""
        if not len(self):
            return []
        alone = -threshold * self._weight_of_slot
        best = alone.copy()
        for slots, likeness in self._counterparts(listed):
            np.maximum.at(best, slots, _worth(likeness, threshold, self._lightest_of_slot[slots]))
        total = np.bincount(self._name_of_slot, weights=best, minlength=len(self))
        return self._owners_of(total.astype(np.float32))

    def _owners_of(self, total: Floats) -> list[int]:
        # A little below zero, because sums of floats are not exact.
        return [int(owner) for owner in np.unique(self._owners[total >= -1e-4])]

    def _counterparts(self, query: Words) -> list[Near]:
        """For each word of `query`: the places where a counterpart stands, and how like it can be."""
        alone = {word.text for word in query.words}
        near_words = self._words.near(alone | {text for text, _, _ in query.joins})
        near_joins = self._joins.near(alone)
        found: list[list[Near]] = []
        for word in query.words:
            near = [near_words[word.text], near_joins[word.text], *self._split(word.text)]
            near += (
                (slots, np.full(len(slots), SYMBOL_LIKENESS, dtype=np.float32))
                for slots in (self._slots_of_symbol[key] for key in word.symbols if key in self._slots_of_symbol)
            )
            found.append(near)
        for text, begin, end in query.joins:
            # Words that are joined in both names differently are compared one by one already, so equal joins do.
            equal = self._joins.exactly(text)
            for place in range(begin, end):
                found[place] += [near_words[text], (equal, np.ones(len(equal), dtype=np.float32))]
        return [
            (np.concatenate([near[0] for near in parts]), np.concatenate([near[1] for near in parts]))
            for parts in found
        ]

    def _split(self, text: str) -> list[Near]:
        """Places of words that `text` begins or ends with."""
        cuts = range(SHORTEST_SPLIT, len(text) - 1)
        pieces = {text[:at] for at in cuts} | {text[-at:] for at in cuts}
        return [
            (slots, np.full(len(slots), SPLIT_LIKENESS, dtype=np.float32))
            for slots in (self._words.exactly(piece) for piece in sorted(pieces))
            if len(slots)
        ]


def _worth(likeness: Floats, threshold: float, lightest: Floats | float) -> Floats:
    """The most that a word with such a counterpart adds to the sum."""
    over = likeness - np.float32(threshold)
    return np.where(over >= 0, over * np.float32(HEAVIEST), over * lightest).astype(np.float32)

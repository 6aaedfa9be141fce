"""Words that are near enough in spelling, found for several words at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

MOST_EDITS = 5
CHEAPEST_EDIT = 0.5
"""Least cost of an edit to each of two words: a letter too many costs 1 to the word that has it, the other nothing."""
_CACHED = 20_000

Floats = NDArray[np.float32]
Slots = NDArray[np.int32]
Near = tuple[Slots, Floats]
NOTHING: Near = (np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


def allowed_edits(length: int) -> int:
    """How many letters two words may differ by, the longer having `length`; wider than the matcher's own budget."""
    return min(MOST_EDITS, length // 2)


class WordPool:
    """Words, each with the slots where it stands. Not for changing once built; safe for threads."""

    def __init__(self, slots_of: Mapping[str, Sequence[int]]) -> None:
        # By length, so that words are compared only with those that are near enough in length.
        self._texts = sorted(slots_of, key=len)
        self._place_of = {text: place for place, text in enumerate(self._texts)}
        self._slots = [np.asarray(slots_of[text], dtype=np.int32) for text in self._texts]
        self._lengths = np.asarray([len(text) for text in self._texts], dtype=np.int32)
        self._longest = int(self._lengths[-1]) if self._texts else 0
        self._starts = np.searchsorted(self._lengths, np.arange(self._longest + 2))
        self._cache: dict[str, Near] = {}

    def exactly(self, text: str) -> Slots:
        """The slots of the word itself."""
        place = self._place_of.get(text)
        return self._slots[place] if place is not None else NOTHING[0]

    def near(self, texts: Collection[str]) -> dict[str, Near]:
        """For each of the words: the slots of words near it, and how like each can be to the matcher at most.

        One comparison for all: what is compared with is prepared once, which costs more than comparing.
        """
        found = {text: cached for text in texts if (cached := self._cache.get(text)) is not None}
        missing = sorted({text for text in texts if text not in found}, key=len)
        if missing:
            if len(self._cache) > _CACHED:
                self._cache.clear()
            new = self._compare(missing)
            self._cache.update(new)
            found |= new
        return found

    def _compare(self, texts: Sequence[str]) -> dict[str, Near]:
        shortest, longest = len(texts[0]), len(texts[-1])
        low = max(shortest - allowed_edits(shortest), 0)
        high = min(_widest(longest), self._longest)
        begin, end = (int(self._starts[low]), int(self._starts[high + 1])) if low <= high else (0, 0)
        if begin == end:
            return dict.fromkeys(texts, NOTHING)
        choices, lengths = self._texts[begin:end], self._lengths[begin:end]
        distances = cdist(texts, choices, scorer=Levenshtein.distance, score_cutoff=MOST_EDITS, dtype=np.uint8)
        return {text: self._near(begin, len(text), lengths, distances[row]) for row, text in enumerate(texts)}

    def _near(self, begin: int, length: int, lengths: Slots, distances: NDArray[np.uint8]) -> Near:
        few = np.nonzero(distances <= MOST_EDITS)[0]
        longer = np.maximum(lengths[few], length)
        is_near = distances[few] <= longer // 2
        places, longer = few[is_near], longer[is_near]
        if not len(places):
            return NOTHING
        likeness = (1 - CHEAPEST_EDIT * distances[places] / np.maximum(longer, 1)) ** 2
        slots = [self._slots[begin + int(at)] for at in places]
        sizes = [len(some) for some in slots]
        return np.concatenate(slots), np.repeat(likeness.astype(np.float32), sizes)


def _widest(length: int) -> int:
    """The longest that a word may be to be near one of `length`."""
    return max(size for size in range(length, length + MOST_EDITS + 1) if size - length <= allowed_edits(size))

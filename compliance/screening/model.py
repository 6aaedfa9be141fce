"""What screening says: hits with their reasons, and the outcome, of which only `clear` is clean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from compliance.screening.lists.entries import EntryKind


class ScreeningOutcome(StrEnum):
    """`error`: it could not be screened, which is not clear."""

    CLEAR = "clear"
    HIT = "hit"
    ERROR = "error"


class HitState(StrEnum):
    """`remembered`: an officer cleared the same hit earlier, and that still holds."""

    OPEN = "open"
    CLEARED = "cleared"
    CONFIRMED = "confirmed"
    REMEMBERED = "remembered"


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that the name may be. `score` (0 to 1) is the matcher's, `rank` 1 the likeliest; equals share a rank.

    `reasons` are plain sentences: which listed name matched, how, and what speaks against it. They hold what the list
    says, never what the customer said.
    """

    list_name: str
    list_version_id: str
    entry_id: str
    entry_hash: str
    kind: EntryKind
    topics: tuple[str, ...]
    score: float
    rank: int
    listed_name: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameScreening:
    """What the active lists say of a name. `reason` says why it is an error, or that more hits exist than are shown."""

    outcome: ScreeningOutcome
    hits: tuple[Hit, ...]
    list_versions: Mapping[str, str]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedHit:
    """A hit as it was stored with a customer's screening."""

    hit_id: str
    hit: Hit
    state: HitState
    case_id: str | None


@dataclass(frozen=True, slots=True)
class ScreeningRecord:
    """A customer's screening as it was stored; `hit`: at least one hit is open or confirmed.

    `is_exposed`: what is confirmed is that the customer is a politically exposed person, and nothing else holds them.
    """

    screening_id: str
    outcome: ScreeningOutcome
    hits: tuple[RecordedHit, ...]
    case_id: str | None
    list_versions: Mapping[str, str]
    reason: str | None = None
    new_hits: int = 0
    is_exposed: bool = False


@dataclass(frozen=True, slots=True, order=True)
class WalletEntry:
    """An entry of an active list that names the address."""

    list_name: str
    list_version_id: str
    entry_id: str
    asset_label: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WalletScreening:
    """What the active lists say of an address; exact, whatever label the list gives it."""

    outcome: ScreeningOutcome
    entries: tuple[WalletEntry, ...]
    list_versions: Mapping[str, str]
    reason: str | None = None

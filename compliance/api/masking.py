"""How an address of a wallet is shown: enough to know it again, and whole only to who may see it."""

from __future__ import annotations

from dataclasses import dataclass

from compliance.api.services import Services
from compliance.errors import ComplianceNotReadyError
from compliance.mirror_addresses import HashAddress, address_hasher

HEAD, TAIL = 6, 4
# A text of fewer characters would be told whole by its two ends.
SHORTEST = 16


@dataclass(frozen=True, slots=True)
class ShownAddress:
    """An address for a reader: its ends, its keyed hash (None: no key is there), and itself where asked for."""

    masked: str
    keyed_hash: str | None
    address: str | None


class Masker:
    """Makes addresses ready to be shown; `is_whole` gives them whole, to who may see personal data."""

    def __init__(self, hash_address: HashAddress | None, *, is_whole: bool) -> None:
        self._hash = hash_address
        self._is_whole = is_whole

    def show(self, address: str) -> ShownAddress:
        """The address as this reader sees it; the hash is the one that stands in the warehouse."""
        keyed_hash = self._hash(address) if self._hash is not None else None
        return ShownAddress(masked(address), keyed_hash, address if self._is_whole else None)


def masked(address: str) -> str:
    """The first six and the last four characters; of a short text two and none."""
    if len(address) < SHORTEST:
        return f"{address[:2]}\u2026"
    return f"{address[:HEAD]}\u2026{address[-TAIL:]}"


def masker_of(services: Services, *, is_whole: bool) -> Masker:
    """What masks addresses; without a key ring there are no hashes, and the ends are shown all the same."""
    try:
        return Masker(address_hasher(services.envelope), is_whole=is_whole)
    except ComplianceNotReadyError:
        return Masker(None, is_whole=is_whole)

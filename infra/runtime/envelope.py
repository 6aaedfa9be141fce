"""Envelopes for personal data: each text has a data key of its own (AES-256-GCM), which a ring of keys wraps.

Rotation wraps the data keys anew and reads no text. Keyed hashes, by which equal values are found, come from a key of
their own that rotation does not touch. The ring is a file (one machine) or Cloud KMS, whose keys never leave it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.runtime.errors import SettingsError
from infra.runtime.key_kms import KmsKeyRing
from infra.runtime.key_ring import NONCE_BYTES, LocalKeyRing, key_bytes
from infra.runtime.sealing import UnsealError
from infra.runtime.settings import Settings

__all__ = ["Envelope", "KeyRing", "KmsKeyRing", "LocalKeyRing", "Sealed", "key_ring"]

_VERSION = b"\x01"
_DATA_KEY_BITS = 256


class KeyRing(Protocol):
    """Keys that wrap data keys, and the key of the hashes."""

    @property
    def active_key_id(self) -> str:
        """The key that wraps now; asking it may be a request."""
        ...

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """The id of the wrapping key, and the wrapped key."""
        ...

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """The key that was wrapped; `UnsealError` where the ring lacks the wrapping key or the bytes were changed."""
        ...

    def hash_key(self) -> bytes:
        """32 bytes that stay the same for ever."""
        ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed text with its wrapped data key; `sealed` is a version byte, a nonce, and AES-GCM's output."""

    key_id: str
    wrapped_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)


class Envelope:
    """Seals and opens texts; `place` (`table.row.column`) binds a sealed text to where it stands."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def seal(self, text: str, place: str) -> Sealed:
        """`text` sealed for `place` under a fresh data key; two calls give different bytes."""
        data_key = AESGCM.generate_key(_DATA_KEY_BITS)
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = AESGCM(data_key).encrypt(nonce, text.encode(), place.encode())
        key_id, wrapped = self.ring.wrap(data_key)
        return Sealed(key_id, wrapped, _VERSION + nonce + content)

    def open(self, sealed: Sealed, place: str) -> str:
        """The text that was sealed for `place`; `UnsealError` where it was changed or stands elsewhere."""
        version, nonce = sealed.sealed[:1], sealed.sealed[1 : 1 + NONCE_BYTES]
        if version != _VERSION or len(nonce) != NONCE_BYTES:
            raise UnsealError(f"What is sealed for {place} is in no form that this release knows.")
        data_key = self.ring.unwrap(sealed.key_id, sealed.wrapped_key)
        try:
            return AESGCM(data_key).decrypt(nonce, sealed.sealed[1 + NONCE_BYTES :], place.encode()).decode()
        except (InvalidTag, ValueError):
            raise UnsealError(f"What is sealed for {place} does not open: it was changed or moved.") from None

    def rewrap(self, sealed: Sealed, source: KeyRing | None = None) -> Sealed:
        """The same sealed text with its data key wrapped by the active key; the text is not read.

        `source` is the ring that wrapped it, where that is another one than ours (a move to Cloud KMS).
        """
        key_id, wrapped = self.ring.wrap((source or self.ring).unwrap(sealed.key_id, sealed.wrapped_key))
        return Sealed(key_id, wrapped, sealed.sealed)

    def blind_hash(self, kind: str, text: str) -> str:
        """64 hex digits, equal for equal texts of a kind and meaningless without the key; the caller normalises."""
        return hmac.new(self.ring.hash_key(), f"{kind}\x1f{text}".encode(), hashlib.sha256).hexdigest()


def key_ring(settings: Settings) -> KeyRing:
    """The ring that the settings name: a key file or a key of Cloud KMS.

    Raises `SettingsError` where they name none, or both, or the hash key is missing or no key.
    """
    if settings.pii_key_file is not None and settings.pii_kms_key:
        raise SettingsError("BALLAST_PII_KEY_FILE and BALLAST_PII_KMS_KEY are both set: leave one of them empty.")
    if settings.pii_key_file is not None:
        return LocalKeyRing(settings.pii_key_file)
    if not settings.pii_kms_key:
        raise SettingsError("Personal data cannot be sealed: set BALLAST_PII_KEY_FILE or BALLAST_PII_KMS_KEY.")
    if settings.pii_hash_key is None:
        raise SettingsError("BALLAST_PII_KMS_KEY needs BALLAST_PII_HASH_KEY: 32 random bytes in base64, kept for ever.")
    return KmsKeyRing(settings.pii_kms_key, key_bytes(settings.pii_hash_key.get_secret_value(), "BALLAST_PII_HASH_KEY"))

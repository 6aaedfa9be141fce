"""Personal data and secrets at rest: sealed with AES-256-GCM, compared by fingerprint, proven by signature.

A key is 32 bytes in URL-safe base64. Several keys, separated by commas, allow rotation: the first one seals, all of
them open. Fingerprints and signatures come from the last key, so that a new key in front changes neither.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from infra.runtime.errors import BallastError, SettingsError

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"


class UnsealError(BallastError):
    """Sealed data does not open with the keys that are configured, or was moved to another place."""

    code = "unseal_failed"


class Sealer:
    """Seals and opens short texts; `purpose` and `place` bind a sealed value to the row that it belongs to."""

    def __init__(self, keys: SecretStr | None) -> None:
        """Raises `SettingsError` where no key is set or one is not 32 bytes in base64; the value is not repeated."""
        texts = [part.strip() for part in keys.get_secret_value().split(",")] if keys is not None else []
        raw = [_key_bytes(text) for text in texts if text]
        if not raw:
            raise SettingsError("BALLAST_SEALING_KEY is empty: set 32 random bytes in URL-safe base64.")
        self._ciphers = [AESGCM(_derived(key, b"seal")) for key in raw]
        self._fingerprint_key = _derived(raw[-1], b"fingerprint")
        self._signing_key = _derived(raw[-1], b"sign")

    def seal(self, text: str, place: str) -> bytes:
        """`text` sealed for `place`; two calls give different bytes."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._ciphers[0].encrypt(nonce, text.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """The text that was sealed for `place`; `UnsealError` where no key opens it there."""
        nonce, content = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] == _VERSION and len(nonce) == _NONCE_BYTES:
            for cipher in self._ciphers:
                try:
                    return cipher.decrypt(nonce, content, place.encode()).decode()
                except InvalidTag:
                    continue
        raise UnsealError(f"What is sealed for {place} does not open: BALLAST_SEALING_KEY lacks its key.")

    def fingerprint(self, text: str) -> str:
        """32 hex digits that are equal for equal texts and tell nothing about them without the key."""
        return hmac.new(self._fingerprint_key, text.encode(), hashlib.sha256).hexdigest()[:32]

    def sign(self, *parts: str) -> bytes:
        """32 bytes that only a holder of the key can make for these parts."""
        return hmac.new(self._signing_key, "\x1f".join(parts).encode(), hashlib.sha256).digest()


def new_key() -> str:
    """A fresh key as `BALLAST_SEALING_KEY` takes it."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _key_bytes(text: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"BALLAST_SEALING_KEY holds a key that is not {KEY_BYTES} bytes in URL-safe base64.")
    return key


def _derived(key: bytes, use: bytes) -> bytes:
    return hmac.new(key, b"ballast." + use, hashlib.sha256).digest()

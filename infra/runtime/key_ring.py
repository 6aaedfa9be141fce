"""A ring of keys in a file: who reads it opens everything, so its mode is 0600 and no backup of data holds it."""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.runtime.errors import SettingsError
from infra.runtime.sealing import UnsealError

KEY_BYTES = 32
NONCE_BYTES = 12


class _File(BaseModel):
    """The file as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: int = 1
    active_key_id: str
    keys: Mapping[str, str]
    hash_key: str


@dataclass(frozen=True, slots=True)
class _Keys:
    active_key_id: str
    keys: Mapping[str, bytes] = field(repr=False)
    hash_key: bytes = field(repr=False)


class LocalKeyRing:
    """Keys of one file; a key that another process added meanwhile is found by reading the file again."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises `SettingsError` where it is absent, open to others or no ring of keys."""
        self._path = path
        self._keys = _read(path)

    @classmethod
    def create(cls, path: Path) -> LocalKeyRing:
        """The ring of `path`, made with fresh keys unless it is there; an existing file is never written over."""
        if not path.exists():
            key_id = _new_key_id()
            content = _File(active_key_id=key_id, keys={key_id: _new_key()}, hash_key=_new_key())
            written = _written_beside(path, content)
            try:
                # A link, unlike a rename, does not replace what another process has just put there.
                with suppress(FileExistsError):
                    os.link(written, path)
            finally:
                written.unlink()
        return cls(path)

    @classmethod
    def rotate(cls, path: Path) -> LocalKeyRing:
        """Add a fresh key that wraps from now on; older ones stay, for what they have wrapped."""
        with _only_one(path):
            content = _parse(path)
            key_id = _new_key_id()
            added = content.model_copy(update={"active_key_id": key_id, "keys": {**content.keys, key_id: _new_key()}})
            _written_beside(path, added).replace(path)
            _sync_folder(path)
        return cls(path)

    @property
    def active_key_id(self) -> str:
        """The key that wraps now."""
        return self._keys.active_key_id

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """The id of the active key, and `key` wrapped by it."""
        keys = self._keys
        nonce = secrets.token_bytes(NONCE_BYTES)
        wrapped = AESGCM(keys.keys[keys.active_key_id]).encrypt(nonce, key, keys.active_key_id.encode())
        return keys.active_key_id, nonce + wrapped

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """The key that was wrapped; `UnsealError` where the ring lacks the wrapping key or the bytes were changed."""
        if key_id not in self._keys.keys:
            self._keys = _read(self._path)
        wrapping = self._keys.keys.get(key_id)
        if wrapping is None:
            raise UnsealError(f"The ring of keys in {self._path} lacks key {key_id}: bring back the file that has it.")
        try:
            return AESGCM(wrapping).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], key_id.encode())
        except (InvalidTag, ValueError):
            raise UnsealError(f"A data key that key {key_id} wrapped does not open: it was changed.") from None

    def hash_key(self) -> bytes:
        """The key of the hashes, which rotation keeps."""
        return self._keys.hash_key


def key_bytes(text: str, where: str) -> bytes:
    """32 bytes of base64, plain or URL-safe; `SettingsError` names the place, never the value."""
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{where} holds no key: {KEY_BYTES} bytes in base64 are expected.")
    return key


def _read(path: Path) -> _Keys:
    content = _parse(path)
    if content.version != 1 or content.active_key_id not in content.keys:
        raise SettingsError(f"The ring of keys in {path} is of another version, or lacks its active key.")
    keys = {key_id: key_bytes(text, f"{path}, key {key_id}") for key_id, text in content.keys.items()}
    return _Keys(content.active_key_id, keys, key_bytes(content.hash_key, f"{path}, the hash key"))


def _parse(path: Path) -> _File:
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            text = stream.read()
    except OSError as error:
        raise SettingsError(f"The ring of keys in {path} cannot be read ({type(error).__name__}).") from None
    if mode & 0o077:
        raise SettingsError(f"The ring of keys in {path} is open to others (mode {mode:o}): chmod 600 it.")
    try:
        return _File.model_validate_json(text)
    except ValidationError:
        raise SettingsError(f"{path} is no ring of keys; restore it from where you keep keys.") from None


def _written_beside(path: Path, content: _File) -> Path:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(content.model_dump(), stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    return beside


def _sync_folder(path: Path) -> None:
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    # Two rotations at once would lose the key of one of them, and all that it has wrapped.
    handle = os.open(path.with_name(f"{path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _new_key_id() -> str:
    return f"k_{secrets.token_hex(8)}"


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()

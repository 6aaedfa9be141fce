"""Compressed twins of files, made once in the background and kept in a cache folder."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import brotli

from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger

ENCODINGS = ("br", "gzip")
MIN_BYTES = 500
LEFTOVER_S = 600
BEST, GOOD = 11, 9
_COMPRESSIBLE = frozenset({".js", ".css", ".json", ".svg"})
_SUFFIX = {"br": ".br", "gzip": ".gz"}
_TOKEN = re.compile(r"\s*([A-Za-z0-9*_-]+)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.\d{0,3})?)\s*)?")
_log = get_logger(__name__)


class Compressed:
    """Twins of the files below `source`, in `cache`; a file without one is served as it is.

    What `first` names is compressed before all and as far as it goes, the rest quickly. A twin appears whole or not at
    all. Several processes may share the folder.
    """

    def __init__(self, source: Path, cache: Path, first: frozenset[str], clock: Clock) -> None:
        self._source = source
        self._cache = cache
        self._first = first
        self._clock = clock
        self._ready: dict[tuple[str, str], Path] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to compress in the background, at the lowest priority."""
        self._thread = threading.Thread(target=self._run, name="compress", daemon=True)
        self._thread.start()

    def stop(self, wait_s: float = 2.0) -> None:
        """End after the file under way; what is missing is made at the next start."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(wait_s)

    def wait(self, wait_s: float) -> bool:
        """Whether everything is compressed within these seconds."""
        if self._thread is not None:
            self._thread.join(wait_s)
        return self._thread is not None and not self._thread.is_alive()

    def file(self, name: str, encoding: str) -> Path | None:
        """The twin of a file, if there is one now."""
        found = self._ready.get((name, encoding))
        return found if found is not None and found.is_file() else None

    def _run(self) -> None:
        # A thread has a priority of its own on Linux; elsewhere this does no harm.
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            self._sweep()
            for name, path in self._wanted().items():
                for encoding in reversed(ENCODINGS):
                    if self._stop.is_set():
                        return
                    self._ready[name, encoding] = self._twin(name, path, encoding)
        except OSError as error:
            # A full or read-only disk: browsers get the files as they are.
            _log.warning("files_not_compressed", reason=type(error).__name__, folder=str(self._cache))

    def _wanted(self) -> Mapping[str, Path]:
        files = {
            path.relative_to(self._source).as_posix(): path
            for path in self._source.rglob("*")
            if path.suffix in _COMPRESSIBLE and path.stat().st_size >= MIN_BYTES
        }
        order = sorted(files, key=lambda name: (name not in self._first, files[name].stat().st_size))
        return {name: files[name] for name in order}

    def _twin(self, name: str, path: Path, encoding: str) -> Path:
        # Flat names: nothing but files of ours stands in the folder.
        twin = self._cache / (hashlib.sha256(name.encode()).hexdigest()[:24] + _SUFFIX[encoding])
        if not twin.is_file():
            body = path.read_bytes()
            packed = self._packers(name)[encoding](body)
            partial = twin.with_name(f"{twin.name}.{secrets.token_hex(4)}.part")
            partial.write_bytes(packed)
            partial.replace(twin)
        return twin

    def _packers(self, name: str) -> Mapping[str, Callable[[bytes], bytes]]:
        quality = BEST if name in self._first else GOOD
        return {
            "br": lambda body: brotli.compress(body, quality=quality),
            "gzip": lambda body: gzip.compress(body, 9, mtime=0),
        }

    def _sweep(self) -> None:
        """Remove what a killed process left half written."""
        for partial in self._cache.glob("*.part"):
            with contextlib.suppress(OSError):
                if self._clock.now().timestamp() - partial.stat().st_mtime > LEFTOVER_S:
                    partial.unlink()


def accepted(header: str) -> list[str]:
    """Our encodings that a browser takes by its Accept-Encoding, the one to prefer first."""
    weights: dict[str, float] = {}
    for part in header.split(","):
        matched = _TOKEN.fullmatch(part)
        if matched:
            weights[matched[1].lower()] = float(matched[2] or 1)
    every = weights.get("*", 0.0)
    found = [(weights.get(each, every), each) for each in ENCODINGS]
    return [each for weight, each in sorted(found, key=lambda one: -one[0]) if weight > 0]

"""Which loader reads which files, and the hash of what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from compliance.errors import ListRefusedError
from compliance.screening.lists import ftm, ofac, un
from compliance.screening.lists.entries import ParsedList


def read_files(paths: Sequence[Path]) -> dict[str, bytes]:
    """The files by their name in lower case; raises `ListRefusedError` for one that is missing or given twice."""
    if not paths:
        raise ListRefusedError("No file was given.")
    found: dict[str, bytes] = {}
    for path in paths:
        name = path.name.lower()
        if name in found:
            raise ListRefusedError(f"{name} was given twice.")
        try:
            found[name] = path.read_bytes()
        except OSError as error:
            raise ListRefusedError(f"{name} cannot be read: {error.strerror or type(error).__name__}.") from None
        if b"\x00" in found[name]:
            raise ListRefusedError(f"{name} holds NUL bytes: it is damaged.")
    return found


def content_hash(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and contents, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return digest.hexdigest()


def parse_files(files: Mapping[str, bytes]) -> ParsedList:
    """What the files hold, by their endings: `.csv` OFAC, `.xml` UN, `.json` or `.jsonl` FollowTheMoney.

    Raises `ListRefusedError` for files that are empty, damaged or of no kind that is known.
    """
    empty = [name for name, content in files.items() if not content.strip()]
    if empty:
        raise ListRefusedError(f"{', '.join(sorted(empty))} is empty.")
    endings = {Path(name).suffix for name in files}
    if endings == {".csv"}:
        parsed = ofac.parse(files)
    elif endings == {".xml"} and len(files) == 1:
        parsed = un.parse(next(iter(files.values())))
    elif endings <= {".json", ".jsonl"} and len(files) == 1:
        parsed = ftm.parse(next(iter(files.values())))
    else:
        raise ListRefusedError(
            f"{', '.join(sorted(files))} is no list that can be read: four CSV files of OFAC, one XML file of the UN, "
            "or one file of FollowTheMoney lines."
        )
    if not parsed.entries:
        raise ListRefusedError("The files hold no entry.")
    return parsed

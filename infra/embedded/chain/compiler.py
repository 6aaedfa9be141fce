"""The local chain's contracts as creation code, compiled once and kept beside the chain's data."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ValidationError

from infra.embedded.errors import EmbeddedError

CONTRACTS = Path(__file__).with_name("contracts")
NAMES = ("transmitter", "multicall", "aggregator", "proxy")
_FILE_NAME = "contracts.json"
_TIMEOUT_S = 120.0


class _Compiled(BaseModel):
    digest: str
    codes: dict[str, str]


def compiled(data_dir: Path) -> dict[str, bytes]:
    """The creation code of each contract; compiled anew if a source or the compiler is another than that kept.

    The compiler takes a third of the chain's start. Raises `EmbeddedError` if a contract does not compile.
    """
    sources = {name: (CONTRACTS / f"{name}.vy").read_text(encoding="utf-8") for name in NAMES}
    digest = hashlib.sha256("\0".join([version("vyper"), *sources.values()]).encode()).hexdigest()
    file = data_dir / _FILE_NAME
    try:
        kept = _Compiled.model_validate_json(file.read_bytes())
        if kept.digest == digest:
            return {name: bytes.fromhex(kept.codes[name]) for name in NAMES}
    except (FileNotFoundError, ValidationError, KeyError, ValueError):
        # Nothing kept, or nothing usable: it is only a copy.
        pass
    codes = _compile(digest)
    data_dir.mkdir(parents=True, exist_ok=True)
    new = data_dir / f"{_FILE_NAME}.new"
    new.write_text(_Compiled(digest=digest, codes={name: code.hex() for name, code in codes.items()}).model_dump_json())
    new.replace(file)
    return codes


@cache
def _compile(digest: str) -> dict[str, bytes]:  # noqa: ARG001 (the key of what was compiled)
    """All contracts, compiled in a process of their own: the compiler changes `decimal` for its whole process."""
    files = [str(CONTRACTS / f"{name}.vy") for name in NAMES]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vyper", "-f", "bytecode", *files],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        lines = done.stdout.split()
        return {name: bytes.fromhex(line.removeprefix("0x")) for name, line in zip(NAMES, lines, strict=True)}
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or error
        raise EmbeddedError(f"The contracts do not compile with vyper {version('vyper')}: {said}") from None
    except ValueError:
        raise EmbeddedError(f"vyper {version('vyper')} gave something else than one bytecode a contract.") from None

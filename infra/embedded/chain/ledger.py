"""What the local chain keeps on disk: the phases that were used, and the last prices."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.embedded.errors import EmbeddedError

_FILE_NAME = "chain.json"


class Quote(BaseModel):
    """A price in the feed's decimals; `updated_at` in seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    answer: int = Field(gt=0)
    updated_at: int = Field(gt=0)


class Ledger(BaseModel):
    """Used phases and last good prices by asset."""

    phases: dict[str, int] = {}
    quotes: dict[str, Quote] = {}


def load_ledger(data_dir: Path) -> Ledger:
    """The ledger of a data folder, empty in a new one; raises `EmbeddedError` if it is damaged."""
    file = data_dir / _FILE_NAME
    try:
        return Ledger.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except ValidationError:
        raise EmbeddedError(f"{file} is damaged: remove it, and start with a new state folder.") from None


def save_ledger(data_dir: Path, ledger: Ledger) -> None:
    """Replace the ledger; whoever reads it sees the old or the new one whole."""
    data_dir.mkdir(parents=True, exist_ok=True)
    new = data_dir / f"{_FILE_NAME}.new"
    with new.open("wb") as file:
        file.write(ledger.model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(data_dir / _FILE_NAME)

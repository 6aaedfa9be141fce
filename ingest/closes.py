"""Daily closes: read a folder of `<ASSET>.csv`, check every line, load them as one price set."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import Clock
from ingest import tables
from ingest.errors import PriceFileError
from ingest.messages import PRICE_DECIMALS, PRICE_LIMIT, SIMULATED, SYMBOL_PATTERN

CSV_SOURCE = "csv"
MAX_CELL = 200
HEADER = ["date", "close_usd"]
LOAD_CHUNK_ROWS = 5_000
_SYMBOL = re.compile(SYMBOL_PATTERN)
_QUANTUM = Decimal(1).scaleb(-PRICE_DECIMALS)


@dataclass(frozen=True, order=True)
class Close:
    """The close of one asset on one UTC day, in USD, rounded to nine decimals."""

    asset: str
    price_date: date
    close_usd: Decimal
    source: str


@dataclass(frozen=True)
class PriceSet:
    """Closes that belong together, sorted by asset and day; the id is a hash of all of them."""

    closes: tuple[Close, ...]

    @cached_property
    def price_set_id(self) -> str:
        """`px-` and 16 hex digits of SHA-256 over every close: the same closes are the same set."""
        digest = hashlib.sha256()
        for close in self.closes:
            digest.update(f"{close.asset},{close.price_date},{close.close_usd},{close.source}\n".encode())
        return f"px-{digest.hexdigest()[:16]}"

    @cached_property
    def assets(self) -> tuple[str, ...]:
        """Assets with at least one close, sorted."""
        return tuple(sorted({close.asset for close in self.closes}))

    @cached_property
    def simulated_assets(self) -> tuple[str, ...]:
        """Assets whose closes are simulated, sorted."""
        return tuple(sorted({close.asset for close in self.closes if close.source == SIMULATED}))

    @cached_property
    def last_date(self) -> date:
        """The last day on which every asset has a close."""
        return min({close.asset: close.price_date for close in self.closes}.values())

    def last_closes(self) -> dict[str, Close]:
        """The close of each asset on `last_date`, or its latest before."""
        last = self.last_date
        return {close.asset: close for close in self.closes if close.price_date <= last}


def price_set(closes: Sequence[Close]) -> PriceSet:
    """A price set of the closes; raises `PriceFileError` where it is empty or names a day twice."""
    ordered = sorted(closes)
    if not ordered:
        raise PriceFileError("There are no closes: give at least one <ASSET>.csv with a line per day.")
    for one, other in pairwise(ordered):
        if (one.asset, one.price_date) == (other.asset, other.price_date):
            raise PriceFileError(f"{one.asset} has two closes for {one.price_date}; keep one of them.")
    return PriceSet(tuple(ordered))


def read_closes(folder: Path, source: str = CSV_SOURCE) -> list[Close]:
    """Closes of every `<ASSET>.csv` in `folder` (columns `date,close_usd`, ISO days, USD).

    All or nothing: raises `PriceFileError` that names file, line and fault of the first twenty faults.
    """
    if not folder.is_dir():
        raise PriceFileError(f"{folder} is not a folder; give one that holds files such as BTC.csv.")
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise PriceFileError(f"{folder} holds no .csv file; name one per asset, such as BTC.csv.")
    faults: list[str] = []
    closes: list[Close] = []
    for file in files:
        for found in _read_file(file, source):
            if isinstance(found, Close):
                closes.append(found)
            else:
                faults.append(found)
    if faults:
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise PriceFileError("Nothing was loaded, because:\n  " + "\n  ".join(faults[:20]) + more)
    return closes


def _read_file(file: Path, source: str) -> Iterator[Close | str]:
    """Closes of one file, or a sentence for each fault."""
    asset = file.stem
    if not _SYMBOL.match(asset):
        yield f"{file.name}: the name must be an asset's symbol in capitals, such as BTC.csv"
        return
    seen: set[date] = set()
    is_empty = True
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            header = next(reader, [])
            if [column.strip() for column in header] != HEADER:
                yield f"{file.name}:1: the header must be {','.join(HEADER)}"
                return
            for cells in reader:
                if not cells:
                    continue
                is_empty = False
                if max(map(len, cells)) > MAX_CELL:
                    # The csv module's own limit is the process's, and libraries raise it.
                    yield f"{file.name}: cannot be read as CSV (line {reader.line_num}: a cell is too long)"
                    return
                found = _read_line(asset, cells, source)
                if isinstance(found, str):
                    yield f"{file.name}:{reader.line_num}: {found}"
                elif found.price_date in seen:
                    yield f"{file.name}:{reader.line_num}: {found.price_date} stands twice"
                else:
                    seen.add(found.price_date)
                    yield found
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        yield f"{file.name}: cannot be read as CSV ({error})"
        return
    if is_empty:
        yield f"{file.name}: holds no closes"


def _read_line(asset: str, cells: list[str], source: str) -> Close | str:
    if len(cells) != len(HEADER):
        return f"{len(cells)} columns where {len(HEADER)} are expected"
    day_text, close_text = (cell.strip() for cell in cells)
    try:
        day = date.fromisoformat(day_text)
    except ValueError:
        return f"date {day_text!r} is not a day such as 2026-01-31"
    try:
        close = Decimal(close_text)
    except InvalidOperation:
        return f"close_usd {close_text!r} is not a number"
    if not close.is_finite() or not 0 < close < PRICE_LIMIT:
        return f"close_usd {close_text!r} is not a positive price"
    rounded = close.quantize(_QUANTUM, rounding=ROUND_HALF_EVEN)
    if rounded == 0:
        return f"close_usd {close_text!r} is below {_QUANTUM:f}, the smallest price that is kept"
    return Close(asset, day, rounded, source)


def load_price_set(
    warehouse: Warehouse, found: PriceSet, clock: Clock, progress: Callable[[int, int], None] | None = None
) -> bool:
    """Append the set to `raw.daily_closes` and then activate it in `raw.price_sets`; False if it is active already.

    A load that was killed left closes but no activation: the repeat appends them again and staging drops the
    doubles. `progress` is called with closes done and closes in all.
    """
    if active_price_set_id(warehouse) == found.price_set_id:
        return False
    if not _is_loaded(warehouse, found.price_set_id):
        for start in range(0, len(found.closes), LOAD_CHUNK_ROWS):
            chunk = found.closes[start : start + LOAD_CHUNK_ROWS]
            now = clock.now()
            rows = [_close_row(found.price_set_id, close) | {"loaded_at": now} for close in chunk]
            warehouse.append(tables.DAILY_CLOSES.table_id, rows)
            if progress:
                progress(start + len(chunk), len(found.closes))
    activation = {
        "price_set_id": found.price_set_id,
        "activated_at": clock.now(),
        "closes": len(found.closes),
        "first_date": min(close.price_date for close in found.closes),
        "last_date": found.last_date,
        "simulated_assets": json.dumps(found.simulated_assets),
    }
    warehouse.append(tables.PRICE_SETS.table_id, [activation])
    return True


ACTIVE_PRICE_SET_SQL = """
select price_set_id
from raw.price_sets
order by activated_at desc
limit 1
"""

IS_LOADED_SQL = """
select count(*) as activations
from raw.price_sets
where price_set_id = @price_set_id
"""


def active_price_set_id(warehouse: Warehouse) -> str | None:
    """The id of the price set that risk uses now; None before the first load."""
    rows = warehouse.query(ACTIVE_PRICE_SET_SQL)
    return str(rows[0]["price_set_id"]) if rows else None


def _is_loaded(warehouse: Warehouse, price_set_id: str) -> bool:
    return bool(warehouse.query(IS_LOADED_SQL, {"price_set_id": price_set_id})[0]["activations"])


def _close_row(price_set_id: str, close: Close) -> dict[str, Any]:
    return {
        "price_set_id": price_set_id,
        "asset": close.asset,
        "price_date": close.price_date,
        "close_usd": close.close_usd,
        "source": close.source,
    }

"""Daily bars in the shape of Pyth's history, out of the closes that the platform itself would use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal

from ingest.closes import Close

_SYMBOL = re.compile(r"crypto\.([a-z0-9]+)/usd", re.IGNORECASE)


@dataclass(frozen=True)
class _Bar:
    seconds: int
    close_usd: Decimal


class History:
    """Closes by asset; a bar opens where the one before closed."""

    def __init__(self, closes: Iterable[Close]) -> None:
        self._bars: dict[str, list[_Bar]] = {}
        for close in sorted(closes):
            seconds = int(datetime.combine(close.price_date, time(), UTC).timestamp())
            self._bars.setdefault(close.asset, []).append(_Bar(seconds, close.close_usd))

    def answer(self, symbol: str, resolution: str, begins: int, ends: int) -> str:
        """The body for bars that begin within both times (seconds UTC); numbers keep every digit."""
        found = _SYMBOL.fullmatch(symbol)
        bars = self._bars.get(found.group(1).upper()) if found else None
        if bars is None:
            return json.dumps({"s": "error", "errmsg": "unknown_symbol"})
        if resolution not in ("D", "1D"):
            return json.dumps({"s": "error", "errmsg": "unsupported resolution"})
        wanted = [position for position, bar in enumerate(bars) if begins <= bar.seconds <= ends]
        if not wanted:
            return json.dumps({"s": "no_data"})
        closes = [bars[position].close_usd for position in wanted]
        opens = [bars[max(0, position - 1)].close_usd for position in wanted]
        highs = [max(pair) for pair in zip(opens, closes, strict=True)]
        lows = [min(pair) for pair in zip(opens, closes, strict=True)]
        times = ",".join(str(bars[position].seconds) for position in wanted)
        numbers = {"o": opens, "h": highs, "l": lows, "c": closes, "v": [Decimal(0)] * len(wanted)}
        written = "".join(f',"{name}":[{_numbers(values)}]' for name, values in numbers.items())
        return f'{{"s":"ok","t":[{times}]{written}}}'


def _numbers(values: list[Decimal]) -> str:
    return ",".join(f"{value:f}" for value in values)

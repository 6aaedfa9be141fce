"""`python -m infra.embedded.chain.replay --file CSV --asset ETH`: write recorded rounds to the local chain.

Columns: round_id, answer, started_at, updated_at, answered_in_round; in any order of rows.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from infra.embedded.chain.control import ChainControl
from infra.embedded.chain.models import MAX_ROUNDS, RawRound
from infra.embedded.errors import EmbeddedError
from infra.runtime.settings import load_settings


@dataclass(frozen=True, order=True)
class RecordedRound:
    """A round as a proxy gave it, with its own round id."""

    round_id: int
    answer: int
    updated_at: int


def load_rounds(file: Path) -> list[RecordedRound]:
    """The recorded rounds in order of their ids; raises `EmbeddedError` naming the line that is wrong."""
    rounds = []
    with file.open(encoding="utf-8", newline="") as lines:
        for row in (reader := csv.DictReader(lines)):
            try:
                rounds.append(RecordedRound(int(row["round_id"]), int(row["answer"]), int(row["updated_at"])))
            except (KeyError, TypeError, ValueError):
                raise EmbeddedError(f"{file.name}, line {reader.line_num}: no recorded round.") from None
    return sorted(rounds)


def replay(
    control: ChainControl,
    asset: str,
    rounds: Sequence[RecordedRound],
    *,
    speed: float | None = None,
    offset_s: int = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Write the rounds as rounds of the feed, in their order; how many were written.

    With a `speed`, the time between two rounds passes so many times faster; without one, it does not pass.
    `offset_s` is added to each time but 0, which marks a round that was never completed.
    """
    raw = [
        RawRound(asset=asset, answer=each.answer, updated_at=each.updated_at + offset_s if each.updated_at else 0)
        for each in rounds
    ]
    if speed is None:
        for start in range(0, len(raw), MAX_ROUNDS):
            control.write_rounds(raw[start : start + MAX_ROUNDS])
        return len(raw)
    for pause_s, each in zip(_pauses(raw), raw, strict=True):
        sleep(pause_s / speed)
        control.write_rounds([each])
    return len(raw)


def _pauses(rounds: Sequence[RawRound]) -> list[int]:
    """How long to wait before each round, in recorded seconds."""
    between = [
        max(0, after.updated_at - before.updated_at) if before.updated_at else 0 for before, after in pairwise(rounds)
    ]
    return [0, *between][: len(rounds)]


def main() -> int:
    """Replay a file, its last round dated now."""
    parser = argparse.ArgumentParser(prog="infra.embedded.chain.replay", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="recorded rounds (CSV)")
    parser.add_argument("--asset", required=True, help="the asset whose feed is written")
    parser.add_argument("--last", type=int, default=None, help="only so many of the newest rounds")
    parser.add_argument("--speed", type=float, default=None, help="times faster than recorded; without it, at once")
    arguments = parser.parse_args()
    rounds = load_rounds(arguments.file)[-arguments.last if arguments.last else None :]
    offset_s = int(time.time()) - rounds[-1].updated_at if rounds else 0
    with ChainControl(load_settings()) as control:
        count = replay(control, arguments.asset, rounds, speed=arguments.speed, offset_s=offset_s)
    print(f"{count} rounds written to {arguments.asset}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

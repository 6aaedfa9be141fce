"""One name against OFAC's whole list: time, what blocking saves against scoring every entry, and that it loses no hit.

    python tests/perf/bench_screening.py [--queries 200] [--reference 25] [--seconds 25] [--all]

`--reference` queries are scored against every entry as well: the ratio and the recall are of those. Aliases of the
list are looked up for `--seconds`, or all of them with `--all`. Needs the recorded list beside the project.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from _bench import cuts, print_machine

from compliance.screening.lists.entries import EntryKind, ListEntry, Strength
from compliance.screening.lists.files import parse_files, read_files
from compliance.screening.matching import Matcher
from compliance.screening.proxies import Subject
from infra.runtime.settings import PROJECT_ROOT

OFAC = Path(PROJECT_ROOT).parent / "shared" / "data" / "ofac"
THRESHOLD, LIMIT = 0.7, 50
LETTERS = "abcdehiklmnorstuvyz"
FIRST = ("John", "Maria", "Wei", "Ahmed", "Olga", "Peter", "Fatima", "Carlos", "Yuki", "Anna", "Mohammad", "Linnea")
LAST = (
    "Smith",
    "Garcia",
    "Wang",
    "Hassan",
    "Ivanova",
    "Mueller",
    "Tanaka",
    "Kim",
    "Rossi",
    "Khan",
    "Lopez",
    "Ashbrook",
)


def subjects(entries: Sequence[ListEntry], count: int, rng: random.Random) -> list[tuple[str, Subject]]:
    """Innocent, listed and misspelled names in equal parts, each with its sort."""
    listed = [each for each in entries if each.names and each.kind is not EntryKind.UNKNOWN]
    found = []
    for number in range(count):
        own = rng.choice(listed)
        name = rng.choice(own.names).name
        match number % 3:
            case 0:
                found.append(("innocent", Subject((f"{rng.choice(FIRST)} {rng.choice(LAST)}",), "person")))
            case 1:
                found.append(("listed", Subject((name,), own.kind.value)))
            case _:
                found.append(("misspelled", Subject((misspelled(name, rng),), own.kind.value)))
    return found


def misspelled(name: str, rng: random.Random) -> str:
    """The name with one to three letters wrong; spaces stay."""
    letters = list(name)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(letters))
        if letters[at] == " ":
            continue
        match rng.randrange(3):
            case 0 if len(letters) > 3:
                del letters[at]
            case 1:
                letters.insert(at, rng.choice(LETTERS))
            case _:
                letters[at] = rng.choice(LETTERS)
    return "".join(letters)


def measure(matcher: Matcher, given: Sequence[tuple[str, Subject]], reference: int) -> None:
    """Time of each query, and for the first ones the same against every entry."""
    taken: dict[str, list[float]] = {"innocent": [], "listed": [], "misspelled": []}
    candidates = []
    began_cpu = time.process_time()
    for sort, subject in given:
        began = time.perf_counter()
        found = matcher.match(subject, THRESHOLD, LIMIT)
        taken[sort].append(time.perf_counter() - began)
        candidates.append(found.candidates)
    cpu = time.process_time() - began_cpu
    for sort, values in taken.items():
        print(f"{sort:<11} {cuts(values)}")
    everything = [value for values in taken.values() for value in values]
    print(f"all         {cuts(everything)}; {len(given) / cpu:.0f} names a second and core")
    print(f"candidates  mean {statistics.mean(candidates):.0f} of {len(matcher)} entries")
    compare(matcher, given[:reference])


def compare(matcher: Matcher, given: Sequence[tuple[str, Subject]]) -> None:
    """The ratio to scoring every entry, and the hits that blocking loses."""
    with_blocking = without = 0.0
    hits = lost = 0
    for sort, subject in given:
        began = time.process_time()
        found = {hit.entry_id for hit in matcher.match(subject, THRESHOLD, 1_000).hits}
        with_blocking += time.process_time() - began
        began = time.process_time()
        every = {hit.entry_id for hit in matcher.match_all(subject, THRESHOLD, 1_000).hits}
        without += time.process_time() - began
        hits += len(every)
        for entry_id in sorted(every - found):
            lost += 1
            print(f"  lost: entry {entry_id} for {sort} {subject.names[0]!r}")
    print(f"every entry {without / len(given) * 1000:.0f} ms a name: {without / with_blocking:.0f} times as long")
    print(f"recall      {hits - lost} of {hits} hits of {len(given)} names")


def look_up_aliases(matcher: Matcher, entries: Sequence[ListEntry], seconds: float, rng: random.Random) -> None:
    """Whether each alias finds its own entry, at rank 1 or sharing it."""
    aliases = [
        (each, name.name)
        for each in entries
        if each.kind is not EntryKind.UNKNOWN
        for name in each.names
        if name.strength in (Strength.ALIAS, Strength.FORMER)
    ]
    rng.shuffle(aliases)
    ends = time.monotonic() + seconds
    first = tied = stronger = looked = 0
    wrong = []
    for own, name in aliases:
        if time.monotonic() > ends:
            break
        looked += 1
        hits = matcher.match(Subject((name,), own.kind.value), THRESHOLD, 200).hits
        hit = next((hit for hit in hits if hit.entry_id == own.entry_id), None)
        if hit is None or hit.score < hits[0].score:
            wrong.append((own.entry_id, name, hit.rank if hit is not None else None))
        elif hit.rank > 1:
            stronger += 1
        elif sum(hit.rank == 1 for hit in hits) > 1:
            tied += 1
        else:
            first += 1
    print(
        f"aliases     {looked} of {len(aliases)}: {first} alone at rank 1, {tied} share it,"
        f" {stronger} are a stronger name of another entry, {len(wrong)} are found otherwise"
    )
    for entry_id, name, rank in wrong[:10]:
        print(f"  {entry_id} {name!r}: rank {rank}")


def main() -> None:
    """Build, measure, compare, look up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--reference", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    if not OFAC.is_dir():
        raise SystemExit(f"needs OFAC's list in {OFAC}")
    print_machine()
    entries = parse_files(read_files([OFAC / f"{name}.csv" for name in ("sdn", "alt", "add", "sdn_comments")])).entries
    began = time.process_time()
    matcher = Matcher(("ofac_sdn", "v1", each, each.entry_hash) for each in entries)
    print(f"build       {len(matcher)} entries in {time.process_time() - began:.1f} s of processor")
    rng = random.Random(2019)
    measure(matcher, subjects(entries, arguments.queries, rng), arguments.reference)
    look_up_aliases(matcher, entries, float("inf") if arguments.all else arguments.seconds, rng)


if __name__ == "__main__":
    main()

"""The nightly screening of many customers against a changed list, in real time and against scoring every pair.

    python tests/perf/bench_rescreening.py [--customers 100000] [--delta 100]

Customers are sealed in PostgreSQL and count as screened by the version before; the delta's entries are new, and one in
five bears a customer's name. Scoring every pair is measured on a sample and extrapolated.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from _bench import ground, print_machine
from nomenklatura.matching import LogicV2
from sqlalchemy import Engine, text

from compliance.migrations import upgrade
from compliance.pii import PersonalData
from compliance.policy.book import PolicyBook
from compliance.screening.lists import load_list
from compliance.screening.matching import names_alone
from compliance.screening.proxies import Subject, query_proxy
from compliance.screening.rescreening import rescreen
from compliance.screening.service import Screener
from compliance.users import NewUser, create_users
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import Envelope, LocalKeyRing
from infra.runtime.postgres import postgres_engine

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
LISTED = 1_000
CHUNK = 2_000
SAMPLE = 150
SYLLABLES = ("ka", "ro", "mi", "len", "dar", "vo", "shi", "tan", "bel", "gor", "nu", "el", "far", "zi", "mon", "ter")
FIRST = ("Anna", "John", "Olga", "Ahmed", "Maria", "Wei", "Peter", "Fatima", "Carlos", "Yuki", "Ivan", "Leila", "Omar")
_SCREENED = text(
    """
    insert into compliance.screenings
        (screening_id, subject_kind, user_id, subject_hash, outcome, list_versions, policy_version, trigger,
        screened_at)
    select
        'scr_' || user_id, 'user', user_id, name_hash, 'clear', cast(:versions as jsonb), :policy_version, 'kyc', :at
    from compliance.users
    where user_id > :after and user_id <= :until
    """
)


def made_up_name(rng: random.Random) -> str:
    """A common first name and one of a hundred thousand last names."""
    return f"{rng.choice(FIRST)} {''.join(rng.choices(SYLLABLES, k=rng.choice((3, 4)))).capitalize()}"


def register(engine: Engine, clock: FixedClock, envelope: Envelope, names: list[str]) -> None:
    """Seal and store the customers."""
    for begin in range(0, len(names), CHUNK):
        users = [
            NewUser(f"c{begin + at}", "person", PersonalData(names=(name,), birth_date=date(1980, 1, 1)))
            for at, name in enumerate(names[begin : begin + CHUNK])
        ]
        with engine.begin() as connection:
            create_users(connection, envelope, clock, users)


def load(engine: Engine, clock: FixedClock, folder: Path, names: list[str]) -> dict[str, str]:
    """The list of these names as its newest version."""
    path = folder / "list.json"
    path.write_text(
        "\n".join(
            json.dumps({"id": f"e{at}", "schema": "Person", "properties": {"name": [name], "topics": ["sanction"]}})
            for at, name in enumerate(names)
        )
    )
    return {"sample": load_list(engine, clock, "sample", [path]).list_version_id}


def every_pair_s(customers: list[str], delta: list[str]) -> float:
    """Seconds for scoring all pairs, from a sample of customers."""
    entries = [query_proxy(Subject((name,), "person")) for name in delta]
    config = names_alone()
    began = time.perf_counter()
    for name in customers[:SAMPLE]:
        query = query_proxy(Subject((name,), "person"))
        for entry in entries:
            LogicV2.compare(query, entry, config)
    return (time.perf_counter() - began) / min(SAMPLE, len(customers)) * len(customers)


def main() -> None:
    """Set up, re-screen, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--delta", type=int, default=100)
    arguments = parser.parse_args()
    print_machine()
    rng = random.Random(7)
    customers = [made_up_name(rng) for _ in range(arguments.customers)]
    listed = [f"{made_up_name(rng)} {rng.choice(SYLLABLES)}{number}x" for number in range(LISTED)]
    delta = [
        rng.choice(customers) if number % 5 == 0 else f"Q{made_up_name(rng)}vich" for number in range(arguments.delta)
    ]
    with ground(("postgres",)) as settings:
        engine, clock, folder = postgres_engine(settings, "bench"), FixedClock(START), settings.state_dir
        upgrade(engine)
        LocalKeyRing.create(folder / "bench-keys.json")
        envelope, book = Envelope(LocalKeyRing(folder / "bench-keys.json")), PolicyBook.load()
        began = time.perf_counter()
        register(engine, clock, envelope, customers)
        versions = load(engine, clock, folder, listed)
        screened = {"versions": json.dumps(versions), "policy_version": book.current(START).version, "at": START}
        digits = "0123456789abcdef~"
        for begin, until in pairwise(digits):
            with engine.begin() as connection:
                connection.execute(_SCREENED, screened | {"after": f"usr_{begin}", "until": f"usr_{until}"})
        print(f"set-up      {time.perf_counter() - began:.1f} s for {len(customers)} customers")
        clock.advance(timedelta(hours=12))
        load(engine, clock, folder, listed + delta)
        screener = Screener(engine, clock)
        began = time.perf_counter()
        screener.reload()
        print(f"lists       {time.perf_counter() - began:.1f} s to load {LISTED + len(delta)} entries")
        began, began_cpu = time.perf_counter(), time.process_time()
        done = rescreen(engine, screener, clock, book, envelope)
        took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        naive = every_pair_s(customers, delta)
        print(
            f"re-screened {done.customers} customers, {done.delta_entries} entries: {took:.1f} s"
            f" ({cpu:.1f} of processor)"
        )
        print(
            f"            {done.compared_pairs} pairs scored, {done.screened} customers in full, {done.new_hits} new"
            " hits"
        )
        print(f"every pair  {naive:.0f} s, from {SAMPLE} customers: {naive / took:.1f} times as long")
        began = time.perf_counter()
        again = rescreen(engine, screener, clock, book, envelope)
        print(f"once more   {time.perf_counter() - began:.1f} s, {again.screened} screened, {again.new_hits} new hits")
        engine.dispose()


if __name__ == "__main__":
    main()

"""How long the gate takes for one transaction, while the desk has a long history and many of them come at once.

    python tests/perf/bench_aml_check.py [--accounts 100000] [--rows 1000000] [--rate 100] [--seconds 20] [--threads 4]

90 days of history are generated in embedded PostgreSQL: accounts at random, one row in a hundred of few heavy accounts,
one in twenty with a counterparty that all share (an exchange), 500 mixers on a list. Then checks arrive at a fixed
rate; a latency counts from when the check was due, waiting included. Reference: `select 1` by the same engine.
`--explain` shows the plan of the features of one transaction, `--replay` how many a second a replay reads.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from _bench import cuts, ground, print_machine, timed
from sqlalchemy import Engine, text

from compliance.aml.features import basis_of, read_mixers, replay
from compliance.aml.features_sql import ONE
from compliance.aml.gate import Gate
from compliance.migrations import upgrade
from compliance.model import Direction, Transaction
from compliance.policy.book import PolicyBook
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine

HEAVY_ACCOUNTS = 20
TARGET_P99_S = 0.050
CHUNK = 250_000
INDEXES = ("ix_transaction_logs_account", "ix_transaction_logs_counterparty")
FILL = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address,
        counterparty_country, chain, occurred_at, received_at, decision, decision_reason, decided_at, policy_version)
    select
        'h' || number, account_id, case when place in (0, 1) then 'in' else 'out' end,
        (array['deposit', 'repayment', 'withdrawal', 'draw'])[place + 1],
        (array['collateral', 'borrow', 'collateral', 'borrow'])[place + 1],
        'USDC', amount, amount, address, 'CH', 'ethereum', at, at, 'accepted', 'no rule calls for a person', at, 'bench'
    from (
        select
            number, floor(random() * 4)::int as place, round((50 + random() * random() * 9000)::numeric, 2) as amount,
            case
                when number % 100 = 0 then 'heavy-' || number / 100 % :heavy
                else 'acct-' || floor(random() * :accounts)::int
            end as account_id,
            case
                when number % 20 = 0 then '0xexchange' || number / 20 % 5
                when number % 5000 = 1 then '0xmixer' || number % 500
                else '0x' || md5(floor(random() * 2 * :accounts)::text)
            end as address,
            cast(:now as timestamptz) - random() * interval '90 days' as at
        from generate_series(cast(:first as int), cast(:last as int)) as number
    ) as made
    """
)
LISTS = (
    "insert into compliance.list_versions (list_version_id, list_name, content_hash, state, loaded_at)"
    " values ('v1', 'mixers', 'x', 'active', now())",
    "insert into compliance.list_entries (list_version_id, entry_id, entry_hash, kind, topics, names, details)"
    " values ('v1', 'e1', 'h', 'wallet', '{crime.mixer}', '[]', '{}')",
    "insert into compliance.list_wallets (list_version_id, address, entry_id)"
    " select 'v1', '0xmixer' || n, 'e1' from generate_series(0, 499) as n",
    "insert into compliance.users (user_id, reference, account_id, kind, pii_sealed, pii_key_id, pii_wrapped_key,"
    " name_hash, declared_profile_usd, created_at, updated_at)"
    " select 'u' || n, 'r' || n, 'acct-' || n, 'person', '', 'k', '', 'h', 50000, now() - interval '1 year', now()"
    " from generate_series(0, :accounts - 1) as n",
)


@dataclass(frozen=True)
class Clear:
    """A wallet that no list names."""

    outcome: str = "clear"
    entries: Sequence[Any] = ()
    list_versions: Mapping[str, str] = field(default_factory=lambda: {"mixers": "v1"})


class MemoryLists:
    """Screening in memory: wallets are not what is measured."""

    def list_versions(self) -> Mapping[str, str]:
        """One list."""
        return {"mixers": "v1"}

    def screen_wallet(self, address: str, chain: str) -> Clear:
        """Clear."""
        return Clear()


def fill(engine: Engine, accounts: int, rows: int) -> None:
    """The history, its indexes built at the end."""
    with engine.begin() as connection:
        connection.execute(text("set local statement_timeout = 0"))
        kept = {
            row.indexname: row.indexdef
            for row in connection.execute(
                text("select indexname, indexdef from pg_indexes where schemaname = 'compliance'")
            )
            if row.indexname in INDEXES
        }
        for name in kept:
            connection.execute(text(f"drop index compliance.{name}"))
        given = {"accounts": accounts, "heavy": HEAVY_ACCOUNTS, "now": datetime.now(UTC)}
        for first in range(1, rows + 1, CHUNK):
            connection.execute(FILL, given | {"first": first, "last": min(rows, first + CHUNK - 1)})
        for statement in (*LISTS, *kept.values()):
            connection.execute(text(statement), {"accounts": accounts} if ":accounts" in statement else {})
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("set statement_timeout = 0"))
        connection.execute(text("vacuum analyze compliance.transaction_logs"))
        connection.execute(text("analyze compliance.users"))
        connection.execute(text("set statement_timeout = '15s'"))


def transaction(number: int, accounts: int) -> Transaction:
    """A deposit or withdrawal of an account; one in fifty is a heavy one's, one in twenty meets the exchange."""
    account = f"heavy-{number % HEAVY_ACCOUNTS}" if number % 50 == 0 else f"acct-{number * 7919 % accounts}"
    is_in = number % 2 == 0
    return Transaction(
        transaction_id=f"n{number}",
        account_id=account,
        direction=Direction.IN if is_in else Direction.OUT,
        kind="deposit" if is_in else "withdrawal",
        side="collateral",
        asset="USDC",
        quantity=Decimal(700),
        amount_usd=Decimal(700),
        chain="ethereum",
        occurred_at=datetime.now(UTC),
        counterparty_address=f"0xexchange{number % 5}" if number % 20 == 0 else f"0x{number:032x}",
        counterparty_country="CH",
        has_travel_rule_data=True,
        is_self_hosted=False,
    )


def run(
    gate: Gate, accounts: int, rate: float, seconds: float, threads: int
) -> tuple[list[float], list[float], Counter[str]]:
    """Latencies since due, times of the call itself, and the decisions."""
    latencies: list[float] = []
    services: list[float] = []
    decisions: Counter[str] = Counter()
    lock, numbers = threading.Lock(), iter(range(int(rate * seconds)))
    began = time.perf_counter() + 0.1

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            due = began + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            called = time.perf_counter()
            result = gate.check(transaction(number, accounts))
            ended = time.perf_counter()
            with lock:
                latencies.append(ended - due)
                services.append(ended - called)
                decisions[result.decision.value] += 1

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return latencies, services, decisions


def explain(engine: Engine, policies: PolicyBook) -> None:
    """The plan of the features of one transaction."""
    with engine.connect() as connection:
        basis = read_mixers(connection, basis_of(policies.current(datetime.now(UTC))))
        values = basis.values() | {
            "transaction_id": "x", "account_id": "acct-7", "direction": "in", "kind": "deposit", "side": "collateral",
            "amount_usd": Decimal(700), "address": "0xexchange1", "occurred_at": datetime.now(UTC),
        }  # fmt: skip
        for line in connection.execute(text(f"explain (analyze, buffers) {ONE.text}"), values).scalars():
            print("   ", line)


def replayed(engine: Engine, policies: PolicyBook, count: int = 20_000) -> None:
    """Transactions with features a second."""
    now = datetime.now(UTC)
    with engine.connect() as connection:
        basis = read_mixers(connection, basis_of(policies.current(now)))
    began = time.perf_counter()
    found = sum(1 for _ in islice(replay(engine, basis, now - timedelta(days=30), now), count))
    print(f"replay      {found / (time.perf_counter() - began):8.0f} transactions/s with their features ({found} read)")


def main() -> None:
    """Fill, warm up, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--replay", action="store_true")
    given = parser.parse_args()
    print_machine()
    with ground(("postgres",)) as settings:
        engine = postgres_engine(settings, "bench", pool_size=given.threads)
        upgrade(engine)
        began = time.perf_counter()
        fill(engine, given.accounts, given.rows)
        print(f"filled {given.rows:,} rows of {given.accounts:,} accounts in {time.perf_counter() - began:.0f} s")
        policies = PolicyBook.load()
        gate = Gate(engine, SystemClock(), policies, MemoryLists())
        if given.explain:
            explain(engine, policies)
        for number in range(200):
            gate.check(transaction(10_000_000 + number, given.accounts))

        def select_one() -> None:
            with engine.connect() as connection:
                connection.execute(text("select 1"))

        latencies, services, decisions = run(gate, given.accounts, given.rate, given.seconds, given.threads)
        reference = timed(select_one, 500)
        print(f"select 1    {cuts(reference)}")
        print(f"check       {cuts(services)}")
        print(f"since due   {cuts(latencies)}   {dict(decisions)}")
        p99 = sorted(latencies)[int(len(latencies) * 0.99)]
        median, base = sorted(services)[len(services) // 2], sorted(reference)[len(reference) // 2]
        verdict = "met" if p99 < TARGET_P99_S else "MISSED"
        print(f"a check costs {median / base:.1f} round trips (median to median); p99 below 50 ms: {verdict}")
        if given.replay:
            replayed(engine, policies)
        engine.dispose()


if __name__ == "__main__":
    main()

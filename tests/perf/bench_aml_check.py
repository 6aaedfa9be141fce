"""How long `POST /v1/compliance/aml-check` takes as callers see it, on a long history, at a fixed rate.

    python tests/perf/bench_aml_check.py [--accounts 100000] [--rows 1000000] [--rate 100] [--seconds 20] [--replay]

90 days of history are generated in embedded PostgreSQL: accounts at random, one row in a hundred of few heavy accounts,
one in twenty with a counterparty that many share (one of five serves the heavy accounts alone, few enough to be
followed), 500 mixers on a list. The API is a process of its own, as in production. Requests are due at a fixed rate; a
latency counts from when the request was due, waiting included. What a request costs the API and PostgreSQL in CPU
depends less on what else the machine does. References: the gate without the API, one call after the other, and
`select 1`. `--explain` shows the plan of the features of one transaction; `--replay` lets somebody replay a policy over
all of the history at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, islice
from typing import Any

import aiohttp
import httpx
import psutil
from _bench import cuts, ground, print_machine, process, timed, wait_until
from sqlalchemy import Engine, text

from compliance.aml.features import basis_of, read_mixers
from compliance.aml.features_sql import ONE
from compliance.aml.gate import Gate
from compliance.migrations import upgrade
from compliance.model import Direction, Transaction
from compliance.policy.book import PolicyBook
from compliance.screening.service import Screener
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

PATH = "/v1/compliance/aml-check"
HEAVY_ACCOUNTS = 20
IDLE_PCT = 10
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
                when number % 20 = 0 then '0x' || md5('exchange-' || number / 20 % 5) || '00000000'
                when number % 5000 = 1 then '0x' || md5('mixer-' || number / 5000 % 500) || '00000000'
                else '0x' || md5(floor(random() * 2 * :accounts)::text) || '00000000'
            end as address,
            cast(:now as timestamptz) - random() * interval '90 days' as at
        from generate_series(cast(:first as int), cast(:last as int)) as number
    ) as made
    """
)
LISTS = (
    "insert into compliance.list_versions (list_version_id, list_name, content_hash, state, loaded_at)"
    " values ('v1', 'mixers', 'x', 'active', now()), ('v2', 'sanctions', 'y', 'active', now())",
    "insert into compliance.list_entries (list_version_id, entry_id, entry_hash, kind, topics, names, details)"
    " values ('v1', 'e1', 'h', 'wallet', '{crime.mixer}', '[]', '{}'),"
    " ('v2', 'e2', 'h', 'wallet', '{sanction}', '[]', '{}')",
    "insert into compliance.list_wallets (list_version_id, address, entry_id)"
    " select 'v1', '0x' || md5('mixer-' || n) || '00000000', 'e1' from generate_series(0, 499) as n",
    "insert into compliance.users (user_id, reference, account_id, kind, pii_sealed, pii_key_id, pii_wrapped_key,"
    " name_hash, declared_profile_usd, created_at, updated_at)"
    " select 'u' || n, 'r' || n, 'acct-' || n, 'person', '', 'k', '', 'h', 50000, now() - interval '1 year', now()"
    " from generate_series(0, :accounts - 1) as n",
)


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
        # What is measured shares the disk with its own writes, not with those of the filling.
        connection.execute(text("checkpoint"))
        os.sync()
        connection.execute(text("set statement_timeout = '15s'"))


def exchange(number: int) -> str:
    """The address of an exchange, as `FILL` makes it."""
    digest = hashlib.md5(f"exchange-{number}".encode(), usedforsecurity=False).hexdigest()
    return f"0x{digest}00000000"


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
        counterparty_address=exchange(number // 20 % 5) if number % 20 == 0 else f"0x{number:040x}",
        counterparty_country="CH",
        has_travel_rule_data=True,
        is_self_hosted=False,
    )


def body(number: int, accounts: int) -> dict[str, Any]:
    """The same transaction as a request."""
    made = transaction(number, accounts)
    return {
        "transaction_id": made.transaction_id,
        "account_id": made.account_id,
        "asset": made.asset,
        "side": made.side,
        "kind": made.kind,
        "quantity": str(made.quantity),
        "amount_usd": str(made.amount_usd),
        "occurred_at": made.occurred_at.isoformat(),
        "chain": made.chain,
        "tx_hash": f"0x{number:064x}",
        "counterparty_address": made.counterparty_address,
        "counterparty_country": made.counterparty_country,
        "has_travel_rule_data": True,
        "is_self_hosted": False,
    }


@dataclass(frozen=True)
class Cpu:
    """CPU seconds of the API and of PostgreSQL's processes."""

    api: float
    postgres: float

    @classmethod
    def read(cls, api: psutil.Process, postmaster: psutil.Process) -> Cpu:
        """Now; of PostgreSQL also what its processes used that have ended."""
        ended = postmaster.cpu_times()
        running = sum(_cpu(each) for each in (postmaster, *postmaster.children()))
        return cls(_cpu(api), running + ended.children_user + ended.children_system)


def _cpu(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system)


def postmaster_of(engine: Engine) -> psutil.Process:
    """The process whose children are the server's."""
    with engine.connect() as connection:
        found = psutil.Process(connection.execute(text("select pg_backend_pid()")).scalar_one()).parent()
    assert found is not None
    return found


def token_of(settings: Settings, person: str) -> str:
    """The token of a person or program."""
    assert settings.compliance_users is not None
    for entry in settings.compliance_users.get_secret_value().replace("\n", ",").split(","):
        name, _, rest = entry.partition(":")
        if name == person:
            return rest.partition(":")[2]
    raise SystemExit(f"nobody is called {person}")


async def ask(
    settings: Settings, bodies: Sequence[Mapping[str, Any]], rate: float
) -> tuple[list[float], list[float], Counter[str]]:
    """Latencies since due, times of the request itself, and the answers."""
    latencies: list[float] = []
    services: list[float] = []
    answers: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {token_of(settings, 'escrow')}"}

    async def one(session: aiohttp.ClientSession, due: float, given: Mapping[str, Any]) -> None:
        called = time.perf_counter()
        try:
            async with session.post(PATH, json=given) as response:
                found = await response.json()
            answers[str(found.get("decision", response.status))] += 1
        except TimeoutError:
            answers["timeout"] += 1
        ended = time.perf_counter()
        latencies.append(ended - due)
        services.append(ended - called)

    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(settings.api_url, headers=headers, timeout=timeout) as session:
        began = time.perf_counter() + 0.1
        async with asyncio.TaskGroup() as group:
            for place, each in enumerate(bodies):
                due = began + place / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(session, due, each))
    return latencies, services, answers


def start_replay(settings: Settings, client: httpx.Client) -> None:
    """Replay the newest policy over 90 days."""
    order = {"version": PolicyBook.load().policies[-1].version, "days": 90}
    headers = {"Authorization": f"Bearer {token_of(settings, 'officer')}"}
    started = client.post("/v1/compliance/policies/replays", json=order, headers=headers).raise_for_status().json()
    path = f"/v1/compliance/policies/replays/{started['replay_id']}"
    wait_until(lambda: client.get(path, headers=headers).json()["done"] > 0, "the replay's first transactions")


def explain(engine: Engine, policies: PolicyBook) -> None:
    """The plan of the features of one transaction."""
    with engine.connect() as connection:
        basis = read_mixers(connection, basis_of(policies.current(datetime.now(UTC))))
        values = dict(basis.values) | {
            "transaction_id": "x", "account_id": "acct-7", "direction": "in", "kind": "deposit", "side": "collateral",
            "amount_usd": Decimal(700), "address": exchange(1), "occurred_at": datetime.now(UTC),
        }  # fmt: skip
        lines: Sequence[str] = connection.execute(text(f"explain (analyze) {ONE.text}"), values).scalars().all()
    print(*lines, sep="\n    ")


def measure(settings: Settings, engine: Engine, given: argparse.Namespace) -> None:
    """The route at the given rate, then the gate alone."""
    numbers = count(10_000_000)

    def bodies(size: int) -> list[dict[str, Any]]:
        return [body(number, given.accounts) for number in islice(numbers, size)]

    with process(settings, "-m", "api", name="api") as started, httpx.Client(base_url=settings.api_url) as client:
        wait_until(lambda: is_alive(client), "the API")
        # The tables of the matcher, which an API loads when it starts, hold everything up for some seconds.
        wait_until(lambda: psutil.Process(started.pid).cpu_percent(1.0) < IDLE_PCT, "the API's warming")
        for rate in (5, 20, given.rate):
            asyncio.run(ask(settings, bodies(int(4 * rate)), rate))
        if given.replay:
            start_replay(settings, client)
        api, postmaster, asked = psutil.Process(started.pid), postmaster_of(engine), int(given.rate * given.seconds)
        before = Cpu.read(api, postmaster)
        latencies, services, answers = asyncio.run(ask(settings, bodies(asked), given.rate))
        after = Cpu.read(api, postmaster)
    print(f"request     {cuts(services)}")
    print(f"since due   {cuts(latencies)}   {dict(answers)}")
    api_ms, postgres_ms = (after.api - before.api) * 1000 / asked, (after.postgres - before.postgres) * 1000 / asked
    print(f"CPU of a request: API {api_ms:.1f} ms, PostgreSQL {postgres_ms:.1f} ms")
    gate = Gate(engine, SystemClock(), PolicyBook.load(), Screener(engine, SystemClock()))
    checked = timed(lambda: gate.check(transaction(next(numbers), given.accounts)), 500)
    print(f"gate alone  {cuts(checked)}")
    reference = timed(lambda: select_one(engine), 500)
    print(f"select 1    {cuts(reference)}")
    p99 = sorted(latencies)[math.ceil(len(latencies) * 0.99) - 1]
    print(f"p99 below 50 ms at {given.rate:.0f}/s: {'met' if p99 < TARGET_P99_S else 'MISSED'}")


def is_alive(client: httpx.Client) -> bool:
    """Whether the API answers."""
    try:
        return client.get("/healthz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def select_one(engine: Engine) -> None:
    """The cheapest statement."""
    with engine.connect() as connection:
        connection.execute(text("select 1"))


def main() -> None:
    """Fill, warm up, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--replay", action="store_true")
    given = parser.parse_args()
    print_machine()
    with ground(("postgres",)) as settings:
        engine = postgres_engine(settings, "bench")
        upgrade(engine)
        began = time.perf_counter()
        fill(engine, given.accounts, given.rows)
        print(f"filled {given.rows:,} rows of {given.accounts:,} accounts in {time.perf_counter() - began:.0f} s")
        policies = PolicyBook.load()
        if given.explain:
            explain(engine, policies)
        measure(settings, engine, given)
        engine.dispose()


if __name__ == "__main__":
    main()

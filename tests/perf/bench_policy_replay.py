"""How fast a candidate policy judges the past: transactions a second, and what conditions in CEL cost.

    python tests/perf/bench_policy_replay.py [--transactions 10000] [--stored 50000]

Transactions with features are made in memory, one in twenty of them suspicious, and judged by one process: by a bare
loop over the rules (the reference), by the newest policy, by the same with a condition on every rule, and as a whole
replay that also counts. Rates of these are per second of the process's CPU, so that neighbours count less.

Then `--stored` transactions (0: none) of 90 days, ten of each account, are replayed from PostgreSQL as `ballast policy
replay` does it: the next chunk is read while one is judged. That is the rate which the target of 5,000 a second is
about; beside it stands what the busier of the two processes would reach with a core of its own.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

import psutil
from _bench import ground, print_machine
from sqlalchemy import text

from compliance.aml.features import Band, Features, WalletOutcome
from compliance.aml.rules import RULES
from compliance.migrations import upgrade
from compliance.model import Decision, Direction, Transaction
from compliance.policy.book import PolicyBook
from compliance.policy.history import read_past
from compliance.policy.judging import Judge
from compliance.policy.model import Policy
from compliance.policy.replay import Past, replay
from infra.runtime.postgres import postgres_engine

TARGET = 5_000
SUSPICIOUS_EVERY = 20
NOW = datetime(2026, 7, 15, tzinfo=UTC)
CONDITION = "amount_micro_usd >= usd(100) && count_24h >= 1"
FILL = text(
    """
    insert into compliance.transaction_logs
        (transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address,
        counterparty_country, chain, occurred_at, received_at, decision, features)
    select
        't-' || n, 'acct-' || n % :accounts, case when n % 3 = 0 then 'out' else 'in' end,
        case when n % 3 = 0 then 'withdrawal' else 'deposit' end, 'collateral', 'BTC', 1, 100 + n % 9000,
        'bc1q' || n % 2000, case when n % 50 = 0 then 'IQ' else 'DE' end, 'bitcoin', at, at, 'accepted',
        '{"stated": {"has_travel_rule_data": true, "is_self_hosted": false},
        "features": {"wallet": "clear", "wallet_entries": []}}'
    from generate_series(1, :rows) as n
    cross join lateral (select cast(:now as timestamptz) - n * interval '90 days' / :rows as at) as placed
    """
)


def make(count: int) -> list[Past]:
    """Transactions with features, the same each time."""
    rng = random.Random(7)
    return [_past(number, rng) for number in range(count)]


def _past(number: int, rng: random.Random) -> Past:
    is_suspicious = number % SUSPICIOUS_EVERY == 0
    amount = Decimal(rng.randrange(10_000, 900_000)) / 100
    bands = tuple(Band(Decimal(limit), 0, Decimal(0), rng.randrange(3), Decimal(0)) for limit in (1_000, 3_000, 10_000))
    features = Features(
        count_1h=rng.choice([11, 15]) if is_suspicious else rng.randrange(1, 9),
        count_24h=rng.randrange(1, 20),
        amount_24h_usd=amount,
        history_count_30d=rng.randrange(2, 40),
        p95_daily_30d_usd=Decimal(20_000),
        inflow_24h_usd=amount,
        outflow_24h_usd=amount / 10,
        last_activity_at=NOW - timedelta(days=rng.randrange(1, 60)),
        has_prior_deposit=True,
        declared_profile_usd=Decimal(50_000),
        has_mixer_list=True,
        is_mixer=False,
        bands=bands,
        wallet=WalletOutcome.CLEAR,
    )
    transaction = Transaction(
        transaction_id=f"t-{number}",
        account_id=f"acct-{number % 1000}",
        direction=rng.choice([Direction.IN, Direction.OUT]),
        kind=rng.choice(["deposit", "withdrawal"]),
        side="collateral",
        asset="BTC",
        quantity=Decimal(1),
        amount_usd=amount,
        chain="bitcoin",
        occurred_at=NOW,
        counterparty_address="bc1qexample",
        counterparty_country="IQ" if is_suspicious else "DE",
        has_travel_rule_data=True,
        is_self_hosted=False,
    )
    return Past(transaction, features, Decision.ACCEPTED, frozenset({"velocity_count"} if is_suspicious else ()))


def bare(policy: Policy) -> Callable[[Past], object]:
    """The reference: each rule in turn, no condition, no decision."""
    rules = [RULES[rule_id].ready(policy.parameters(rule_id)) for rule_id in policy.aml]

    def run(past: Past) -> object:
        return [rule(past.transaction, past.features) for rule in rules]

    return run


def with_conditions(policy: Policy) -> Policy:
    """The policy with a condition on every rule."""
    values = policy.model_dump()
    rules = {rule_id: {**rule, "when": CONDITION} for rule_id, rule in values["aml"].items()}
    return Policy.model_validate({**values, "aml": rules})


def rate(past: Sequence[Past], run: Callable[[Past], object]) -> float:
    """Transactions a second of CPU, after a few that are not counted."""
    for each in past[:200]:
        run(each)
    began = time.process_time()
    for each in past:
        run(each)
    return len(past) / (time.process_time() - began)


def show(name: str, found: float, reference: float) -> None:
    """One line of the result."""
    print(f"{name:<44} {found:>9,.0f} /s   {found / reference:5.2f} of the bare loop")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=10_000)
    parser.add_argument("--stored", type=int, default=50_000)
    options = parser.parse_args()
    print_machine()
    policy = PolicyBook.load().policies[-1]
    past = make(options.transactions)
    judge, conditioned = Judge(policy, RULES, Features), Judge(with_conditions(policy), RULES, Features)
    reference = rate(past, bare(policy))
    show("bare loop over the rules", reference, reference)
    show("judged by the policy", rate(past, lambda each: judge.judge(each.transaction, each.features)), reference)
    show(
        "judged with a CEL condition on every rule",
        rate(past, lambda each: conditioned.judge(each.transaction, each.features)),
        reference,
    )
    began = time.process_time()
    report = replay(judge, past)
    replayed = report.transactions / (time.process_time() - began)
    show("replay with its report", replayed, reference)
    if options.stored:
        stored(policy, judge, options.stored)


def stored(policy: Policy, judge: Judge, rows: int) -> None:
    """Replay transactions from PostgreSQL."""
    with ground(("postgres",)) as settings:
        engine = postgres_engine(settings, "bench")
        upgrade(engine)
        with engine.begin() as connection:
            connection.execute(FILL, {"rows": rows, "now": NOW, "accounts": max(1, rows // 10)})
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("vacuum analyze compliance.transaction_logs"))
            backend = psutil.Process(connection.execute(text("select pg_backend_pid()")).scalar_one())
        server = backend.parent()
        assert server is not None
        since = NOW - timedelta(days=91)
        replay(judge, islice(read_past(engine, policy, since, NOW), 2_000))
        own, theirs, began = time.process_time(), server_cpu(server), time.perf_counter()
        report = replay(judge, read_past(engine, policy, since, NOW))
        taken = time.perf_counter() - began
        own, theirs = time.process_time() - own, server_cpu(server) - theirs
        engine.dispose()
    count = report.transactions
    print(f"CPU of a transaction: {own / count * 1e6:.0f} us here, {theirs / count * 1e6:.0f} us in PostgreSQL")
    print(f"{'replay from PostgreSQL':<44} {count / taken:>9,.0f} /s   ({count:,} transactions)")
    alone = count / max(own, theirs)
    print(f"{'... with a core for each of the two':<44} {alone:>9,.0f} /s")
    print(
        f"target {TARGET:,} /s: {'met' if count / taken >= TARGET else 'missed'} ({count / taken / TARGET:.2f} of it)"
    )


def server_cpu(server: psutil.Process) -> float:
    """CPU seconds of PostgreSQL's processes, of those that have ended too."""
    used = [each.cpu_times() for each in (server, *server.children())]
    return float(sum(each.user + each.system for each in used) + used[0].children_user + used[0].children_system)


if __name__ == "__main__":
    main()

"""What the fan-in rule finds among simulated transfers with labelled schemes (IBM AMLSim), and at what price.

    python tests/perf/bench_aml_fan_in.py [--senders 3 5 7 10 15] [--windows 7 14 30 60] [--steps-per-day 1]

Every transfer between two accounts becomes what its receiver and its sender did; features come from the product's SQL
over embedded PostgreSQL, verdicts from the product's rule. An account is found if any of its transactions hits; the
base rate is the precision of flagging everybody.

Labels are on all accounts of a scheme, its senders too, whom no rule about receivers can find. Which accounts collect
is told by the data: labelled senders carry the step of their payments. So recall is shown of all and of the collectors.
The schemes need not pay out: besides the rule as shipped (a transfer out must follow) the half of it that counts
senders is shown. Other windows than the rule's 7 days are counted in memory from the same transfers: senders within the
window who sent nothing in the 24 days before it.
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import mean, median

from _bench import ground, print_machine
from sqlalchemy import Engine, text

from compliance.aml.features import Basis, replay
from compliance.aml.rules import RULES
from compliance.migrations import upgrade
from compliance.model import Direction, RuleOutcome
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import PROJECT_ROOT

ARCHIVE = PROJECT_ROOT.parent / "shared" / "data" / "amlsim" / "20K_fanin200.tgz"
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
COLUMNS = (
    "transaction_id, account_id, direction, kind, side, asset, quantity, amount_usd, counterparty_address, chain,"
    " occurred_at, received_at, decision"
)


def read(name: str) -> list[dict[str, str]]:
    """A table of the archive."""
    with tarfile.open(ARCHIVE) as archive:
        file = archive.extractfile(f"20K_fanin200/{name}")
        assert file is not None
        return list(csv.DictReader(io.StringIO(file.read().decode())))


def fill(engine: Engine, transfers: Iterable[dict[str, str]], steps_per_day: float) -> None:
    """Two rows a transfer: a withdrawal of the sender, a deposit of the receiver."""
    raw = engine.raw_connection()
    try:
        with raw.cursor() as cursor, cursor.copy(f"copy compliance.transaction_logs ({COLUMNS}) from stdin") as copy:
            for number, each in enumerate(transfers):
                at = BEGIN + timedelta(days=int(each["time"]) / steps_per_day)
                source, target, value = each["sourceNodeId"], each["targetNodeId"], each["value"]
                moved = ("collateral", "USD", value, value)
                copy.write_row(
                    (f"o{number}", source, "out", "withdrawal", *moved, f"0x{target}", "sim", at, at, "accepted")
                )
                copy.write_row(
                    (f"i{number}", target, "in", "deposit", *moved, f"0x{source}", "sim", at, at, "accepted")
                )
        raw.commit()
    finally:
        raw.close()
    with engine.begin() as connection:
        connection.execute(text("analyze compliance.transaction_logs"))


Transfer = tuple[int, str]
"""Step and sender of what an account received, in order."""


def received(transfers: Iterable[dict[str, str]]) -> dict[str, list[Transfer]]:
    """What each account received."""
    found: dict[str, list[Transfer]] = {}
    for each in transfers:
        found.setdefault(each["targetNodeId"], []).append((int(each["time"]), each["sourceNodeId"]))
    return {account: sorted(rows) for account, rows in found.items()}


def schemes(nodes: Iterable[dict[str, str]], incoming: Mapping[str, Sequence[Transfer]]) -> dict[str, list[Transfer]]:
    """Collectors with the payments of their scheme: from labelled senders, at the step that is the sender's own."""
    labelled = {node["nodeid"]: int(node["fraudStep"]) for node in nodes if node["isFraud"] == "1"}
    found = {
        account: [(step, sender) for step, sender in incoming.get(account, ()) if labelled.get(sender) == step]
        for account in labelled
    }
    return {account: rows for account, rows in found.items() if rows}


def most_senders(rows: Sequence[Transfer], window: float, before: float = 0) -> int:
    """The most senders within a window that sent nothing in `before` steps ahead of it."""
    most = 0
    for end, _ in rows:
        senders = {sender for step, sender in rows if end - window < step <= end}
        known = {sender for step, sender in rows if end - window - before < step <= end - window}
        most = max(most, len(senders - known))
    return most


def describe(collected: Mapping[str, Sequence[Transfer]], paid: Mapping[str, Sequence[int]], day: float) -> None:
    """What the schemes are like: the ceiling of any rule about windows."""
    senders = [len({sender for _, sender in rows}) for rows in collected.values()]
    spans = [(rows[-1][0] - rows[0][0]) / day for rows in collected.values()]
    out = sum(
        any(0 <= at - step <= 7 * day for step, _ in rows for at in paid.get(account, ()))
        for account, rows in collected.items()
    )
    print(f"{len(collected)} collectors: median {median(senders):.0f} senders over {median(spans):.0f} days")
    print(f"  pay anything out within 7 days of a payment of the scheme: {out / len(collected):.0%}")
    for days in (7, 14, 30, 60):
        found = [most_senders(rows, days * day) for rows in collected.values()]
        shares = "  ".join(f"{n}+: {sum(each >= n for each in found) / len(found):4.0%}" for n in (2, 3, 5, 7, 10))
        print(f"  senders of the scheme within {days:2} days: {shares}")


@dataclass(frozen=True)
class Truth:
    """Who is labelled, who collects, and how many accounts there are."""

    guilty: Set[str]
    collectors: Set[str]
    accounts: int

    def show(self, label: str, found: Set[str]) -> None:
        """Precision beside the base rate, and recall of both groups."""
        right = len(found & self.guilty)
        precision, base = right / len(found) if found else 0.0, len(self.guilty) / self.accounts
        print(
            f"  {label:<34} {len(found):6} {right:6} {precision:9.1%} {precision / base:6.1f}"
            f" {right / len(self.guilty):9.1%} {len(found & self.collectors) / len(self.collectors):9.1%}"
        )

    def head(self, title: str) -> None:
        """What stands in the columns."""
        names = ("flagged", "right", "precision", "lift", "of all", "of collectors")
        print(f"{title:<36} {names[0]:>6} {names[1]:>6} {names[2]:>9} {names[3]:>6} {names[4]:>9} {names[5]:>9}")


def by_rule(
    engine: Engine, thresholds: Sequence[int], end: datetime
) -> tuple[dict[int, set[str]], dict[int, set[str]], int]:
    """Accounts that the product's rule flags, those that the half without the transfer out flags, transactions."""
    shipped: dict[int, set[str]] = {each: set() for each in thresholds}
    counting: dict[int, set[str]] = {each: set() for each in thresholds}
    rules = {each: RULES["fan_in"].ready({"min_senders_7d": each}) for each in thresholds}
    basis, rows = Basis((), Decimal(90), Decimal(1000), ()), 0
    for each in replay(engine, basis, BEGIN - timedelta(days=1), end):
        rows += 1
        as_out = replace(each.transaction, direction=Direction.OUT)
        for fewest, rule in rules.items():
            if rule(as_out, each.features).outcome is not RuleOutcome.HIT:
                break
            counting[fewest].add(each.transaction.account_id)
            if each.transaction.direction is Direction.OUT:
                shipped[fewest].add(each.transaction.account_id)
    return shipped, counting, rows


def main() -> None:
    """Fill, replay, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--senders", type=int, nargs="+", default=[3, 5, 7, 10, 15])
    parser.add_argument("--windows", type=int, nargs="+", default=[7, 14, 30, 60])
    parser.add_argument("--steps-per-day", type=float, default=1.0)
    given = parser.parse_args()
    if not ARCHIVE.exists():
        raise SystemExit(f"The data is not here: {ARCHIVE}")
    print_machine()
    nodes, transfers, day = read("nodes.csv"), read("transactions.csv"), given.steps_per_day
    incoming = received(transfers)
    paid: dict[str, list[int]] = {}
    for each in transfers:
        paid.setdefault(each["sourceNodeId"], []).append(int(each["time"]))
    collected = schemes(nodes, incoming)
    truth = Truth({node["nodeid"] for node in nodes if node["isFraud"] == "1"}, collected.keys(), len(nodes))
    steps = [int(each["time"]) for each in transfers]
    print(f"{len(transfers):,} transfers in steps {min(steps)} to {max(steps)}; {len(nodes):,} accounts")
    print(f"{len(truth.guilty):,} labelled (base rate {len(truth.guilty) / len(nodes):.2%})")
    describe(collected, paid, day)
    senders = {True: list[int](), False: list[int]()}
    for node in nodes:
        account = node["nodeid"]
        senders[account in truth.guilty].append(len({sender for _, sender in incoming.get(account, ())}))
    busy, others = mean(senders[True]), mean(senders[False])
    print(f"senders of an account, ever, on average: {busy:.1f} of labelled ones, {others:.1f} of others")
    thresholds = sorted(given.senders)
    with ground(("postgres",)) as settings:
        engine = postgres_engine(settings, "bench")
        upgrade(engine)
        fill(engine, transfers, day)
        began = time.perf_counter()
        shipped, counting, rows = by_rule(engine, thresholds, BEGIN + timedelta(days=max(steps) / day + 1))
        taken = time.perf_counter() - began
        engine.dispose()
    print(f"replayed {rows:,} transactions in {taken:.0f} s ({rows / taken:,.0f}/s)")
    truth.head("the rule: senders in 7 days")
    for fewest in thresholds:
        truth.show(f"from {fewest} senders, then a transfer out", shipped[fewest])
    truth.head("... without the transfer out")
    for fewest in thresholds:
        truth.show(f"from {fewest} senders", counting[fewest])
    truth.head("other windows, without the transfer out")
    for days in given.windows:
        most = {account: most_senders(rows, days * day, 24 * day) for account, rows in incoming.items()}
        for fewest in thresholds:
            truth.show(f"from {fewest} senders in {days} days", {name for name, each in most.items() if each >= fewest})


if __name__ == "__main__":
    main()

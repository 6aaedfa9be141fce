"""What the fan-in rule finds among simulated transfers with labelled schemes (IBM AMLSim), and at what price.

    python tests/perf/bench_aml_fan_in.py [--senders 3 5 7 10 15] [--steps-per-day 1]

Every transfer between two accounts becomes what its receiver and its sender did; features come from the product's SQL
over embedded PostgreSQL, verdicts from the product's rule. Labels are on accounts: one is found if any of its
transactions hits. The schemes of this data gather and need not pay out, so besides the rule as shipped (a transfer out
must follow) the half of it that counts senders is shown. The base rate is the precision of flagging everybody.
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

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
                common = ("USD", value, value)
                copy.write_row(
                    (
                        f"o{number}",
                        source,
                        "out",
                        "withdrawal",
                        "collateral",
                        *common,
                        f"0x{target}",
                        "sim",
                        at,
                        at,
                        "accepted",
                    )
                )
                copy.write_row(
                    (
                        f"i{number}",
                        target,
                        "in",
                        "deposit",
                        "collateral",
                        *common,
                        f"0x{source}",
                        "sim",
                        at,
                        at,
                        "accepted",
                    )
                )
        raw.commit()
    finally:
        raw.close()
    with engine.begin() as connection:
        connection.execute(text("analyze compliance.transaction_logs"))


def show(label: str, found: set[str], guilty: set[str], everybody: int) -> None:
    """Precision and recall beside the base rate."""
    right = len(found & guilty)
    precision = right / len(found) if found else 0.0
    base = len(guilty) / everybody
    print(
        f"  {label:<40} flagged {len(found):6}  precision {precision:6.1%}  recall {right / len(guilty):6.1%}"
        f"  lift over base rate {precision / base:5.1f}"
    )


def main() -> None:
    """Fill, replay, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--senders", type=int, nargs="+", default=[3, 5, 7, 10, 15])
    parser.add_argument("--steps-per-day", type=float, default=1.0)
    given = parser.parse_args()
    if not ARCHIVE.exists():
        raise SystemExit(f"The data is not here: {ARCHIVE}")
    print_machine()
    nodes, transfers = read("nodes.csv"), read("transactions.csv")
    guilty = {node["nodeid"] for node in nodes if node["isFraud"] == "1"}
    steps = [int(each["time"]) for each in transfers]
    print(f"{len(nodes):,} accounts, {len(guilty):,} labelled")
    print(f"{len(transfers):,} transfers in steps {min(steps)} to {max(steps)}")
    incoming: dict[str, set[str]] = {}
    for each in transfers:
        incoming.setdefault(each["targetNodeId"], set()).add(each["sourceNodeId"])
    collectors = {node for node in guilty if len(incoming.get(node, set()) & guilty) >= 2}
    basis = Basis((), Decimal(90), Decimal(1000), ())
    with ground(("postgres",)) as settings:
        engine = postgres_engine(settings, "bench")
        upgrade(engine)
        fill(engine, transfers, given.steps_per_day)
        shipped: dict[int, set[str]] = {count: set() for count in given.senders}
        counting: dict[int, set[str]] = {count: set() for count in given.senders}
        began, rows = time.perf_counter(), 0
        rule, end = RULES["fan_in"], BEGIN + timedelta(days=max(steps) / given.steps_per_day + 1)
        for each in replay(engine, basis, BEGIN - timedelta(days=1), end):
            rows += 1
            as_out = replace(each.transaction, direction=Direction.OUT)
            for count in given.senders:
                parameters = {"min_senders_7d": count}
                if rule.evaluate(as_out, each.features, parameters).outcome is RuleOutcome.HIT:
                    counting[count].add(each.transaction.account_id)
                    if each.transaction.direction is Direction.OUT:
                        shipped[count].add(each.transaction.account_id)
        taken = time.perf_counter() - began
        engine.dispose()
    print(f"replayed {rows:,} transactions in {taken:.0f} s ({rows / taken:,.0f}/s)")
    for title, wanted in (("all labelled accounts", guilty), ("accounts that labelled ones pay into", collectors)):
        print(f"{title}: {len(wanted):,}, base rate {len(wanted) / len(nodes):.2%}")
        for count in given.senders:
            show(f"from {count} senders, then a transfer out", shipped[count], wanted, len(nodes))
            show(f"from {count} senders", counting[count], wanted, len(nodes))


if __name__ == "__main__":
    main()

"""What a look of the margin sensor and reads of `margin_health` cost on a large book, and with ten times its history.

    python tests/perf/bench_live_view_scale.py [--accounts 100000] [--looks 20]

Each account holds four assets and owes one; a thousand of them are below their margin call. The book is loaded as
Parquet, compacted by dbt, and followed by a tail of events that no compaction has seen. References of the same run:
`select 1`, and the sum over the compacted positions.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from _bench import NoPublisher, cuts, ground, print_machine, timed
from _book import load_events

from alerting.margin.store import MARGIN_EVENT_PUBLICATIONS, MARGIN_EVENTS, candidates
from alerting.margin.watch import look
from assets.dbt_build import invoke, prepare_manifest
from infra.embedded.provision import provision_warehouse
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.tables import MARKET_PRICES, SETTLEMENT_EVENTS

CALLED_ACCOUNTS = 1_000
PRICES = {"BTC": 60_000, "ETH": 3_000, "SOL": 150, "LINK": 15, "USDC": 1}
MODELS = ("+margin_health", "+liquidation_prices")
POSITIONS_SQL = "select sum(quantity) as quantity from intermediate.int_settlements__positions_compacted"
READS = {
    "margin_health, one account": "select * from risk.margin_health where account_id = 'acct-0000007'",
    "margin_health, by status": "select status, count(*) as accounts from risk.margin_health group by status",
    "margin_health, all accounts": "select account_id, status, health_pct from risk.margin_health",
}

# `number` counts events; each of an account's five positions gets `history` of them, equal in size.
HISTORY_SQL = """
with
    assets as (
        from (values ('BTC', 'collateral', 0.1), ('ETH', 'collateral', 2), ('SOL', 'collateral', 40),
            ('LINK', 'collateral', 400), ('USDC', 'borrow', 15000)) as assets (asset, side, quantity)
    ),
    events as (
        select
            account, asset, side, part,
            if(side = 'borrow' and account < {called}, 19500, quantity) / {history} as quantity,
            now() - interval 20 day - interval 1 day * ((account * 7 + part) % 300) as arrived_at
        from range({accounts}) as accounts (account), assets, range({history}) as parts (part)
        union all by name
        select
            account, 'BTC' as asset, 'collateral' as side, -1 as part, 0.000001 as quantity,
            now() - interval 1 hour - interval 1 minute * (account % 9000) as arrived_at
        from range({accounts}) as accounts (account)
    )
select
    format('ev_{{:07d}}_{{}}_{{}}', account, asset, part) as event_id,
    1::bigint as schema_version,
    format('acct-{{:07d}}', account) as account_id,
    asset, side,
    if(side = 'borrow', 'draw', 'deposit') as kind,
    quantity::decimal(38, 18) as quantity,
    arrived_at - interval 1 minute as occurred_at,
    'ethereum' as chain,
    format('0x{{:032x}}{{:032x}}', account, part + 1) as tx_hash,
    arrived_at as ingested_at,
    format('m_{{}}_{{}}_{{}}', account, asset, part) as message_id
from events
order by arrived_at
"""


def build_book(settings: Settings, accounts: int, history: int) -> int:
    """Load the book and its prices and run the models once; how many events it has."""
    warehouse = Warehouse(settings)
    provision_warehouse(settings)
    events = load_events(warehouse, HISTORY_SQL.format(called=CALLED_ACCOUNTS, accounts=accounts, history=history))
    append_prices(warehouse)
    build(settings)
    return events


def build(settings: Settings) -> None:
    """Run the models of the live path."""
    prepare_manifest(settings)
    result = invoke(settings, ["run", "--select", *MODELS])
    nodes = getattr(result.result, "results", [])
    failed = [f"{node.node.unique_id}: {node.message}" for node in nodes if node.status != "success"]
    if failed:
        raise SystemExit("\n".join(failed))


def append_prices(warehouse: Warehouse) -> None:
    """A fresh price of each asset."""
    now = SystemClock().now()
    warehouse.append(
        MARKET_PRICES.table_id,
        [
            {
                "price_id": f"px_{asset}_{now.timestamp()}",
                "schema_version": 1,
                "asset": asset,
                "price_usd": Decimal(price),
                "sources": "[]",
                "observed_at": now,
                "published_at": now,
                "quality": "ok",
                "is_simulated": True,
                "ingested_at": now,
                "message_id": f"m_{asset}",
            }
            for asset, price in PRICES.items()
        ],
    )


def append_tail(warehouse: Warehouse, accounts: int, count: int) -> None:
    """Events that arrive after the compaction."""
    now = SystemClock().now()
    warehouse.append(
        SETTLEMENT_EVENTS.table_id,
        [
            {
                "event_id": f"tail_{number}",
                "schema_version": 1,
                "account_id": f"acct-{number * 13 % accounts:07d}",
                "asset": "ETH",
                "side": "collateral",
                "kind": "deposit",
                "quantity": Decimal("0.0001"),
                "occurred_at": now - timedelta(minutes=1),
                "chain": "ethereum",
                "tx_hash": f"0x{number}",
                "ingested_at": now,
                "message_id": f"tail_{number}",
            }
            for number in range(count)
        ],
    )


def remember_calls(warehouse: Warehouse) -> None:
    """As after a look that called them all: an event of each called account, published."""
    now = SystemClock().now()
    ids = [(f"me_{number}", f"acct-{number:07d}") for number in range(CALLED_ACCOUNTS)]
    warehouse.append(
        MARGIN_EVENTS.table_id,
        [
            {
                "margin_event_id": event_id,
                "account_id": account_id,
                "severity": "margin_call",
                "episode_id": event_id,
                "transition_number": 1,
                "health_pct": Decimal(23),
                "collateral_usd": Decimal(24_000),
                "borrow_usd": Decimal(19_500),
                "detected_at": now,
                "is_simulated": True,
                "message": "{}",
            }
            for event_id, account_id in ids
        ],
    )
    warehouse.append(
        MARGIN_EVENT_PUBLICATIONS.table_id,
        [{"margin_event_id": event_id, "message_id": event_id, "published_at": now} for event_id, _ in ids],
    )


def measure(settings: Settings, looks: int) -> dict[str, float]:
    """Medians in milliseconds, printed with their spread."""
    warehouse = Warehouse(settings)
    medians: dict[str, float] = {}

    def run(name: str, call: Callable[[], object], times: int = looks) -> None:
        taken = timed(call, times)
        medians[name] = sorted(taken)[len(taken) // 2] * 1000
        print(f"  {name:<32} {cuts(taken)}", flush=True)

    run("select 1", lambda: warehouse.query("select 1 as one"))
    run("sum over compacted positions", lambda: warehouse.query(POSITIONS_SQL))
    remember_calls(warehouse)
    assert not candidates(warehouse).candidates
    run("look, no candidates", lambda: look(warehouse, NoPublisher(), SystemClock()))
    for count in (10, CALLED_ACCOUNTS):
        warehouse.query(f"delete from risk.margin_events where account_id < 'acct-{count:07d}'")
        assert len(candidates(warehouse).candidates) == count
        run(f"candidates, {count:,} found", lambda: candidates(warehouse))
    for name, sql in READS.items():
        run(name, lambda sql=sql: warehouse.query(sql), 3 if "all" in name else looks)  # type: ignore[misc]
    return medians


def main() -> None:
    """Build both books, measure both, and print what ten times the history costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--looks", type=int, default=20)
    parser.add_argument("--tail", type=int, default=2_000, help="events after the compaction")
    parser.add_argument("--histories", type=int, nargs="+", default=[1, 10], help="events of a position")
    options = parser.parse_args()
    print_machine()
    with ground(("bigquery",)) as common:
        books = [common.model_copy(update={"gcp_project": f"bench-{history}"}) for history in options.histories]
        for settings, history in zip(books, options.histories, strict=True):
            began = time.perf_counter()
            events = build_book(settings, options.accounts, history)
            append_tail(Warehouse(settings), options.accounts, options.tail)
            took = time.perf_counter() - began
            print(f"{options.accounts:,} accounts, {events:,} events, tail {options.tail:,} (built in {took:.0f} s)")
        found = []
        for settings, history in zip(books, options.histories, strict=True):
            print(f"history x {history}")
            append_prices(Warehouse(settings))
            found.append(measure(settings, options.looks))
    first, last = found[0], found[-1]
    print(f"{'':<34} {'/ select 1':>10} {'/ sum':>8}   with {options.histories[-1]} x history")
    for name, value in first.items():
        print(
            f"  {name:<32} {value / first['select 1']:>10.1f} {value / first['sum over compacted positions']:>8.1f}"
            f"   {last[name] / value:.2f} x"
        )
    print_machine()
    sys.stdout.flush()


if __name__ == "__main__":
    main()

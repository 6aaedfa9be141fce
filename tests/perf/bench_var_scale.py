"""Value at Risk of accounts x 20 assets x 500 scenarios in the embedded warehouse, and the live view meanwhile.

    python tests/perf/bench_var_scale.py [--accounts 10000 100000] [--assets 20] [--without-live]

VaR and ES at four confidences, with the interval of VaR, of every account and of the book: by the statements of the dbt
models, from long exposures to `int_risk__historical_var`. References of the same run: the naive join of exposures and
scenarios (VaR and ES at one confidence only), and NumPy: Storage Read of the exposures that SQL has made wide already,
matmul and partition, and load of the results. What dbt adds to the statements is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from _bench import cuts, ground, print_machine
from _book import load_closes, load_events, load_query

from alerting.margin.watch import look
from assets.dbt_build import invoke, prepare_manifest
from assets.risk.engine.estimators import historical
from assets.risk.engine.levels import STANDARD_CONFIDENCES
from infra.embedded.provision import provision_warehouse
from infra.runtime.bigquery import TableSpec, Warehouse, nullable, required
from infra.runtime.bulk import load_rows, read_table
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.tables import MARKET_PRICES

DAYS = 1_100
WINDOW = 500
VARS = {"var_windows": [WINDOW], "var_horizons_days": [1], "var_account_methods": [], "var_book_methods": []}
BEFORE = ("+int_risk__portfolio_exposures", "+int_risk__scenarios", "+margin_health", "+liquidation_prices")
OURS = (
    "int_risk__exposure_vectors",
    "int_risk__scenario_matrix",
    "int_risk__historical_tails",
    "int_risk__asset_coverage",
    "int_risk__portfolio_coverage",
    "int_risk__historical_var",
)
MART = ("int_risk__value_at_risk", "portfolio_var", "book_var")
RESULTS = TableSpec(
    "risk",
    "numpy_results",
    (
        required("portfolio_id", "STRING", "Account"),
        required("confidence", "NUMERIC", "Confidence"),
        nullable("var_usd", "NUMERIC", "VaR"),
        nullable("es_usd", "NUMERIC", "ES"),
    ),
    "What NumPy computed.",
)

NAIVE_SQL = f"""
create or replace table risk.naive_results as
select
    portfolio_id,
    - max(pnl_usd) as var_usd,
    - avg(pnl_usd) as es_usd
from (
    select portfolio_id, pnl_usd
    from (
        select
            exposures.portfolio_kind,
            exposures.portfolio_id,
            scenarios.scenario_date,
            sum(cast(exposures.net_exposure_usd as float64) * scenarios.simple_return) as pnl_usd
        from intermediate.int_risk__portfolio_exposures as exposures
        inner join intermediate.int_risk__scenarios as scenarios on exposures.asset = scenarios.asset
        where scenarios.scenario_age_days < {WINDOW}
        group by exposures.portfolio_kind, exposures.portfolio_id, scenarios.scenario_date
    )
    qualify row_number() over (partition by portfolio_kind, portfolio_id order by pnl_usd) <= 5
)
group by portfolio_id
"""

# Everybody holds all assets but the last one, and owes the last one.
EVENTS_SQL = """
select
    format('ev_{{:07d}}_{{}}', account, asset) as event_id,
    1::bigint as schema_version,
    format('acct-{{:07d}}', account) as account_id,
    format('A{{:02d}}', asset) as asset,
    if(asset = {assets} - 1, 'borrow', 'collateral') as side,
    if(asset = {assets} - 1, 'draw', 'deposit') as kind,
    (if(asset = {assets} - 1, 50.0 * {assets}, 0.1 + hash(account * 100 + asset) % 1000 / 500.0))::decimal(38, 18)
        as quantity,
    now() - interval 20 day - interval 1 minute as occurred_at,
    'ethereum' as chain,
    format('0x{{:032x}}{{:032x}}', account, asset) as tx_hash,
    now() - interval 20 day as ingested_at,
    format('m_{{}}_{{}}', account, asset) as message_id
from range({accounts}) as accounts (account), range({assets}) as assets (asset)
"""

PRICES_SQL = """
select
    format('px_{{}}_{{}}', asset, epoch_ms(now())) as price_id,
    1::bigint as schema_version,
    format('A{{:02d}}', asset) as asset,
    (if(asset = {assets} - 1, 1.0, 100.0))::decimal(38, 9) as price_usd,
    '[]' as sources,
    now() as observed_at,
    now() as published_at,
    'ok' as quality,
    true as is_simulated,
    now() as ingested_at,
    format('m_{{}}', asset) as message_id
from range({assets}) as assets (asset)
"""


class NoPublisher:
    """Publishing is not measured here."""

    def publish_all(self, topic: str, messages: list[bytes]) -> list[str]:
        """Ids as Pub/Sub would give them."""
        return [f"{topic}-{number}" for number in range(len(messages))]


@dataclass
class Watcher:
    """Looks of the margin sensor, one after the other, as long as the block lasts; seconds each."""

    settings: Settings
    assets: int
    taken: list[float] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watcher:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        warehouse = Warehouse(self.settings)
        while not self._ended.is_set():
            began = time.perf_counter()
            look(warehouse, NoPublisher(), SystemClock())
            self.taken.append(time.perf_counter() - began)
            self._ended.wait(0.2)


def run(settings: Settings, models: tuple[str, ...]) -> dict[str, float]:
    """Build the models; seconds of each."""
    result = invoke(settings, ["run", "--vars", json.dumps(VARS), "--select", *models])
    nodes: list[Any] = getattr(result.result, "results", [])
    failed = [f"{node.node.unique_id}: {node.message}" for node in nodes if node.status != "success"]
    if failed:
        raise SystemExit("\n".join(failed))
    return {str(node.node.name): float(node.execution_time) for node in nodes}


def statement(settings: Settings, sql: str) -> None:
    """Run one statement, however long it takes."""
    Warehouse(settings).client.query(sql, timeout=900).result(timeout=900)


def statements(settings: Settings, models: tuple[str, ...]) -> dict[str, float]:
    """Seconds of each model's compiled statement, sent as the references are."""
    nodes = json.loads((settings.dbt_target_dir / "manifest.json").read_text())["nodes"]
    taken = {}
    for model in models:
        sql = f"create or replace table intermediate.{model} as {nodes[f'model.ballast.{model}']['compiled_code']}"
        taken[model] = timed_once(lambda sql=sql: statement(settings, sql))  # type: ignore[misc]
    return taken


def timed_once(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def by_numpy(settings: Settings, assets: int) -> tuple[float, float]:
    """Seconds of matmul and partition alone, and of all with reading and loading."""
    warehouse = Warehouse(settings)
    warehouse.ensure_table(RESULTS)
    began = time.perf_counter()
    vectors = read_table(settings, "intermediate.int_risk__exposure_vectors")
    matrix = read_table(settings, "intermediate.int_risk__scenario_matrix")
    names = [f"a{asset:02d}" for asset in range(assets)]
    exposures = np.column_stack([vectors[f"{name}_usd"].to_numpy() for name in names])
    recent = matrix.filter(pa.compute.less(matrix["scenario_age_days"], WINDOW))
    returns = np.column_stack([recent[f"{name}_return"].to_numpy() for name in names])
    computing = time.perf_counter()
    tails = [
        historical(part @ returns.T, STANDARD_CONFIDENCES)
        for part in np.array_split(exposures, -(-len(exposures) // 2000))
    ]
    computed = time.perf_counter() - computing
    ids = vectors["portfolio_id"].combine_chunks()
    columns = []
    for place, confidence in enumerate(STANDARD_CONFIDENCES):
        figures = {
            name: pa.array(np.concatenate([getattr(part[place], name.removesuffix("_usd")) for part in tails]))
            for name in ("var_usd", "es_usd")
        }
        columns.append(
            pa.table(
                {
                    "portfolio_id": ids,
                    "confidence": pa.repeat(pa.scalar(confidence, pa.decimal128(38, 9)), len(ids)),
                    **{name: values.cast(pa.decimal128(38, 9)) for name, values in figures.items()},
                }
            )
        )
    load_rows(warehouse, RESULTS, pa.concat_tables(columns))
    return computed, time.perf_counter() - began


def agreement(warehouse: Warehouse) -> None:
    """All three ways must give the same figures, else none of the times means anything."""
    row = warehouse.query(
        """
        select
            count(*) as portfolios,
            max(abs(cast(naive.var_usd as float64) / cast(ours.var_usd as float64) - 1)) as naive_gap,
            max(abs(cast(n.es_usd as float64) / cast(ours.es_usd as float64) - 1)) as numpy_gap
        from intermediate.int_risk__historical_var as ours
        inner join risk.naive_results as naive on ours.portfolio_id = naive.portfolio_id
        inner join risk.numpy_results as n on ours.portfolio_id = n.portfolio_id and ours.confidence = n.confidence
        where ours.confidence = numeric '0.99'
        """
    )[0]
    print(f"  all three agree on {row['portfolios']:,} portfolios: {row['naive_gap']:.1e}, {row['numpy_gap']:.1e}")
    if not row["portfolios"] or max(row["naive_gap"], row["numpy_gap"]) > 1e-9:
        raise SystemExit("the ways disagree")


def server_memory(settings: Settings) -> float:
    """Peak resident memory of the warehouse's process, in gigabytes."""
    port = int((settings.bigquery_endpoint or "").rsplit(":", 1)[1])
    for process in psutil.process_iter():
        try:
            if any(each.laddr.port == port and each.status == "LISTEN" for each in process.net_connections()):
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
                peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
                return int(peak.split()[1]) / 1024**2
        except psutil.Error:
            continue
    return float("nan")


def measure(settings: Settings, accounts: int, assets: int, with_live: bool) -> float:
    """Print one size; seconds of our models."""
    warehouse = Warehouse(settings)
    provision_warehouse(settings)
    prepare_manifest(settings)
    load_events(warehouse, EVENTS_SQL.format(accounts=accounts, assets=assets))
    load_closes(warehouse, [f"A{asset:02d}" for asset in range(assets)], DAYS)
    load_query(warehouse, MARKET_PRICES, PRICES_SQL.format(assets=assets))
    run(settings, BEFORE)
    print(f"{accounts:,} accounts x {assets} assets x {WINDOW} scenarios", flush=True)
    naive = timed_once(lambda: statement(settings, NAIVE_SQL))
    with_dbt = timed_once(lambda: run(settings, OURS))
    times = statements(settings, OURS)
    ours = sum(times.values())
    computed, whole = by_numpy(settings, assets)
    agreement(warehouse)
    marts = sum(run(settings, MART).values())
    rows = (accounts + 1) * len(STANDARD_CONFIDENCES)
    print(f"  rows of VaR and ES               {rows:>10,}")
    parts = ", ".join(f"{name.removeprefix('int_risk__')} {seconds:.2f}" for name, seconds in times.items())
    print(f"  statements of the models         {ours:10.2f} s   {parts}")
    print(f"  dbt, the same                    {with_dbt:10.2f} s   and the marts from there {marts:.2f} s")
    print(f"  naive join, VaR and ES at 99%    {naive:10.2f} s   {naive / ours:5.2f} x ours")
    print(f"  NumPy, read and load included    {whole:10.2f} s   ours is {ours / whole:5.2f} x NumPy")
    print(f"  NumPy, matmul and partition      {computed:10.2f} s   ours is {ours / computed:5.2f} x")
    print(f"  per 1,000 accounts               {ours / accounts * 1e6:10.1f} ms")
    print(f"  peak memory of the warehouse     {server_memory(settings):10.2f} GB", flush=True)
    if with_live:
        load_query(warehouse, MARKET_PRICES, PRICES_SQL.format(assets=assets))
        with Watcher(settings, assets) as alone:
            time.sleep(10)
        with Watcher(settings, assets) as beside:
            began = time.perf_counter()
            run(settings, (*OURS, *MART))
            building = time.perf_counter() - began
        print(f"  a look of the sensor alone       {cuts(alone.taken)}")
        print(
            f"  ... while the mart builds ({building:.0f} s) {cuts(beside.taken)}  ({len(beside.taken)} looks)",
            flush=True,
        )
    return ours


def main() -> None:
    """Measure each size on a server of its own, and how the cost of an account changes between them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, nargs="+", default=[10_000])
    parser.add_argument("--assets", type=int, default=20)
    parser.add_argument("--without-live", action="store_true")
    options = parser.parse_args()
    print_machine()
    costs = []
    for accounts in options.accounts:
        with ground(("bigquery",)) as settings:
            costs.append(measure(settings, accounts, options.assets, not options.without_live) / accounts)
    if len(costs) > 1:
        print(f"an account costs {costs[-1] / costs[0]:.2f} x as much at the largest size as at the smallest")
    print_machine()
    sys.stdout.flush()


if __name__ == "__main__":
    main()

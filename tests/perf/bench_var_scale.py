"""Value at Risk of accounts x 20 assets x 500 scenarios in the embedded warehouse, and the live view meanwhile.

    python tests/perf/bench_var_scale.py [--accounts 10000 100000] [--assets 20] [--without-live]

VaR and ES at four confidences, with the interval of VaR, of every account and of the book, from the same long tables in
three ways: the statements of the dbt models; the naive join of exposures and scenarios (at one confidence only); and
NumPy: Storage Read, a wide matrix, matmul and partition, and load of the results. What the models do besides (reasons,
one row a confidence), what dbt adds, and what NumPy takes from exposures that SQL has made wide, is printed too.
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
from _bench import NoPublisher, cuts, ground, print_machine
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
ESTIMATING = ("int_risk__exposure_vectors", "int_risk__scenario_matrix", "int_risk__historical_tails")
LABELLING = ("int_risk__asset_coverage", "int_risk__portfolio_coverage", "int_risk__historical_var")
OURS = (*ESTIMATING, *LABELLING)
MART = ("int_risk__value_at_risk", "portfolio_var", "book_var")
RESULTS = TableSpec(
    "risk",
    "numpy_results",
    (
        required("portfolio_key", "STRING", "Kind and id"),
        required("confidence", "NUMERIC", "Confidence"),
        nullable("var_usd", "NUMERIC", "VaR"),
        nullable("es_usd", "NUMERIC", "ES"),
        nullable("var_lower_usd", "NUMERIC", "Milder end of the interval of VaR"),
        nullable("var_upper_usd", "NUMERIC", "Worse end of the interval of VaR"),
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


def read_long(settings: Settings) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Ids, exposures (portfolios, assets) and returns (scenarios, assets) from the long tables that SQL reads too."""
    columns = ["portfolio_kind", "portfolio_id", "asset", "net_exposure_usd"]
    long = read_table(settings, "intermediate.int_risk__portfolio_exposures", columns)
    keys = pa.compute.binary_join_element_wise(long["portfolio_kind"], long["portfolio_id"], ":").combine_chunks()
    encoded = keys.dictionary_encode()
    asset = long["asset"].combine_chunks().dictionary_encode()
    exposures = np.zeros((len(encoded.dictionary), len(asset.dictionary)))
    values = long["net_exposure_usd"].cast(pa.float64()).to_numpy()
    exposures[encoded.indices.to_numpy(), asset.indices.to_numpy()] = values
    found = read_table(
        settings,
        "intermediate.int_risk__scenarios",
        ["asset", "horizon_days", "scenario_age_days", "simple_return"],
    )
    found = found.filter(pa.compute.less(found["scenario_age_days"], WINDOW))
    places = pa.compute.index_in(found["asset"].combine_chunks(), asset.dictionary).to_numpy()
    returns = np.zeros((WINDOW, len(asset.dictionary)))
    returns[WINDOW - 1 - found["scenario_age_days"].to_numpy(), places] = found["simple_return"].to_numpy()
    return encoded.dictionary, exposures, returns


def read_wide(settings: Settings, assets: int) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """The same from the wide tables of the models."""
    vectors = read_table(settings, "intermediate.int_risk__exposure_vectors")
    matrix = read_table(settings, "intermediate.int_risk__scenario_matrix")
    names = [f"a{asset:02d}" for asset in range(assets)]
    recent = matrix.filter(pa.compute.less(matrix["scenario_age_days"], WINDOW))
    exposures = np.column_stack([vectors[f"{name}_usd"].to_numpy() for name in names])
    returns = np.column_stack([recent[f"{name}_return"].to_numpy() for name in names])
    return vectors["portfolio_key"].combine_chunks(), exposures, returns


def by_numpy(settings: Settings, read: Callable[[], tuple[pa.Array, np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Seconds of matmul and partition alone, and of all with reading and loading."""
    warehouse = Warehouse(settings)
    warehouse.ensure_table(RESULTS)
    began = time.perf_counter()
    keys, exposures, returns = read()
    computing = time.perf_counter()
    parts = np.array_split(exposures, -(-len(exposures) // 2000))
    tails = [historical(part @ returns.T, STANDARD_CONFIDENCES) for part in parts]
    computed = time.perf_counter() - computing
    columns = []
    for place, confidence in enumerate(STANDARD_CONFIDENCES):
        figures = {
            f"{name}_usd": pa.array(np.concatenate([getattr(part[place], name) for part in tails]))
            for name in ("var", "es", "var_lower", "var_upper")
        }
        columns.append(
            pa.table(
                {
                    "portfolio_key": keys,
                    "confidence": pa.repeat(pa.scalar(confidence, pa.decimal128(38, 9)), len(keys)),
                    **{
                        name: pa.array(values.to_numpy(), mask=np.isnan(values.to_numpy())).cast(pa.decimal128(38, 9))
                        for name, values in figures.items()
                    },
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
        inner join risk.numpy_results as n
            on concat(ours.portfolio_kind, ':', ours.portfolio_id) = n.portfolio_key and ours.confidence = n.confidence
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


def measure(settings: Settings, accounts: int, assets: int, with_live: bool, with_naive: bool) -> float:
    """Print one size; seconds of our models."""
    warehouse = Warehouse(settings)
    provision_warehouse(settings)
    prepare_manifest(settings)
    load_events(warehouse, EVENTS_SQL.format(accounts=accounts, assets=assets))
    load_closes(warehouse, [f"A{asset:02d}" for asset in range(assets)], DAYS)
    load_query(warehouse, MARKET_PRICES, PRICES_SQL.format(assets=assets))
    run(settings, BEFORE)
    print(f"{accounts:,} accounts x {assets} assets x {WINDOW} scenarios", flush=True)
    naive = timed_once(lambda: statement(settings, NAIVE_SQL)) if with_naive else float("nan")
    with_dbt = timed_once(lambda: run(settings, OURS))
    times = statements(settings, OURS)
    ours = sum(times[name] for name in ESTIMATING)
    labels = sum(times[name] for name in LABELLING)
    _computed, from_wide = by_numpy(settings, lambda: read_wide(settings, assets))
    computed, whole = by_numpy(settings, lambda: read_long(settings))
    if with_naive:
        agreement(warehouse)
    marts = sum(run(settings, MART).values())
    rows = (accounts + 1) * len(STANDARD_CONFIDENCES)
    parts = ", ".join(f"{name.removeprefix('int_risk__')} {times[name]:.2f}" for name in ESTIMATING)
    print(f"  rows of VaR and ES               {rows:>10,}")
    print(f"  our statements                   {ours:10.2f} s   {parts}")
    print(f"  ... reasons and rows             {labels:10.2f} s")
    print(f"  ... all of it by dbt             {with_dbt:10.2f} s   and the marts from there {marts:.2f} s")
    print(f"  naive join, VaR and ES at 99%    {naive:10.2f} s   {naive / ours:6.2f} x ours")
    print(f"  NumPy, end to end                {whole:10.2f} s   ours is {ours / whole:5.2f} x NumPy")
    last = times[ESTIMATING[-1]] / from_wide
    print(f"  NumPy, from our wide tables      {from_wide:10.2f} s   our last statement is {last:5.2f} x")
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
    parser.add_argument("--without-naive", action="store_true", help="it takes minutes for 100,000 accounts")
    options = parser.parse_args()
    print_machine()
    costs = []
    for accounts in options.accounts:
        with ground(("bigquery",)) as settings:
            costs.append(
                measure(settings, accounts, options.assets, not options.without_live, not options.without_naive)
                / accounts
            )
    if len(costs) > 1:
        print(f"an account costs {costs[-1] / costs[0]:.2f} x as much at the largest size as at the smallest")
    print_machine()
    sys.stdout.flush()


if __name__ == "__main__":
    main()

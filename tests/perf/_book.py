"""Large books for benchmarks, loaded as Parquet: events by a DuckDB query, and closes of any number of assets."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from infra.runtime.bigquery import TableSpec, Warehouse
from infra.runtime.clock import SystemClock
from ingest.tables import DAILY_CLOSES, PRICE_SETS, SETTLEMENT_EVENTS

PRICE_SET_ID = "px-benchmark"


def load_query(warehouse: Warehouse, spec: TableSpec, select: str) -> int:
    """Rows of a DuckDB query into a table of the warehouse; how many there were."""
    file = _file(warehouse, spec)
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'")
        db.execute(f"copy ({select}) to '{file}' (format parquet)")
    return _load(warehouse, spec, file)


def load_events(warehouse: Warehouse, select: str) -> int:
    """Settlement events of a DuckDB query; how many there were."""
    return load_query(warehouse, SETTLEMENT_EVENTS, select)


def load_closes(warehouse: Warehouse, assets: list[str], days: int, seed: int = 7) -> date:
    """A price set of correlated fat-tailed closes up to yesterday, activated; the last day."""
    now = SystemClock().now()
    last = now.date() - timedelta(days=1)
    generator = np.random.default_rng(seed)
    market = generator.standard_t(4, days)
    dates = [last - timedelta(days=back) for back in range(days - 1, -1, -1)]
    tables = []
    for place, asset in enumerate(assets):
        own = generator.standard_t(4, days)
        # The last one is what everybody owes: a stablecoin.
        size = 0.0002 if place == len(assets) - 1 else 0.02
        moves = np.clip(size * (0.7 * market + 0.7 * own), -0.5, 0.5)
        path = np.cumprod(1 + moves)
        closes = path / path[-1] * (1.0 if place == len(assets) - 1 else 100.0)
        tables.append(
            pa.table(
                {
                    "price_set_id": [PRICE_SET_ID] * days,
                    "asset": [asset] * days,
                    "price_date": pa.array(dates, pa.date32()),
                    "close_usd": pa.array(closes, pa.float64()).cast(pa.decimal128(38, 9)),
                    "source": ["simulated"] * days,
                    "loaded_at": pa.array([now] * days, pa.timestamp("us", tz="UTC")),
                }
            )
        )
    file = _file(warehouse, DAILY_CLOSES)
    pq.write_table(pa.concat_tables(tables), file)
    _load(warehouse, DAILY_CLOSES, file)
    warehouse.append(PRICE_SETS.table_id, [_activation(now, assets, dates)])
    return last


def _activation(now: datetime, assets: list[str], dates: list[date]) -> dict[str, object]:
    return {
        "price_set_id": PRICE_SET_ID,
        "activated_at": now,
        "closes": len(assets) * len(dates),
        "first_date": dates[0],
        "last_date": dates[-1],
        "simulated_assets": json.dumps(assets),
    }


def _file(warehouse: Warehouse, spec: TableSpec) -> Path:
    file = warehouse.settings.state_dir / "gcs" / "bench" / f"{warehouse.settings.gcp_project}-{spec.name}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _load(warehouse: Warehouse, spec: TableSpec, file: Path) -> int:
    job = warehouse.client.load_table_from_uri(
        f"gs://bench/{file.name}",
        f"{warehouse.settings.gcp_project}.{spec.table_id}",
        job_config=bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND"),
    )
    job.result(timeout=600)
    return int(job.output_rows or 0)

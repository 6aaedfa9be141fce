"""Value at Risk of the marts against a recomputation from the CSV files, which shares nothing with the models."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import PROJECT_ROOT, Settings
from ingest.closes import load_price_set
from ingest.market import collect_book, collect_closes
from ingest.messages import DECREASES, Kind, SettlementEvent, Side

REAL_CLOSES = PROJECT_ROOT.parent / "shared" / "data" / "prices_daily"
pytestmark = [
    pytest.mark.embedded,
    pytest.mark.xdist_group("built_warehouse"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(not REAL_CLOSES.is_dir(), reason="the real daily closes are not on this machine"),
]

WINDOW = 500
CONFIDENCES_BP = (9500, 9750, 9900)
ACCOUNTS = 25
VAR_SQL = """
select account_id as portfolio_id, as_of_date, confidence, observations, tail_observations, var_usd, es_usd, reason,
    window_observations, price_set_id, method, estimator, horizon_days, is_simulated, code_version, computed_at
from risk.portfolio_var
union all
select 'book', as_of_date, confidence, observations, tail_observations, var_usd, es_usd, reason,
    window_observations, price_set_id, method, estimator, horizon_days, is_simulated, code_version, computed_at
from risk.book_var
"""

Tails = dict[tuple[str, Decimal], tuple[Decimal, Decimal]]


@dataclass(frozen=True)
class Built:
    """A project in which the daily models are built, and what it was built from."""

    settings: Settings
    events: Sequence[SettlementEvent]
    build: Callable[[], Any]

    def rows(self) -> dict[tuple[str, Decimal], dict[str, Any]]:
        """The rows of both marts by portfolio and confidence, of which each may stand once."""
        found = Warehouse(self.settings).query(VAR_SQL)
        rows = {(row["portfolio_id"], row["confidence"]): row for row in found}
        assert len(rows) == len(found)
        return rows


@pytest.fixture(scope="module")
def built(
    new_project: Callable[..., Settings],
    dbt_build: Callable[[Settings, Sequence[str]], Any],
    deliver_events: Callable[..., None],
) -> Built:
    """Real closes with simulated stablecoins, a simulated book and four accounts with edges."""
    settings = new_project("ballast-var", prices_dir=REAL_CLOSES, book_accounts=ACCOUNTS)
    clock = SystemClock()
    found = collect_closes(settings, clock)
    load_price_set(Warehouse(settings), found, clock)
    events = [*collect_book(settings, found), *_edges(found.last_date)]
    deliver_events(settings, [*events, *events[:50]], clock.now())

    def build() -> Any:
        return dbt_build(settings, ["+tag:daily"])

    build()
    return Built(settings, events, build)


def _edges(last_date: date) -> list[SettlementEvent]:
    """A short position, one that nets within an asset, and events around the end of the last day."""
    midnight = datetime.combine(last_date + timedelta(days=1), time(), UTC)
    before, early = midnight - timedelta(milliseconds=1), midnight - timedelta(days=30)
    movements = [
        ("edge-short", "BTC", Side.BORROW, Kind.DRAW, "1.25", early),
        ("edge-short", "USDC", Side.COLLATERAL, Kind.DEPOSIT, "200000", early),
        ("edge-netted", "ETH", Side.COLLATERAL, Kind.DEPOSIT, "10.000000000000000001", early),
        ("edge-netted", "ETH", Side.BORROW, Kind.DRAW, "4", early),
        ("edge-netted", "SOL", Side.COLLATERAL, Kind.DEPOSIT, "5", early),
        ("edge-netted", "SOL", Side.COLLATERAL, Kind.WITHDRAWAL, "5", early),
        ("edge-midnight", "XRP", Side.COLLATERAL, Kind.DEPOSIT, "1000", before),
        ("edge-midnight", "XRP", Side.COLLATERAL, Kind.DEPOSIT, "500000", midnight),
        ("edge-too-new", "BTC", Side.COLLATERAL, Kind.DEPOSIT, "3", midnight),
    ]
    return [
        SettlementEvent(
            event_id=f"edge-{number}",
            account_id=account_id,
            asset=asset,
            side=side,
            kind=kind,
            quantity=Decimal(quantity),
            occurred_at=occurred_at,
            chain="ethereum",
            tx_hash=f"0x{number}",
        )
        for number, (account_id, asset, side, kind, quantity, occurred_at) in enumerate(movements)
    ]


def _read(folder: Path) -> dict[str, dict[date, Decimal]]:
    closes: dict[str, dict[date, Decimal]] = {}
    for file in folder.glob("*.csv"):
        with file.open(newline="") as lines:
            closes[file.stem] = {date.fromisoformat(d): Decimal(close) for d, close in list(csv.reader(lines))[1:]}
    return closes


def _cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def _recomputed(closes: Mapping[str, Mapping[date, Decimal]], events: Iterable[SettlementEvent]) -> Tails:
    """VaR and ES by portfolio and confidence, in exact decimals and by sorting each portfolio's losses."""
    as_of = min(max(days) for days in closes.values())
    days = [as_of - timedelta(days=back) for back in range(WINDOW)]
    quantities: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for event in events:
        if event.occurred_at.date() <= as_of:
            sign = (-1 if event.kind in DECREASES else 1) * (-1 if event.side is Side.BORROW else 1)
            quantities[event.account_id][event.asset] += sign * event.quantity
            quantities["book"][event.asset] += sign * event.quantity
    returns = {asset: [of[day] / of[day - timedelta(days=1)] - 1 for day in days] for asset, of in closes.items()}
    tails: Tails = {}
    for portfolio, held in quantities.items():
        exposures = {asset: quantity * closes[asset][as_of] for asset, quantity in held.items() if quantity}
        losses = sorted(
            (-sum((usd * returns[asset][i] for asset, usd in exposures.items()), Decimal(0)) for i in range(WINDOW)),
            reverse=True,
        )
        for basis_points in CONFIDENCES_BP:
            k = -(-WINDOW * (10000 - basis_points) // 10000)
            confidence = Decimal(basis_points) / 10000
            tails[portfolio, confidence] = _cents(losses[k - 1]), _cents(sum(losses[:k], Decimal(0)) / k)
    return tails


@pytest.fixture(scope="module")
def recomputed(built: Built) -> Tails:
    """VaR and ES from the CSV files: the real ones, and those that the simulator wrote of the stablecoins."""
    with localcontext() as context:
        context.prec = 60
        closes = _read(REAL_CLOSES) | _read(built.settings.state_dir / "simulated")
        return _recomputed(closes, built.events)


def test_var__equals_the_recomputation_to_the_cent(built: Built, recomputed: Tails) -> None:
    rows = built.rows()
    assert {key: (row["var_usd"], row["es_usd"]) for key, row in rows.items()} == recomputed
    assert len(recomputed) == (ACCOUNTS + 4) * len(CONFIDENCES_BP)
    assert {row["reason"] for row in rows.values()} == {None}


def test_var__rows_name_estimator_window_and_tail(built: Built) -> None:
    named = {
        (r["confidence"], r["tail_observations"], r["window_observations"], r["observations"], r["horizon_days"])
        for r in built.rows().values()
    }
    assert named == {
        (Decimal("0.95"), 25, 500, 500, 1),
        (Decimal("0.975"), 13, 500, 500, 1),
        (Decimal("0.99"), 5, 500, 500, 1),
    }
    assert {(r["method"], r["estimator"]) for r in built.rows().values()} == {
        ("historical_simulation", "kth_worst_loss")
    }
    assert built.rows()["book", Decimal("0.99")]["is_simulated"] is True
    assert built.rows()["edge-midnight", Decimal("0.99")]["is_simulated"] is False


def test_var__rebuilt_for_the_same_day_is_identical(built: Built) -> None:
    before = built.rows()
    built.build()
    after = built.rows()
    changed = {key for key in before if after[key]["computed_at"] > before[key]["computed_at"]}
    assert changed == set(before)
    assert [{**row, "computed_at": None} for _, row in sorted(after.items())] == [
        {**row, "computed_at": None} for _, row in sorted(before.items())
    ]

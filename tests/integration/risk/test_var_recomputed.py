"""Value at Risk of the marts against a recomputation from the CSV files, which shares nothing with models or engine."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from math import comb
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

WINDOWS, HORIZONS, CONFIDENCES_BP = (250, 500, 1000), (1, 10), (9500, 9750, 9900, 9990)
STANDARD_WINDOW = 500
ACCOUNTS = 25
# Days before the last one without a close of LINK: outside of 500 days and ten more, within 1,000.
GAP_ASSET, GAP_DAYS = "LINK", range(700, 703)
VAR_SQL = """
select account_id as portfolio_id, * except (account_id)
from risk.portfolio_var
union all
select 'book' as portfolio_id, *
from risk.book_var
"""
FIGURES = ("var_usd", "es_usd", "var_lower_usd", "var_upper_usd")
PARTS = ("component_var_usd", "component_es_usd", "incremental_var_usd", "standalone_var_usd")

Key = tuple[str, int, int, Decimal]
PartKey = tuple[str, str, Decimal]
Figures = dict[str, Decimal | None]


@dataclass(frozen=True)
class Built:
    """A project in which the daily models are built, and what it was built from."""

    settings: Settings
    events: Sequence[SettlementEvent]
    rebuild: Callable[[], None]

    def rows(self) -> dict[Key, dict[str, Any]]:
        """The rows of both marts by portfolio, horizon, window and confidence, of which each may stand once."""
        found = Warehouse(self.settings).query(VAR_SQL)
        rows = {(r["portfolio_id"], r["horizon_days"], r["window_observations"], r["confidence"]): r for r in found}
        assert len(rows) == len(found)
        return rows

    def components(self) -> dict[PartKey, dict[str, Any]]:
        """The rows of `risk.var_components` by kind, part and confidence, of which each may stand once."""
        found = Warehouse(self.settings).query("select * from risk.var_components")
        rows = {(row["part_kind"], row["part_id"], row["confidence"]): row for row in found}
        assert len(rows) == len(found)
        return rows


@pytest.fixture(scope="module")
def built(
    new_project: Callable[..., Settings],
    dbt_build: Callable[[Settings, Sequence[str]], Any],
    dbt_run: Callable[[Settings, Sequence[str]], None],
    deliver_events: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    """Real closes of which one asset lacks three days, simulated stablecoins and book, and accounts with edges."""
    folder = tmp_path_factory.mktemp("closes")
    for file in REAL_CLOSES.glob("*.csv"):
        shutil.copy(file, folder)
    lines = (folder / f"{GAP_ASSET}.csv").read_text().splitlines(keepends=True)
    kept = [line for back, line in enumerate(reversed(lines)) if back not in GAP_DAYS]
    (folder / f"{GAP_ASSET}.csv").write_text("".join(reversed(kept)))
    settings = new_project("ballast-var", prices_dir=folder, book_accounts=ACCOUNTS)
    clock = SystemClock()
    found = collect_closes(settings, clock)
    load_price_set(Warehouse(settings), found, clock)
    events = [*collect_book(settings, found), *_edges(found.last_date)]
    deliver_events(settings, [*events, *events[:50]], clock.now())

    dbt_build(settings, ["+tag:daily"])
    return Built(settings, events, lambda: dbt_run(settings, ["+tag:daily"]))


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
        ("edge-netted", "LINK", Side.COLLATERAL, Kind.DEPOSIT, "7", early),
        ("edge-netted", "LINK", Side.BORROW, Kind.DRAW, "7", early),
        ("edge-midnight", "XRP", Side.COLLATERAL, Kind.DEPOSIT, "1000", before),
        ("edge-midnight", "XRP", Side.COLLATERAL, Kind.DEPOSIT, "500000", midnight),
        ("edge-too-new", "BTC", Side.COLLATERAL, Kind.DEPOSIT, "3", midnight),
        ("edge-gap", "LINK", Side.COLLATERAL, Kind.DEPOSIT, "100", early),
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


@cache
def bounds(observations: int, basis_points: int) -> tuple[int, int | None, int | None]:
    """k, and the ranks of the milder and the worse end of the 95% interval, by exact binomial probabilities.

    With N losses beyond the quantile, rank r is too mild with P(N >= r), too bad with P(N <= r - 1): 2.5% at most.
    """
    beyond, most = Fraction(10_000 - basis_points, 10_000), Fraction(25, 1000)
    below = Fraction(0)
    milder = worse = None
    for rank in range(1, observations + 1):
        n = rank - 1
        below += comb(observations, n) * beyond**n * (1 - beyond) ** (observations - n)
        if below <= most:
            worse = rank
        if 1 - below <= most:
            milder = rank
            break
    return -(-observations * (10_000 - basis_points) // 10_000), milder, worse


class Recomputation:
    """Losses in exact decimals, by sorting those of each portfolio."""

    def __init__(self, closes: Mapping[str, Mapping[date, Decimal]], events: Iterable[SettlementEvent]) -> None:
        self._closes = closes
        self._as_of = min(max(days) for days in closes.values())
        self.exposures: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        for event in events:
            if event.occurred_at.date() <= self._as_of:
                sign = (-1 if event.kind in DECREASES else 1) * (-1 if event.side is Side.BORROW else 1)
                usd = sign * event.quantity * closes[event.asset][self._as_of]
                self.exposures[event.account_id][event.asset] += usd
                self.exposures["book"][event.asset] += usd
        for held in self.exposures.values():
            for asset in [asset for asset, usd in held.items() if not usd]:
                del held[asset]
        self.returns = {(asset, horizon): self._returns(asset, horizon) for asset in closes for horizon in HORIZONS}

    def _returns(self, asset: str, horizon: int) -> list[Decimal | None]:
        """Returns of the last 1,000 days, oldest first; None where a close from begin to end is not there."""
        of, found = self._closes[asset], []
        for back in range(max(WINDOWS) - 1, -1, -1):
            path = [of.get(self._as_of - timedelta(days=back + step)) for step in range(horizon + 1)]
            begin, end = path[-1], path[0]
            found.append(end / begin - 1 if end and begin and None not in path else None)
        return found

    def losses(self, exposures: Mapping[str, Decimal], horizon: int, window: int) -> list[Decimal]:
        """Losses oldest first; a return that is not there counts as nothing."""
        columns = [(usd, self.returns[asset, horizon][-window:]) for asset, usd in exposures.items()]
        return [-sum((usd * (of[day] or 0) for usd, of in columns), Decimal(0)) for day in range(window)]

    def reason(self, portfolio: str, horizon: int, window: int) -> tuple[int, str | None]:
        """Returns of the asset that has the fewest, and what is lacking."""
        counts = {a: sum(r is not None for r in self.returns[a, horizon][-window:]) for a in self.exposures[portfolio]}
        lacking = [f"{a} has {count} of {window} returns" for a, count in sorted(counts.items()) if count < window]
        return min(counts.values()), "; ".join(lacking) or None

    def figures(self, portfolio: str, horizon: int, window: int) -> dict[Decimal, Figures]:
        """VaR, ES and the interval of VaR by confidence."""
        worst = sorted(self.losses(self.exposures[portfolio], horizon, window), reverse=True)
        found = {}
        for basis_points in CONFIDENCES_BP:
            k, milder, worse = bounds(window, basis_points)
            found[Decimal(basis_points) / 10_000] = {
                "var_usd": worst[k - 1],
                "es_usd": sum(worst[:k], Decimal(0)) / k,
                "var_lower_usd": worst[milder - 1] if milder else None,
                "var_upper_usd": worst[worse - 1] if worse else None,
            }
        return found

    def parts(self) -> dict[tuple[str, str], dict[str, Decimal]]:
        """Exposures of what the book is made of: of each asset, and of each account."""
        accounts = {("account", name): held for name, held in self.exposures.items() if name != "book" and held}
        return accounts | {("asset", asset): {asset: usd} for asset, usd in self.exposures["book"].items()}

    def components(self) -> dict[PartKey, Figures]:
        """What each part loses in the scenarios that make the tail of the book, and the book without it."""
        book = self.losses(self.exposures["book"], 1, STANDARD_WINDOW)
        order = sorted(range(STANDARD_WINDOW), key=lambda day: (-book[day], day))
        found: dict[PartKey, Figures] = {}
        for (kind, name), exposures in self.parts().items():
            own = self.losses(exposures, 1, STANDARD_WINDOW)
            without = sorted((whole - part for whole, part in zip(book, own, strict=True)), reverse=True)
            alone = sorted(own, reverse=True)
            for basis_points in CONFIDENCES_BP:
                k, _, _ = bounds(STANDARD_WINDOW, basis_points)
                found[kind, name, Decimal(basis_points) / 10_000] = {
                    "component_var_usd": own[order[k - 1]],
                    "component_es_usd": sum((own[day] for day in order[:k]), Decimal(0)) / k,
                    "incremental_var_usd": book[order[k - 1]] - without[k - 1],
                    "standalone_var_usd": alone[k - 1],
                }
        return found


def agree(found: Decimal | None, wanted: Decimal | None, size: Decimal = Decimal(0)) -> bool:
    """To a billionth of the figure (of `size`, for a difference of figures of that size), and of the last decimal."""
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= Decimal("1e-9") * max(abs(wanted), size, Decimal(1))


@pytest.fixture(scope="module")
def recomputed(built: Built) -> Recomputation:
    """From the CSV files: the real ones, and those that the simulator wrote of the stablecoins."""
    assert built.settings.prices_dir is not None
    closes = _read(built.settings.prices_dir) | _read(built.settings.state_dir / "simulated")
    with localcontext() as context:
        context.prec = 40
        return Recomputation(closes, built.events)


def test_var__equals_the_recomputation(built: Built, recomputed: Recomputation) -> None:
    rows, seen = built.rows(), set()
    with localcontext() as context:
        context.prec = 40
        for portfolio, held in recomputed.exposures.items():
            if not held:
                continue
            for horizon in HORIZONS:
                for window in WINDOWS:
                    observations, reason = recomputed.reason(portfolio, horizon, window)
                    for confidence, wanted in recomputed.figures(portfolio, horizon, window).items():
                        key = portfolio, horizon, window, confidence
                        row = rows[key]
                        seen.add(key)
                        assert (row["observations"], row["reason"]) == (observations, reason), key
                        for name in FIGURES:
                            assert agree(row[name], None if reason else wanted[name]), (key, name)
    assert seen == rows.keys()
    assert len({portfolio for portfolio, *_ in seen}) == ACCOUNTS + 5
    assert all(row["es_lower_usd"] is row["es_upper_usd"] is None for row in rows.values())


def test_var__a_gap_of_three_days_costs_four_returns_of_one_day_and_thirteen_of_ten(built: Built) -> None:
    rows = built.rows()
    for horizon, there in ((1, 996), (10, 987)):
        long = rows["edge-gap", horizon, 1000, Decimal("0.99")]
        assert (long["observations"], long["reason"]) == (there, f"LINK has {there} of 1000 returns")
        assert rows["book", horizon, 1000, Decimal("0.99")]["reason"] == long["reason"]
        assert rows["edge-gap", horizon, 500, Decimal("0.99")]["reason"] is None
        # It owes as much LINK as it holds.
        assert rows["edge-netted", horizon, 1000, Decimal("0.99")]["reason"] is None


def test_var__rows_name_estimator_window_and_tail(built: Built) -> None:
    rows = built.rows()
    tails = {(row["window_observations"], row["confidence"]): row["tail_observations"] for row in rows.values()}
    levels = tuple(Decimal(bp) / 10_000 for bp in CONFIDENCES_BP)
    assert tails == {
        **dict(zip([(250, c) for c in levels], (13, 7, 3, 1), strict=True)),
        **dict(zip([(500, c) for c in levels], (25, 13, 5, 1), strict=True)),
        **dict(zip([(1000, c) for c in levels], (50, 25, 10, 1), strict=True)),
    }
    assert {(r["method"], r["estimator"], r["horizon_days"], r["horizon_rule"]) for r in rows.values()} == {
        ("historical_simulation", "kth_worst_loss", 1, "one_day"),
        ("historical_simulation", "kth_worst_loss", 10, "overlapping_returns"),
    }
    assert {(r["interval_method"], r["interval_confidence"], r["is_fallback"]) for r in rows.values()} == {
        ("order_statistics", Decimal("0.95"), False)
    }
    # 500 at 99%: five losses are expected beyond the quantile; the eleventh is too mild, the worst itself too bad.
    assert bounds(500, 9900) == (5, 11, 1)
    assert bounds(250, 9990) == (1, 3, None)
    assert rows["book", 1, 500, Decimal("0.99")]["is_simulated"] is True
    assert rows["edge-midnight", 1, 500, Decimal("0.99")]["is_simulated"] is False


def test_components__equal_the_recomputation_and_sum_to_the_book(built: Built, recomputed: Recomputation) -> None:
    rows, book = built.components(), built.rows()
    with localcontext() as context:
        context.prec = 40
        wanted = recomputed.components()
        assert rows.keys() == wanted.keys()
        for (kind, name, confidence), figures in wanted.items():
            row, whole = rows[kind, name, confidence], book["book", 1, STANDARD_WINDOW, confidence]
            assert (row["book_var_usd"], row["book_es_usd"]) == (whole["var_usd"], whole["es_usd"])
            assert (row["reason"], row["window_observations"], row["horizon_days"]) == (None, STANDARD_WINDOW, 1)
            exposure = sum(recomputed.parts()[kind, name].values(), Decimal(0))
            assert agree(row["exposure_usd"], exposure)
            # A part is the small difference of what it holds and owes, an increment of two figures of the book.
            size = max(abs(usd) for usd in recomputed.parts()[kind, name].values())
            for figure in PARTS:
                assert agree(row[figure], figures[figure], max(size, whole["var_usd"])), (
                    kind,
                    name,
                    confidence,
                    figure,
                )
            ratio = row["marginal_var_ratio"]
            assert ratio is None or agree(ratio * exposure, row["component_var_usd"], abs(exposure)), (kind, name)
    for kind in ("asset", "account"):
        for basis_points in CONFIDENCES_BP:
            confidence = Decimal(basis_points) / 10_000
            parts = [row for (of, _, level), row in rows.items() if (of, level) == (kind, confidence)]
            whole = book["book", 1, STANDARD_WINDOW, confidence]
            assert agree(sum(row["component_var_usd"] for row in parts), whole["var_usd"])
            assert agree(sum(row["component_es_usd"] for row in parts), whole["es_usd"])
    assert min(row["component_var_usd"] for row in rows.values()) < 0


def test_var__rebuilt_for_the_same_day_is_identical(built: Built) -> None:
    def rows() -> dict[Any, dict[str, Any]]:
        return {**built.rows(), **built.components()}

    before = rows()
    built.rebuild()
    after = rows()
    assert before.keys() == after.keys()
    for key, row in before.items():
        assert after[key]["computed_at"] > row["computed_at"]
        assert after[key] | {"computed_at": None} == row | {"computed_at": None}, key


def test_var__of_an_account_that_a_late_event_empties_is_gone(
    built: Built, deliver_events: Callable[..., None]
) -> None:
    [deposit] = [event for event in built.events if event.account_id == "edge-gap"]
    changes = {"event_id": "edge-gap-late", "kind": Kind.WITHDRAWAL, "tx_hash": "0xlate"}
    deliver_events(built.settings, [deposit.model_copy(update=changes)], SystemClock().now())
    named = {"portfolio_var": "account_id", "var_exposures": "account_id", "var_components": "part_id"}
    counted = " union all ".join(
        f"select '{mart}' as mart, countif({column} = 'edge-gap') as gone, count(*) as kept from risk.{mart}"
        for mart, column in named.items()
    )
    before = {row["mart"]: row for row in Warehouse(built.settings).query(counted)}
    assert all(row["gone"] for row in before.values())
    built.rebuild()
    after = {row["mart"]: row for row in Warehouse(built.settings).query(counted)}
    assert {mart: row["gone"] for mart, row in after.items()} == dict.fromkeys(named, 0)
    assert all(after[mart]["kept"] == row["kept"] - row["gone"] for mart, row in before.items())

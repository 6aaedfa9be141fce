"""Value at Risk in SQL against the engine in Python, on random books over random closes, for two days in a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import count
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assets.risk.backtests import Judged, backtest
from assets.risk.engine.backtests import Verdict
from assets.risk.engine.batch import Answer, Histories, Question, answer
from assets.risk.engine.components import components
from assets.risk.engine.history import closes_of
from assets.risk.engine.methods import NORMAL, Method
from assets.risk.method_estimates import Written, estimate_methods
from infra.runtime.bigquery import Warehouse
from infra.runtime.bulk import read_table
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings
from ingest.closes import CSV_SOURCE, Close, PriceSet, load_price_set, price_set
from ingest.messages import SIMULATED, Kind, SettlementEvent, Side

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]

SEED = 20260301
WINDOWS, HORIZONS = (250, 500, 1000), (1, 10)
CONFIDENCES = tuple(map(Decimal, ("0.95", "0.975", "0.99", "0.999")))
FIRST_DAY, SECOND_DAY = date(2026, 3, 1), date(2026, 3, 2)
ACCOUNTS, WILD_ACCOUNTS = 40, 20
DAILY = ["+portfolio_var", "+book_var", "+var_components", "+int_risk__realised_pnl", "int_risk__var_plan"]
# What the methods are taken into once they were estimated.
TAKING_IN = ["portfolio_var", "book_var"]
QUESTION = ("as_of_date", "price_set_id", "method", "horizon_days", "window_observations", "confidence")
BACKTEST = ("backtest_kind", "subject_kind", "subject_id", *QUESTION)
TABLES = {
    "portfolio_var": ("account_id", *QUESTION),
    "book_var": QUESTION,
    "var_components": ("part_kind", "part_id", *QUESTION),
    "var_exposures": ("account_id", "asset", "as_of_date", "price_set_id"),
    "var_method_estimates": ("portfolio_kind", "portfolio_id", *QUESTION),
    "var_backtests": (*BACKTEST, "period"),
    "var_exceptions": (*BACKTEST, "exception_date"),
}
TOTAL = ("AAA", "BBB", "CCC", "EARLY", "PEG")
ASSETS = (*TOTAL, "GAPPY", "MISSED", "NEW", "PAIR", "STILL", "TINY", "YOUNG")
FIGURES = ("var_usd", "es_usd", "var_lower_usd", "var_upper_usd")

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]


def random_closes(generator: np.random.Generator) -> dict[str, dict[date, Decimal]]:
    """Random walks up to two days after the first day, each asset with a history of its own.

    AAA, BBB, CCC and PEG, which jumps between two prices, are whole; EARLY ends one day before the others. GAPPY lacks
    three weeks, 600 days ago; MISSED the second day; YOUNG and TINY are new, and so is PAIR, which has 250 returns of
    one day but not of ten; STILL never moved; NEW has none.
    """
    last, length = SECOND_DAY + timedelta(days=1), 1_100
    days = [last - timedelta(days=back) for back in range(length - 1, -1, -1)]
    market = generator.standard_t(4, length)
    closes: dict[str, dict[date, Decimal]] = {}
    for asset in ASSETS:
        if asset == "NEW":
            continue
        own = 0.02 * (0.6 * market + 0.8 * generator.standard_t(4, length))
        path = np.exp(generator.uniform(-3, 11) + np.cumsum(np.clip(own, -0.4, 0.4)))
        if asset == "PEG":
            path = generator.choice([0.9999, 1.0001], length)
        if asset == "STILL":
            path = np.ones(length)
        line = dict(zip(days, (Decimal(repr(round(usd, 9))) for usd in path.tolist()), strict=True))
        begins = {"PAIR": 256, "YOUNG": 120, "TINY": 40}.get(asset, length)
        closes[asset] = {day: usd for day, usd in line.items() if (last - day).days < begins}
    for back in range(600, 621):
        del closes["GAPPY"][last - timedelta(days=back)]
    del closes["MISSED"][SECOND_DAY]
    return closes


def random_events(generator: np.random.Generator) -> list[SettlementEvent]:
    """A book of the first day, and what comes to it on the second: then assets with a problem are held."""
    draw = _Draw(generator)
    early = datetime.combine(FIRST_DAY - timedelta(days=20), time(9), UTC)
    for number in range(ACCOUNTS):
        held = generator.choice((*TOTAL, "GAPPY"), generator.integers(1, 5), replace=False)
        draw.positions(f"acct-{number:02}", held, early, only_debt=number < 3)
    # What one holds and the other owes is nothing to the book.
    draw.add("pair-long", "PAIR", Side.COLLATERAL, Decimal("3.25"), early)
    draw.add("pair-short", "PAIR", Side.BORROW, Decimal("3.25"), early)
    draw.add("netted", "AAA", Side.COLLATERAL, Decimal(7), early)
    draw.add("netted", "AAA", Side.BORROW, Decimal(7), early)
    opened = datetime.combine(SECOND_DAY, time(), UTC)
    for number in range(WILD_ACCOUNTS):
        held = generator.choice(ASSETS, generator.integers(1, 6), replace=False)
        draw.positions(f"wild-{number:02}", held, opened)
    # Losses of PEG are all alike: their mean must not fall below them.
    for number in range(12):
        draw.add(f"peg-{number}", "PEG", Side.BORROW, Decimal(repr(round(generator.uniform(1e11, 1e13), 3))), opened)
    smallest, largest = Decimal("1e-18"), Decimal("1e18")
    draw.add("young", "YOUNG", Side.COLLATERAL, Decimal(5), opened)
    draw.add("young-and-new", "YOUNG", Side.COLLATERAL, Decimal(5), opened)
    draw.add("young-and-new", "NEW", Side.BORROW, Decimal(5), opened)
    draw.add("tiny", "TINY", Side.COLLATERAL, Decimal(5), opened)
    draw.add("still", "STILL", Side.COLLATERAL, Decimal(5), opened)
    draw.add("missed", "MISSED", Side.BORROW, Decimal(5), opened)
    draw.add("new", "NEW", Side.COLLATERAL, smallest, opened)
    draw.add("dust", "YOUNG", Side.COLLATERAL, smallest, opened)
    draw.add("dusty", "TINY", Side.BORROW, smallest, opened)
    draw.add("dusty", "AAA", Side.COLLATERAL, Decimal(2), opened)
    draw.add("whale", "AAA", Side.COLLATERAL, largest, opened)
    draw.add("whale", "PEG", Side.BORROW, largest, opened)
    draw.add("short-whale", "CCC", Side.BORROW, largest, opened)
    return draw.events


@dataclass
class _Draw:
    """Events, one a position and side."""

    generator: np.random.Generator
    events: list[SettlementEvent] = field(default_factory=list)

    def positions(self, account_id: str, assets: Iterable[str], at: datetime, *, only_debt: bool = False) -> None:
        for asset in map(str, assets):
            sides = self.generator.choice(["collateral", "borrow", "both"], p=[0.5, 0.3, 0.2])
            for side in (Side.COLLATERAL, Side.BORROW):
                if (only_debt and side is Side.BORROW) or (not only_debt and sides in (side, "both")):
                    units = Decimal(repr(float(np.exp(self.generator.normal(0, 4)))))
                    self.add(account_id, asset, side, units.quantize(Decimal("1e-18")), at)

    def add(self, account_id: str, asset: str, side: Side, quantity: Decimal, at: datetime) -> None:
        self.events.append(
            SettlementEvent(
                event_id=f"e{len(self.events)}",
                account_id=account_id,
                asset=asset,
                side=side,
                kind=Kind.DEPOSIT if side is Side.COLLATERAL else Kind.DRAW,
                quantity=quantity,
                occurred_at=at,
                chain="ethereum",
                tx_hash=f"0x{len(self.events)}",
            )
        )


@dataclass
class Book:
    """A project, the closes and events that it was built from, and what stands in its tables after each step."""

    settings: Settings
    closes: Mapping[str, Mapping[date, Decimal]]
    events: Sequence[SettlementEvent]
    built_and_tested: Callable[[Settings, Sequence[str]], list[Any]]
    built_alone: Callable[[Settings, Sequence[str]], None]
    warehouse: Warehouse = field(init=False)
    snapshots: dict[str, dict[str, Rows]] = field(default_factory=dict)
    tests: dict[str, set[str]] = field(default_factory=dict)
    written: dict[str, Written] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.warehouse = Warehouse(self.settings)

    def set_of(self, as_of: date) -> PriceSet:
        """All assets up to the day after, EARLY up to the day itself: on that day the closes in common end."""
        return price_set(
            [
                Close(asset, day, usd, SIMULATED if asset == "BBB" else CSV_SOURCE)
                for asset, days in self.closes.items()
                for day, usd in days.items()
                if day <= as_of + timedelta(days=asset != "EARLY")
            ]
        )

    def build(self, step: str, models: Sequence[str], *, tested: bool = True) -> None:
        """Build the models, with their data tests or alone, and keep what stands in the tables then."""
        if tested:
            outcomes = self.built_and_tested(self.settings, models)
            self.tests[step] = {outcome.unique_id.split(".")[2] for outcome in outcomes}
        else:
            self.built_alone(self.settings, models)
        self.snapshots[step] = {}
        for name, key in TABLES.items():
            rows = read_table(self.settings, f"risk.{name}").to_pylist()
            self.snapshots[step][name] = sorted(rows, key=itemgetter(*key))

    def exposures(self, as_of: date) -> dict[str, dict[str, Decimal | None]]:
        """Net exposures by portfolio and asset in USD, None without a close on the day; what nets to nothing is out."""
        net: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        with localcontext() as context:
            context.prec = 80
            for event in self.events:
                if event.occurred_at.date() <= as_of:
                    signed = event.signed_quantity if event.side is Side.COLLATERAL else -event.signed_quantity
                    net[event.account_id, event.asset] += signed
            found: dict[str, dict[str, Decimal | None]] = defaultdict(dict)
            for (account_id, asset), quantity in net.items():
                close = self.closes.get(asset, {}).get(as_of)
                if quantity:
                    usd = None if close is None else (quantity * close).quantize(Decimal("1e-9"), ROUND_HALF_UP)
                    found[account_id][asset] = usd
                    before = found["book"].get(asset, Decimal(0))
                    found["book"][asset] = None if usd is None or before is None else before + usd
        return dict(found)

    def reference(self, as_of: date) -> Reference:
        """The engine, on exposures that are summed here."""
        rows = ((asset, day, usd) for asset, days in self.closes.items() for day, usd in days.items() if day <= as_of)
        return Reference(self.exposures(as_of), Histories(closes_of(rows), ASSETS, as_of, "test"))


@dataclass(frozen=True)
class Reference:
    """Exposures by portfolio, and histories to ask about them."""

    exposures: Mapping[str, Mapping[str, Decimal | None]]
    histories: Histories

    @property
    def ids(self) -> list[str]:
        return sorted(self.exposures)

    def matrix(self) -> Floats:
        def cell(usd: Decimal | None) -> float:
            return np.nan if usd is None else float(usd)

        return np.array([[cell(self.exposures[name].get(asset, Decimal(0))) for asset in ASSETS] for name in self.ids])

    def ask(self, method: Method, horizon: int, window: int) -> Answer:
        return answer(Question(method, horizon, window, CONFIDENCES), self.matrix(), self.histories, intervals=False)


@pytest.fixture(scope="module")
def book(
    new_project: Callable[..., Settings],
    dbt_build: Callable[..., Any],
    dbt_run: Callable[..., None],
    deliver_events: Callable[..., None],
) -> Book:
    """Two days, each with its methods estimated upon what was built; all of the second day twice.

    Data tests come with the last build of each kind: they would say the same of what it rests on.
    """
    generator, clock = np.random.default_rng(SEED), SystemClock()
    settings = new_project("ballast-var-reference")
    found = Book(settings, random_closes(generator), random_events(generator), dbt_build, dbt_run)
    deliver_events(settings, found.events, clock.now())

    def estimate(step: str) -> None:
        found.written[step] = estimate_methods(found.warehouse, clock)

    load_price_set(found.warehouse, found.set_of(FIRST_DAY), clock)
    found.build("first day", DAILY, tested=False)
    estimate("first day")
    load_price_set(found.warehouse, found.set_of(SECOND_DAY), clock)
    found.build("second day, before methods", DAILY, tested=False)
    estimate("second day")
    found.judged = backtest(found.warehouse, clock)
    found.build("second day", TAKING_IN)
    estimate("second day again")
    backtest(found.warehouse, clock)
    found.build("second day again", DAILY)
    return found


def of_day(rows: Rows, day: date, **wanted: Any) -> Rows:
    return [row for row in rows if row["as_of_date"] == day and all(row[name] == of for name, of in wanted.items())]


def portfolios(tables: Mapping[str, Rows]) -> Rows:
    """The rows of both marts, with kind and id of the portfolio."""
    accounts = [
        {"portfolio_kind": "account", "portfolio_id": row["account_id"]} | row for row in tables["portfolio_var"]
    ]
    return accounts + [{"portfolio_kind": "book", "portfolio_id": "book"} | row for row in tables["book_var"]]


def agree(found: Decimal | None, wanted: float, size: float = 0.0) -> bool:
    """To a billionth of the figure, or of `size` for a small difference of large ones, and of the last decimal."""
    if found is None or np.isnan(wanted):
        return found is None and bool(np.isnan(wanted))
    return abs(float(found) - wanted) <= 1e-9 * max(abs(wanted), size) + 1.5e-9


@pytest.mark.parametrize(
    ("step", "day"), [("first day", FIRST_DAY), ("second day, before methods", SECOND_DAY), ("second day", SECOND_DAY)]
)
def test_historical_simulation__equals_the_engine(book: Book, step: str, day: date) -> None:
    reference = book.reference(day)
    rows = {
        (row["portfolio_id"], row["horizon_days"], row["window_observations"], row["confidence"]): row
        for row in of_day(portfolios(book.snapshots[step]), day, method="historical_simulation")
    }
    seen: set[tuple[str, int, int, Decimal]] = set()
    reasons: set[str] = set()
    for horizon in HORIZONS:
        for window in WINDOWS:
            found = reference.ask(Method.HISTORICAL, horizon, window)
            for tail in found.tails:
                figures = (tail.var, tail.es, tail.var_lower, tail.var_upper)
                for place, name in enumerate(reference.ids):
                    key = name, horizon, window, tail.confidence
                    row = rows[key]
                    seen.add(key)
                    assert row["reason"] == found.reasons[place], key
                    assert row["observations"] == found.observations[place], key
                    assert row["is_simulated"] is bool(reference.exposures[name].get("BBB")), key
                    for column, values in zip(FIGURES, figures, strict=True):
                        assert agree(row[column], float(values[place])), (key, column, row[column], values[place])
                    reasons.update((row["reason"] or "").split("; "))
    assert seen == rows.keys()
    if day == SECOND_DAY:
        assert {
            f"no close of MISSED on {day}",
            "no closes of NEW",
            "STILL never moved in 250 returns",
            "TINY has 38 of 250 returns",
            "YOUNG has 109 of 250 returns",
            "GAPPY has 978 of 1000 returns",
            "GAPPY has 969 of 1000 returns",
        } <= reasons


def test_book__has_figures_though_two_accounts_hold_what_nets_to_nothing_in_it(book: Book) -> None:
    rows = of_day(book.snapshots["first day"]["book_var"], FIRST_DAY)
    assert len(rows) == len(WINDOWS) * len(HORIZONS) * len(CONFIDENCES)
    assert {(row["window_observations"], row["var_usd"] is None) for row in rows} == {
        (250, False),
        (500, False),
        (1000, True),
    }


def test_components__equal_the_engine(book: Book) -> None:
    reference = book.reference(FIRST_DAY)
    returns = np.nan_to_num(reference.histories.window(500, 1).returns)
    accounts = [name for name in reference.ids if name != "book"]
    matrix = reference.matrix()
    held = [place for place, asset in enumerate(ASSETS) if asset in reference.exposures["book"]]
    parts = {
        "account": (accounts, matrix[[reference.ids.index(name) for name in accounts]] @ returns.T),
        "asset": (
            [ASSETS[place] for place in held],
            matrix[reference.ids.index("book")][held][:, None] * returns[:, held].T,
        ),
    }
    rows = {
        (row["part_kind"], row["part_id"], row["confidence"]): row
        for row in of_day(book.snapshots["first day"]["var_components"], FIRST_DAY)
    }
    assert len(rows) == sum(len(names) for names, _ in parts.values()) * len(CONFIDENCES)
    for kind, (names, pnl) in parts.items():
        for found in components(pnl, CONFIDENCES):
            columns = {
                "component_var_usd": found.component_var,
                "component_es_usd": found.component_es,
                "incremental_var_usd": found.incremental_var,
                "standalone_var_usd": found.standalone_var,
            }
            for place, name in enumerate(names):
                row = rows[kind, name, found.confidence]
                assert row["reason"] is None
                for column, values in columns.items():
                    assert agree(row[column], float(values[place]), found.var), (kind, name, column)


def test_methods__stand_in_the_marts_as_they_were_estimated(book: Book) -> None:
    """A normal method's row also has the reason of what it stands in for."""
    for step in ("second day", "second day again"):
        tables = book.snapshots[step]
        estimated = of_day(tables["var_method_estimates"], SECOND_DAY)
        assert book.written[step].rows == len(estimated)
        assert book.written[step].not_computed == 0
        marts = {tuple(row[name] for name in TABLES["var_method_estimates"]): row for row in portfolios(tables)}
        reasons = {
            (key[:2], key[5:]): row["reason"]
            for key, row in marts.items()
            if (row["as_of_date"], row["method"]) == (SECOND_DAY, Method.HISTORICAL)
        }
        others = [row for row in estimated if row["method"] != Method.HISTORICAL]
        for row in others:
            key = tuple(row[name] for name in TABLES["var_method_estimates"])
            wanted = {name: value for name, value in row.items() if name != "computed_at"}
            if row["method"] in NORMAL:
                reason = reasons[key[:2], key[5:]]
                wanted["reason"] = row["reason"] or reason
                wanted["is_fallback"] = row["var_usd"] is not None and reason is not None
            assert {name: marts[key][name] for name in wanted} == wanted
        assert len(others) + len(reasons) == len(of_day(list(marts.values()), SECOND_DAY))
    # Before the methods of the second day were estimated, those of the first did not stand in for them.
    early = of_day(portfolios(book.snapshots["second day, before methods"]), SECOND_DAY)
    assert {row["method"] for row in early} == {Method.HISTORICAL}


def test_fallback__stands_in_where_only_returns_are_missing(book: Book) -> None:
    rows = {
        (row["portfolio_id"], row["method"], row["horizon_days"], row["window_observations"]): row
        for row in of_day(portfolios(book.snapshots["second day"]), SECOND_DAY, confidence=Decimal("0.99"))
    }

    def told(portfolio: str, method: Method, horizon: int = 1, window: int = 500) -> tuple[bool, bool, int, str | None]:
        row = rows[portfolio, method, horizon, window]
        return row["var_usd"] is not None, row["is_fallback"], row["observations"], row["reason"]

    short = "YOUNG has 118 of 500 returns"
    for method in NORMAL:
        assert told("young", method) == (True, True, 118, f"118 common returns, for {short}")
        assert told("tiny", method) == (False, False, 38, "TINY has 38 of 500 returns")
        assert told("still", method) == (False, False, 500, "STILL never moved in 500 returns")
        assert told("young-and-new", method) == (False, False, 0, f"no closes of NEW; {short}")
        assert told("dust", method) == (True, False, 500, None)
        # It has all returns of one day, from which the normal method makes ten, but not those of ten days.
        assert told("pair-long", method, 10, 250) == (True, True, 250, "PAIR has 245 of 250 returns")
        assert told("pair-long", method, 1, 250) == (True, False, 250, None)
    for method in (Method.HISTORICAL, Method.AGE_WEIGHTED, Method.VOLATILITY_SCALED):
        assert told("young", method) == (False, False, 118, short)
    assert told("dusty", Method.HISTORICAL) == (True, False, 500, None)
    assert not any(row["is_fallback"] for (_, method, *_), row in rows.items() if method not in NORMAL)


def test_intervals_of_shortfall__are_there_once_the_methods_were_estimated(book: Book) -> None:
    for step, there in (("first day", False), ("second day, before methods", False), ("second day", True)):
        day = FIRST_DAY if step == "first day" else SECOND_DAY
        for row in of_day(portfolios(book.snapshots[step]), day, method="historical_simulation"):
            known = there and row["reason"] is None
            assert (row["es_lower_usd"] is not None) == (row["es_upper_usd"] is not None) == known
            assert not known or row["es_lower_usd"] <= row["es_upper_usd"]
    assert "portfolio_var__equals_the_reference" in book.tests["second day"]


def test_rerun__gives_the_same_rows(book: Book) -> None:
    """All that was computed anew is as it was, and nothing stands twice."""
    for name, key in TABLES.items():
        before, after = book.snapshots["second day"][name], book.snapshots["second day again"][name]
        assert len({tuple(row[column] for column in key) for row in after}) == len(after), name
        assert [row | {"computed_at": None} for row in after] == [row | {"computed_at": None} for row in before], name
        if name not in ("var_backtests", "var_exceptions"):
            assert of_day(after, FIRST_DAY) == of_day(before, FIRST_DAY), name
        assert min(row["computed_at"] for row in of_day(after, SECOND_DAY)) > max(
            row["computed_at"] for row in of_day(before, SECOND_DAY)
        ), name


def test_history__keeps_the_day_before_as_it_was(book: Book) -> None:
    for name in ("portfolio_var", "book_var", "var_components", "var_exposures"):
        rows = book.snapshots["second day again"][name]
        assert {(row["as_of_date"], row["price_set_id"]) for row in rows} == {
            (day, book.set_of(day).price_set_id) for day in (FIRST_DAY, SECOND_DAY)
        }
        assert of_day(rows, FIRST_DAY) == book.snapshots["first day"][name], name
    kept = {row["as_of_date"] for row in book.snapshots["second day again"]["var_method_estimates"]}
    assert kept == {FIRST_DAY, SECOND_DAY}


def test_realised_pnl__is_of_the_first_day_on_its_own_exposures(book: Book) -> None:
    rows = book.warehouse.query("select * from intermediate.int_risk__realised_pnl")
    assert {(row["as_of_date"], row["pnl_date"], row["price_set_id"]) for row in rows} == {
        (FIRST_DAY, SECOND_DAY, book.set_of(FIRST_DAY).price_set_id)
    }
    exposures = book.exposures(FIRST_DAY)
    assert {row["portfolio_id"] for row in rows} == exposures.keys()
    for row in rows:
        held = exposures[row["portfolio_id"]]
        moved = {asset: book.closes[asset][SECOND_DAY] / book.closes[asset][FIRST_DAY] - 1 for asset in held}
        wanted = sum(float((usd or 0) * moved[asset]) for asset, usd in held.items())
        size = max(abs(float(usd or 0)) for usd in held.values())
        assert agree(row["pnl_usd"], wanted, 1e-3 * size), row


def test_stored_forecasts__of_one_day_are_judged_unknown(book: Book) -> None:
    rows = [row for row in book.snapshots["second day"]["var_backtests"] if row["backtest_kind"] == "stored_forecasts"]
    whole = [row for row in rows if row["subject_kind"] == "book"]
    assert {(row["method"], row["confidence"], row["period"]) for row in whole} == {
        ("historical_simulation", confidence, period)
        for confidence in (Decimal("0.975"), Decimal("0.99"))
        for period in ("all_days", "last_250_days")
    }
    for row in rows:
        assert (row["verdict"], row["observations"], row["missing"]) == ("unknown", 1, 0), row
        assert (row["as_of_date"], row["first_date"]) == (SECOND_DAY, SECOND_DAY)
    stored = [each for each in book.judged if each.kind == "stored_forecasts"]
    assert {each.verdict for each in stored} == {Verdict.UNKNOWN}
    assert len(stored) == len(rows)


def test_history_backtests__of_a_book_that_cannot_be_valued_are_unknown(book: Book) -> None:
    rows = [row for row in book.snapshots["second day"]["var_backtests"] if row["backtest_kind"] == "history"]
    verdicts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        verdicts[row["subject_kind"], row["subject_id"]].add(row["verdict"])
    assert verdicts["book", "book"] == {"unknown"}
    assert verdicts["asset", "TINY"] == {"unknown"}
    assert "unknown" not in verdicts["asset", "AAA"]
    assert ("asset", "NEW") not in verdicts


def test_deadline__leaves_the_rest_without_a_figure_and_says_so(book: Book) -> None:
    """It passes after the normal methods, which then stand in; the marts take that in without a failed test."""
    normal = 2 * len(NORMAL) * len(HORIZONS) * len(WINDOWS)
    looks = count()
    written = estimate_methods(book.warehouse, SystemClock(), monotonic=lambda: 0.0 if next(looks) <= normal else 1e6)
    assert written.rows == book.written["second day again"].rows
    assert written.not_computed == next(looks) - 1 - normal > normal
    book.build("after the deadline", TAKING_IN)
    assert "portfolio_var__equals_the_reference" in book.tests["after the deadline"]
    before, after = (
        {
            tuple(row[name] for name in TABLES["var_method_estimates"]): row
            for row in of_day(portfolios(tables), SECOND_DAY)
        }
        for tables in (book.snapshots["second day again"], book.snapshots["after the deadline"])
    )
    assert after.keys() == before.keys()
    for key, row in after.items():
        wanted = before[key] | {"computed_at": row["computed_at"]}
        if row["method"] == Method.HISTORICAL:
            wanted |= {"es_lower_usd": None, "es_upper_usd": None}
        elif row["method"] not in NORMAL:
            wanted |= dict.fromkeys((*FIGURES, "es_lower_usd", "es_upper_usd", "seed"))
            wanted |= {"observations": 0, "reason": "not computed: the deadline of 900 s had passed"}
        assert row == wanted

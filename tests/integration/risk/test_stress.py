"""Stress tests of the marts against a recomputation from events, closes and the scenario files, in exact decimals."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import cached_property
from itertools import pairwise
from typing import Any

import pytest

from alerting.margin.thresholds import ACCOUNT_THRESHOLDS
from assets.risk.engine.reverse_stress import Measure, NoFall
from assets.risk.stress_queries import asset_shares, reverse_stress, stress_results, stressed_accounts
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import PROJECT_ROOT, Settings
from ingest.closes import CSV_SOURCE, Close, PriceSet, load_price_set, price_set
from ingest.market import collect_book, collect_closes
from ingest.messages import SIMULATED, Kind, SettlementEvent, Side
from ingest.simulation.market import STABLE, VOLATILE

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse"), pytest.mark.timeout(900)]

REAL_CLOSES = PROJECT_ROOT.parent / "shared" / "data" / "prices_daily"
SEEDS = PROJECT_ROOT / "dbt_project" / "seeds"
ACCOUNTS = 25
MODELS = ["+stress_results"]
TARGET_PCT = Decimal(35)
CLASSES = {asset.asset: "volatile" for asset in VOLATILE} | dict.fromkeys(STABLE, "stablecoin")
OWN_THRESHOLDS = {"acct-00003": (Decimal(60), Decimal(50)), "edge-own": (Decimal(90), None)}
ACCOUNTS_SQL = "select * from risk.stress_account_results"
RESULTS_SQL = "select * from risk.stress_results"
SHOCKS_SQL = "select * from intermediate.int_risk__stress_shocks"

Rows = dict[tuple[str, str], dict[str, Any]]
Shock = tuple[Decimal | None, str | None]
Positions = dict[str, dict[str, tuple[Decimal, Decimal]]]


def rounded(value: Decimal) -> Decimal:
    """As NUMERIC keeps it."""
    return value.quantize(Decimal("1e-9"), rounding=ROUND_HALF_UP)


def seed(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@dataclass(frozen=True)
class Built:
    """A project in which the stress models are built, and what it was built from."""

    settings: Settings
    prices: PriceSet
    events: Sequence[SettlementEvent]
    rebuild: Callable[[], None]

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings)

    def account_rows(self) -> Rows:
        rows = self.warehouse.query(ACCOUNTS_SQL)
        found = {(row["scenario_id"], row["account_id"]): row for row in rows}
        assert len(found) == len(rows)
        return found

    def result_rows(self) -> dict[str, dict[str, Any]]:
        rows = self.warehouse.query(RESULTS_SQL)
        found = {row["scenario_id"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def positions(self) -> Positions:
        """Collateral and debt in units by account and asset at the end of the last day."""
        sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for event in self.events:
            if event.occurred_at.date() <= self.prices.last_date:
                sums[event.account_id, event.asset][event.side is Side.BORROW] += event.signed_quantity
        found: Positions = defaultdict(dict)
        for (account_id, asset), (collateral, borrow) in sums.items():
            if collateral or borrow:
                found[account_id][asset] = collateral, borrow
        return dict(found)

    def close_usd(self, asset: str, day: date, *, real: bool = False) -> Decimal | None:
        close = self._closes.get((asset, day))
        return None if close is None or (real and close.source == SIMULATED) else close.close_usd

    @cached_property
    def _closes(self) -> dict[tuple[str, date], Close]:
        return {(close.asset, close.price_date): close for close in self.prices.closes}


@pytest.fixture(scope="module")
def make(
    new_project: Callable[..., Settings],
    dbt_build: Callable[..., Any],
    dbt_run: Callable[..., None],
    deliver_events: Callable[..., None],
) -> Callable[..., Built]:
    def build_project(
        name: str, more: Callable[[PriceSet], tuple[list[Close], list[SettlementEvent]]], **own: Any
    ) -> Built:
        settings, clock = new_project(name, book_accounts=ACCOUNTS, **own), SystemClock()
        simulated = collect_closes(settings, clock)
        closes, events = more(simulated)
        prices = price_set([*simulated.closes, *closes])
        warehouse = Warehouse(settings)
        load_price_set(warehouse, prices, clock)
        events = [*collect_book(settings, simulated), *events]
        deliver_events(settings, [*events, *events[:40]], clock.now())
        for number, (account_id, (call, liquidation)) in enumerate(OWN_THRESHOLDS.items()):
            change = {"change_id": f"c{number}", "account_id": account_id, "set_by": "ann", "reason": "test"}
            values = {"margin_call_pct": call, "liquidation_pct": liquidation, "set_at": clock.now()}
            warehouse.append(ACCOUNT_THRESHOLDS.table_id, [change | values])

        dbt_build(settings, MODELS)
        return Built(settings, prices, events, lambda: dbt_run(settings, MODELS))

    return build_project


@pytest.fixture(scope="module")
def built(make: Callable[..., Built]) -> Built:
    """Simulated closes and book, an asset that no rule covers, one without closes, and accounts with edges."""
    return make("ballast-stress", _edges)


def _edges(simulated: PriceSet) -> tuple[list[Close], list[SettlementEvent]]:
    last = simulated.last_date
    lived_through = [("ODD", date(2020, 3, 11), "4"), ("ODD", date(2020, 3, 12), "3"), ("ODD", last, "2.5")]
    lived_through += [("ETH", date(2020, 3, 11), "190.123"), ("ETH", date(2020, 3, 12), "111.5")]
    closes = [
        Close(asset, day, Decimal(usd).quantize(Decimal("1e-9")), CSV_SOURCE) for asset, day, usd in lived_through
    ]
    deposit, draw = (Side.COLLATERAL, Kind.DEPOSIT), (Side.BORROW, Kind.DRAW)
    movements = [
        ("edge-short", "BTC", draw, "1.25"),
        ("edge-short", "USDC", deposit, "150000"),
        ("edge-both-sides", "ETH", deposit, "10.000000000000000001"),
        ("edge-both-sides", "ETH", draw, "4"),
        ("edge-only-debt", "USDT", draw, "1000.01"),
        ("edge-lender", "SOL", deposit, "20"),
        ("edge-own", "BTC", deposit, "0.5"),
        ("edge-own", "USDC", draw, "10000"),
        ("edge-odd", "ODD", deposit, "5000"),
        ("edge-odd", "USDC", draw, "6000"),
        ("edge-new", "NEW", deposit, "3"),
        ("edge-new", "USDC", draw, "7"),
        ("edge-new-lender", "NEW", deposit, "3"),
    ]
    at = datetime.combine(last - timedelta(days=3), time(12), UTC)
    return closes, [_event(f"edge-{number}", *movement, at) for number, movement in enumerate(movements)]


def _event(
    event_id: str, account_id: str, asset: str, what: tuple[Side, Kind], quantity: str, at: datetime
) -> SettlementEvent:
    return SettlementEvent(
        event_id=event_id,
        account_id=account_id,
        asset=asset,
        side=what[0],
        kind=what[1],
        quantity=Decimal(quantity),
        occurred_at=at,
        chain="ethereum",
        tx_hash=f"0x{event_id}",
    )


def expected_shock(built: Built, scenario: Mapping[str, str], asset: str) -> Shock:
    """Shock and its source by the words of the files."""
    key = scenario["scenario_id"], scenario["version"]
    listed = next(
        (s for s in seed("stress_shocks") if (s["scenario_id"], s["version"], s["asset"]) == (*key, asset)), None
    )
    if scenario["kind"] == "historical" and (listed is None or listed["measure"] == "close_to_close"):
        start, end = (
            built.close_usd(asset, date.fromisoformat(scenario[day]), real=True) for day in ("start_date", "end_date")
        )
        if start is not None and end is not None:
            return rounded((end - start) / start), "closes"
    if listed is not None:
        return Decimal(listed["shock"]), "recorded" if scenario["kind"] == "historical" else "assumed"
    rule = next(
        (
            rule
            for rule in seed("stress_class_shocks")
            if (rule["scenario_id"], rule["version"], rule["asset_class"]) == (*key, CLASSES.get(asset))
        ),
        None,
    )
    if rule is None:
        return None, None
    source = "proxy" if scenario["kind"] == "historical" else "assumed"
    if rule["shock"]:
        return Decimal(rule["shock"]), source
    proxy, _ = expected_shock(built, scenario, rule["proxy_asset"])
    assert proxy is not None
    return max(Decimal(-1), rounded(proxy * Decimal(rule["multiplier"]))), source


def _side(usd: Mapping[str, Decimal | None], shocks: Mapping[str, Shock]) -> tuple[Decimal | None, Decimal | None]:
    """One side's value before and after; assets of one shock move as one."""
    moved: dict[Decimal | None, Decimal] = defaultdict(Decimal)
    if any(value is None for value in usd.values()):
        return None, None
    for asset, value in usd.items():
        moved[shocks[asset][0]] += value or Decimal(0)
    before = sum(moved.values(), Decimal(0))
    if None in moved:
        return before, None
    return before, before + sum((rounded(value * shock) for shock, value in moved.items() if shock), Decimal(0))


def _health(collateral: Decimal | None, borrow: Decimal | None) -> Decimal | None:
    return None if collateral is None or not borrow else rounded(rounded((collateral - borrow) * 100) / borrow)


def _status(owes: bool, health: Decimal | None, call: Decimal, liquidation: Decimal) -> str:
    if not owes:
        return "no_debt"
    if health is None:
        return "unpriced"
    return "liquidation" if health < liquidation else "margin_call" if health < call else "healthy"


def expected_row(
    built: Built, account_id: str, held: Mapping[str, tuple[Decimal, Decimal]], shocks: Mapping[str, Shock]
) -> dict[str, Any]:
    """One row of the mart, from an account's units and the scenario's shocks."""
    closes = {asset: built.close_usd(asset, built.prices.last_date) for asset in held}
    sides = []
    for side in (0, 1):
        usd = {
            a: None if closes[a] is None else rounded(q[side] * (closes[a] or 0)) for a, q in held.items() if q[side]
        }
        sides.append(_side(usd, shocks))
    (collateral, collateral_after), (borrow, borrow_after) = sides
    call, liquidation = OWN_THRESHOLDS.get(account_id, (None, None))
    call, liquidation = call or Decimal(30), liquidation or Decimal(15)
    owes = any(borrowed > 0 for _, borrowed in held.values())
    before, after = _health(collateral, borrow), _health(collateral_after, borrow_after)
    status = _status(owes, after, call, liquidation)
    sale: Decimal | None = Decimal(0)
    bad_debt: Decimal | None = Decimal(0)
    if status == "unpriced":
        sale = bad_debt = None
    elif owes:
        assert collateral_after is not None
        assert borrow_after is not None
        bad_debt = max(Decimal(0), borrow_after - collateral_after)
        if status == "liquidation":
            gap = collateral_after - borrow_after
            sale = collateral_after if gap <= 0 else borrow_after - rounded(rounded(gap * 100) / max(call, TARGET_PCT))
    pnl = None
    if collateral is not None and borrow is not None and collateral_after is not None and borrow_after is not None:
        pnl = (collateral_after - borrow_after) - (collateral - borrow)
    return {
        "collateral_before_usd": collateral,
        "borrow_before_usd": borrow,
        "collateral_after_usd": collateral_after,
        "borrow_after_usd": borrow_after,
        "pnl_usd": pnl,
        "health_before_pct": before,
        "health_after_pct": after,
        "status_before": _status(owes, before, call, liquidation),
        "status_after": status,
        "collateral_to_sell_usd": sale,
        "bad_debt_usd": bad_debt,
        "is_unknown": pnl is None,
    }


def test_account_rows__equal_the_recomputation(built: Built) -> None:
    rows, positions = built.account_rows(), built.positions()
    expected = {}
    with localcontext() as context:
        context.prec = 60
        for scenario in seed("stress_scenarios"):
            assets = {asset for held in positions.values() for asset in held}
            shocks = {asset: expected_shock(built, scenario, asset) for asset in assets}
            for account_id, held in positions.items():
                expected[scenario["scenario_id"], account_id] = expected_row(built, account_id, held, shocks)
    assert rows.keys() == expected.keys()
    assert len(rows) == 23 * (ACCOUNTS + 8)
    for key, wanted in expected.items():
        row = rows[key] | {"is_unknown": rows[key]["reason"] is not None}
        assert {name: row[name] for name in wanted} == wanted, key
    assert {row["status_after"] for row in rows.values()} == {
        "healthy",
        "margin_call",
        "liquidation",
        "no_debt",
        "unpriced",
    }


def test_account_rows__rank_losses_and_say_why_they_are_unknown(built: Built) -> None:
    rows = built.account_rows()
    for scenario in seed("stress_scenarios"):
        own = [row for (scenario_id, _), row in rows.items() if scenario_id == scenario["scenario_id"]]
        known = sorted((row for row in own if row["reason"] is None), key=lambda row: row["loss_rank"])
        assert [row["loss_rank"] for row in known] == list(range(1, len(known) + 1))
        assert all(one["pnl_usd"] <= other["pnl_usd"] for one, other in pairwise(known))
        assert all(row["loss_rank"] is None for row in own if row["reason"] is not None)
    day = built.prices.last_date
    assert rows["ladder_05", "edge-new"]["reason"] == f"no close of NEW on {day}"
    assert rows["ladder_05", "edge-odd"]["reason"] == "no shock of ODD, which asset_reference does not list"
    # The price set holds real closes of both days for it: then no rule is needed.
    assert rows["covid_2020_03", "edge-odd"]["reason"] is None
    assert rows["rally_30", "edge-short"]["pnl_usd"] < 0


def test_shocks__of_simulated_days_are_what_was_recorded(built: Built) -> None:
    """The simulated history begins in January 2023: what it says of March 2023 is no history."""
    sources = {(row["scenario_id"], row["asset"]): row["shock_source"] for row in built.warehouse.query(SHOCKS_SQL)}
    assert built.close_usd("BTC", date(2023, 3, 10)) is not None
    assert sources["usdc_2023_03", "BTC"] == "recorded"
    assert sources["usdc_2023_03", "USDC"] == "recorded"
    assert sources["covid_2020_03", "ETH"] == "closes"
    assert sources["covid_2020_03", "SOL"] == "proxy"
    assert sources["covid_2020_03", "NEW"] is None
    assert set(sources.values()) == {"closes", "recorded", "proxy", "assumed", None}


def test_results__are_the_sums_of_the_account_rows(built: Built) -> None:
    rows, results = built.account_rows(), built.result_rows()
    assert results.keys() == {scenario["scenario_id"] for scenario in seed("stress_scenarios")}
    for scenario_id, result in results.items():
        own = [row for (of, _), row in rows.items() if of == scenario_id]
        known = [row for row in own if row["reason"] is None]
        assert result["accounts"] == len(own)
        assert result["unknown_accounts"] == len(own) - len(known) > 0
        assert result["unpriced_accounts"] == sum(row["status_after"] == "unpriced" for row in own)
        assert result["reason"].startswith(f"{len(own) - len(known)} of {len(own)} accounts unknown: no close of NEW")
        for name in ("pnl_usd", "collateral_to_sell_usd", "bad_debt_usd"):
            assert result[name] == sum(row[name] for row in known)
        changes = [(row["status_before"], row["status_after"]) for row in known]
        assert result["margin_call_accounts"] == sum(after == "margin_call" for _, after in changes)
        assert result["new_margin_call_accounts"] == changes.count(("healthy", "margin_call"))
        assert result["liquidation_accounts"] == sum(after == "liquidation" for _, after in changes)
        assert result["new_liquidation_accounts"] == sum(
            changes.count((before, "liquidation")) for before in ("healthy", "margin_call")
        )
        losers = sorted((row for row in known if row["pnl_usd"] < 0), key=lambda row: row["loss_rank"])[:5]
        assert (result["top_loss_account_ids"] or "") == ",".join(row["account_id"] for row in losers)
        assert (result["is_simulated"], result["price_set_id"]) == (True, built.prices.price_set_id)


def test_results__rebuilt_for_the_same_day_are_identical(built: Built) -> None:
    before = built.result_rows(), built.account_rows()
    built.rebuild()
    after = built.result_rows(), built.account_rows()
    for old, new in zip(before, after, strict=True):
        assert old.keys() == new.keys()
        assert all(new[key]["computed_at"] > old[key]["computed_at"] for key in old)  # type: ignore[index]
        assert [row | {"computed_at": None} for row in old.values()] == [
            new[key] | {"computed_at": None}  # type: ignore[index]
            for key in old
        ]


def test_reads__give_the_last_build_and_the_largest_losses(built: Built) -> None:
    results = stress_results(built.warehouse)
    assert len(results) == 23
    assert [result.kind for result in results] == ["historical"] * 5 + ["hypothetical"] * 6 + ["ladder"] * 12
    everybody = stressed_accounts(built.warehouse, "crash_50", 1000)
    assert len(everybody) == ACCOUNTS + 8
    assert stressed_accounts(built.warehouse, "crash_50", 3) == everybody[:3]
    assert [each.loss_rank for each in everybody[:3]] == [1, 2, 3]
    assert everybody[-1].loss_rank is None
    assert ",".join(each.account_id for each in everybody[:5]) == next(
        result.top_loss_account_ids for result in results if result.scenario_id == "crash_50"
    )
    assert stressed_accounts(built.warehouse, "no_such_scenario") == []


class Without:
    """A reader that does not see some accounts."""

    def __init__(self, warehouse: Warehouse, *account_ids: str) -> None:
        self._warehouse, self._account_ids = warehouse, account_ids

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return [row for row in self._warehouse.query(sql, parameters) if row["account_id"] not in self._account_ids]


@pytest.mark.parametrize("asset", ["BTC", "ETH", "USDC"])
@pytest.mark.parametrize("measure", list(Measure))
@pytest.mark.parametrize("loss_usd", [Decimal("0.000000001"), Decimal("12345.67"), Decimal(250_000), Decimal(10**9)])
def test_reverse_stress__agrees_with_brute_force_over_the_accounts(
    built: Built, asset: str, measure: Measure, loss_usd: Decimal
) -> None:
    found = reverse_stress(Without(built.warehouse, "edge-new"), loss_usd, asset, measure)
    step = Decimal("1e-18")
    with localcontext() as context:
        context.prec = 60

        def lost(fall: Decimal) -> Decimal:
            return _lost(built, asset, fall, measure)

        if found.fall is not None:
            assert lost(found.fall) >= loss_usd > lost(found.fall - step)
            assert all(lost(found.fall * part / 10) < loss_usd for part in range(1, 10))
        elif found.reason is NoFall.ALREADY_LOST:
            assert lost(Decimal(0)) >= loss_usd
        else:
            assert found.reason is NoFall.NEVER_REACHED
            assert all(lost(Decimal(part) / 20) < loss_usd for part in range(21))
    assert (found.as_of_date, found.price_set_id) == (built.prices.last_date, built.prices.price_set_id)
    assert (found.accounts, found.unpriced_accounts) == (ACCOUNTS + 7, 0)


def _lost(built: Built, asset: str, fall: Decimal, measure: Measure) -> Decimal:
    lost = Decimal(0)
    for held in built.positions().values():
        if "NEW" in held:
            continue
        usd = {
            name: [rounded(quantity * (built.close_usd(name, built.prices.last_date) or 0)) for quantity in sides]
            for name, sides in held.items()
        }
        before = sum((one - other for one, other in usd.values()), Decimal(0))
        moved = fall * (usd[asset][0] - usd[asset][1]) if asset in usd else Decimal(0)
        if measure is Measure.EQUITY:
            lost += moved
        elif any(borrow > 0 for _, borrow in held.values()):
            lost += max(Decimal(0), moved - before)
    return lost


def test_reverse_stress__names_what_it_cannot_know(built: Built) -> None:
    unknown = reverse_stress(built.warehouse, Decimal(10_000), "BTC", Measure.BAD_DEBT)
    assert (unknown.fall, unknown.reason, unknown.unpriced_accounts) == (None, NoFall.UNPRICED, 1)
    equity = reverse_stress(built.warehouse, Decimal(10_000))
    assert equity.fall is not None
    assert reverse_stress(built.warehouse, Decimal(1), "NEW").reason is NoFall.UNPRICED
    assert reverse_stress(built.warehouse, Decimal(1), "NOBODYHAS").reason is NoFall.NO_EXPOSURE
    assert {share.account_id for share in asset_shares(built.warehouse, "BTC")} == built.positions().keys()


@pytest.mark.skipif(not REAL_CLOSES.is_dir(), reason="the real daily closes are not on this machine")
def test_shocks__of_real_closes_are_their_exact_ratio(make: Callable[..., Built]) -> None:
    built = make("ballast-stress-real", lambda _: ([], []), prices_dir=REAL_CLOSES)
    shocks = {(row["scenario_id"], row["asset"]): row for row in built.warehouse.query(SHOCKS_SQL)}
    recorded = {(row["scenario_id"], row["asset"]): row for row in seed("stress_shocks")}
    checked = 0
    for scenario in seed("stress_scenarios"):
        for asset in CLASSES:
            row = shocks[scenario["scenario_id"], asset]
            assert (row["shock"], row["shock_source"]) == expected_shock(built, scenario, asset)
            if row["shock_source"] == "closes":
                listed = recorded[scenario["scenario_id"], asset]
                assert abs(row["shock"] - Decimal(listed["shock"])) <= Decimal("0.005"), listed
                checked += 1
    # Six assets in five scenarios, of which SOL did not exist in March 2020.
    assert checked == 29
    assert (shocks["covid_2020_03", "SOL"]["shock_source"], shocks["covid_2020_03", "SOL"]["proxy_asset"]) == (
        "proxy",
        "BTC",
    )
    assert shocks["usdc_2023_03", "USDC"]["shock"] == Decimal("-0.12")

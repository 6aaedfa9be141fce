"""The scenario files: what they must cover, and that what they record is what real closes say."""

from __future__ import annotations

import csv
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

import pytest

from infra.runtime.settings import PROJECT_ROOT

REAL_CLOSES = PROJECT_ROOT.parent / "shared" / "data" / "prices_daily"
SEEDS = PROJECT_ROOT / "dbt_project" / "seeds"
ASSETS = ("BTC", "ETH", "SOL", "LINK", "BNB", "XRP")
CENT = Decimal("0.01")


def seed(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


SCENARIOS = {row["scenario_id"]: row for row in seed("stress_scenarios")}
HISTORICAL = [name for name, row in SCENARIOS.items() if row["kind"] == "historical"]
RULES = {(row["scenario_id"], row["asset_class"]): row for row in seed("stress_class_shocks")}


def closes(asset: str) -> dict[str, Decimal]:
    with (REAL_CLOSES / f"{asset}.csv").open(newline="", encoding="utf-8") as lines:
        return {row["date"]: Decimal(row["close_usd"]) for row in csv.DictReader(lines)}


def recorded(scenario_id: str) -> dict[str, Decimal]:
    return {
        row["asset"]: Decimal(row["shock"])
        for row in seed("stress_shocks")
        if row["scenario_id"] == scenario_id and row["measure"] == "close_to_close"
    }


def test_files__cover_both_classes_in_every_scenario() -> None:
    assert RULES.keys() == {(name, of) for name in SCENARIOS for of in ("volatile", "stablecoin")}
    assert [
        len([row for row in SCENARIOS.values() if row["kind"] == kind])
        for kind in ("historical", "hypothetical", "ladder")
    ] == [5, 6, 12]


def test_ladder__falls_by_steps_of_five_percent_to_sixty() -> None:
    ladder = {name: row for name, row in SCENARIOS.items() if row["kind"] == "ladder"}
    steps = [Decimal(RULES[name, "volatile"]["shock"]) for name in ladder]
    assert steps == [Decimal(-5 * step) / 100 for step in range(1, 13)]
    assert list(ladder) == [f"ladder_{5 * step:02d}" for step in range(1, 13)]
    assert {Decimal(RULES[name, "stablecoin"]["shock"]) for name in ladder} == {Decimal(0)}


@pytest.mark.parametrize("scenario_id", [name for name in HISTORICAL if name != "usdc_2023_03"])
def test_proxy__is_the_largest_multiple_of_the_recorded_falls_up_to_a_quarter(scenario_id: str) -> None:
    falls = recorded(scenario_id)
    largest = max(fall / falls["BTC"] for fall in falls.values())
    quarter = (largest * 4).to_integral_value(ROUND_CEILING) / 4
    assert Decimal(RULES[scenario_id, "volatile"]["multiplier"]) == quarter
    assert RULES[scenario_id, "volatile"]["proxy_asset"] == "BTC"


@pytest.mark.skipif(not REAL_CLOSES.is_dir(), reason="the real daily closes are not on this machine")
@pytest.mark.parametrize("scenario_id", HISTORICAL)
def test_recorded_shocks__are_the_closes_rounded_to_whole_percent(scenario_id: str) -> None:
    start, end = SCENARIOS[scenario_id]["start_date"], SCENARIOS[scenario_id]["end_date"]
    wanted = {}
    for asset in ASSETS:
        of = closes(asset)
        if start in of and end in of:
            wanted[asset] = (of[end] / of[start] - 1).quantize(CENT, rounding=ROUND_HALF_UP)
    assert recorded(scenario_id) == wanted

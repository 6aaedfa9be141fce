"""Resamples are whole, repeatable and in blocks; their intervals are those of a plain loop over what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import NDArray

from assets.risk.engine import estimators
from assets.risk.engine.bootstrap import REPLICATES, seed_of, stationary_draws
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.estimators import Floats, age_weighted, age_weights, bootstrap_intervals, historical
from assets.risk.engine.levels import STANDARD_CONFIDENCES, tail_count

LEVELS = [*STANDARD_CONFIDENCES, Decimal("0.75")]
Draws = NDArray[np.int64]


def test_seed__is_the_same_for_ever_and_fits_a_bigquery_integer() -> None:
    seed = seed_of("px-test", date(2026, 1, 30), "bootstrap", 500, 1)
    assert seed == seed_of("px-test", "2026-01-30", "bootstrap", "500", "1") == 42141119574045
    assert 0 <= seed < 2**48


def test_seed__differs_with_every_part_and_where_it_is_cut() -> None:
    parts: list[tuple[object, ...]] = [("a", "b"), ("ab",), ("a", "b", ""), ("b", "a"), (), ("",), ("a", 1), ("a", 10)]
    # Nothing and an empty part are the same text; all others differ.
    assert len({seed_of(*each) for each in parts}) == len(parts) - 1


@pytest.mark.parametrize("observations", [2, 60, 250])
def test_draws__are_as_many_as_there_are_observations(observations: int) -> None:
    draws = stationary_draws(observations, seed=1, replicates=200)
    assert draws.shape == (200, observations)
    assert (draws.sum(axis=1) == observations).all()
    assert (draws >= 0).all()


def test_draws__follow_from_the_seed() -> None:
    first = stationary_draws(100, seed=1, replicates=20)
    np.testing.assert_array_equal(stationary_draws(100, seed=1, replicates=20), first)
    assert (stationary_draws(100, seed=2, replicates=20) != first).any()
    # More replicates continue the same stream.
    np.testing.assert_array_equal(stationary_draws(100, seed=1, replicates=30)[:20], first)


def test_draws__take_each_observation_equally_often() -> None:
    drawn = stationary_draws(60, seed=3, replicates=4_000).mean(axis=0)
    assert drawn == pytest.approx(np.ones(60), abs=0.1)


def test_draws__of_longer_blocks_keep_neighbours_together() -> None:
    def together(mean_block: int) -> float:
        draws = stationary_draws(200, seed=3, replicates=400, mean_block=mean_block)
        return float(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1])

    assert together(20) > together(8) > 0.8
    assert abs(together(1)) < 0.05


@pytest.mark.parametrize("observations", [0, 1])
def test_draws__need_two_observations(observations: int) -> None:
    with pytest.raises(RiskInputError, match="at least two observations"):
        stationary_draws(observations, seed=1)


def pnl_of(portfolios: int, scenarios: int) -> Floats:
    return np.asarray(np.round(np.random.default_rng(8).standard_t(3, (portfolios, scenarios)) * 1_000, -1))


def by_a_loop(row: Floats, draws: Draws, confidence: Decimal, weights: Floats | None) -> list[float]:
    """Percentiles of VaR and of ES, each replicate written out and estimated anew."""
    found = []
    for counts in draws:
        if weights is None:
            losses = np.sort(-np.repeat(row, counts))[::-1]
            k = tail_count(len(row), confidence)
            found.append((losses[k - 1], losses[:k].mean()))
            continue
        shares = counts * weights / (counts * weights).sum()
        reached = lost = 0.0
        for place in np.argsort(row, kind="stable"):
            reached += shares[place]
            lost -= shares[place] * row[place]
            if reached >= float(1 - confidence) - 1e-13:
                found.append((-row[place], max(lost / reached, -row[place])))
                break
    return [float(np.percentile([each[figure] for each in found], q)) for figure in (0, 1) for q in (2.5, 97.5)]


def avoiding(worst: int, rows: Floats, replicates: int) -> Draws:
    """Draws of anything but the `worst` scenarios of the first row."""
    scenarios = rows.shape[1]
    rest = np.argsort(rows[0], kind="stable")[worst:]
    generator = np.random.default_rng(2)
    return np.array([np.bincount(generator.choice(rest, scenarios), minlength=scenarios) for _ in range(replicates)])


# Of 250 scenarios 166 are sorted for 75%, of 100 scenarios 90: the last draws but one reach beyond them.
DRAWS: dict[str, Callable[[Floats], Draws]] = {
    "stationary": lambda pnl: stationary_draws(pnl.shape[1], 4, 40),
    "without the worst third": lambda pnl: avoiding(pnl.shape[1] // 3, pnl, 20),
    "without the worst 95%": lambda pnl: avoiding(pnl.shape[1] * 95 // 100, pnl, 20),
    "one scenario only": lambda pnl: np.eye(pnl.shape[1], dtype=np.int64)[:5] * pnl.shape[1],
}


@pytest.mark.parametrize("decay", [None, 0.98])
@pytest.mark.parametrize("scenarios", [60, 100, 250])
@pytest.mark.parametrize("drawn", DRAWS)
def test_intervals__are_percentiles_of_the_estimates_of_what_was_drawn(
    drawn: str, scenarios: int, decay: float | None
) -> None:
    pnl = pnl_of(3, scenarios)
    draws = DRAWS[drawn](pnl)
    weights = None if decay is None else age_weights(scenarios, decay)
    found = bootstrap_intervals(pnl, LEVELS, draws, weights)
    for confidence, bounds in zip(LEVELS, found, strict=True):
        for place, row in enumerate(pnl):
            expected = by_a_loop(row, draws, confidence, weights)
            assert [each[place] for each in bounds] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_intervals__sort_all_scenarios_only_where_a_tail_lies_deeper(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    count_tails = estimators._count_tails

    def watched(losses: Floats, *arguments: object) -> bool:
        sizes.append(losses.shape[1])
        return count_tails(losses, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(estimators, "_count_tails", watched)
    pnl, level = pnl_of(2, 250), [Decimal("0.99")]
    bootstrap_intervals(pnl, level, stationary_draws(250, 4, 30))
    assert sizes == [46] * 30
    sizes.clear()
    bootstrap_intervals(pnl, level, avoiding(60, pnl, 3))
    assert sizes == [46, 250] * 3


@pytest.mark.parametrize("is_weighted", [False, True])
def test_intervals__enclose_the_estimate_in_nearly_all_samples(is_weighted: bool) -> None:
    pnl = np.random.default_rng(6).standard_t(4, (200, 250)) * 100
    weights = age_weights(250) if is_weighted else None
    levels = [Decimal("0.95"), Decimal("0.975"), Decimal("0.99")]
    tails = (age_weighted if is_weighted else historical)(pnl, levels)
    found = bootstrap_intervals(pnl, levels, stationary_draws(250, 5, REPLICATES), weights)
    for tail, (var_low, var_high, es_low, es_high) in zip(tails, found, strict=True):
        assert ((var_low <= tail.var) & (tail.var <= var_high)).mean() >= 0.97
        assert ((es_low <= tail.es) & (tail.es <= es_high)).mean() >= 0.97
        assert (var_low <= es_low * (1 + 1e-12)).all()
        assert (var_high <= es_high * (1 + 1e-12)).all()


def test_intervals__of_unknown_pnl_are_unknown() -> None:
    pnl = np.vstack([np.full(60, np.nan), pnl_of(1, 60)])
    for weights in (None, age_weights(60)):
        for bounds in bootstrap_intervals(pnl, LEVELS, stationary_draws(60, 4, 20), weights):
            assert np.isnan([each[0] for each in bounds]).all()
            assert np.isfinite([each[1] for each in bounds]).all()

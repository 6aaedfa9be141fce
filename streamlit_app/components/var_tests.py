"""The tests behind a backtest's verdict, each with what it asks and its p-values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assets.risk.var_queries import VarBacktest
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Column, text

NOT_COMPUTED = "not computed"
ZONE_WORDS = {"green": "Green zone", "yellow": "Yellow zone", "red": "Red zone"}
_SMALLEST_P = 0.001


@dataclass(frozen=True)
class _Test:
    name: str
    asks: str
    statistic: Callable[[VarBacktest], float | None]
    p_value: Callable[[VarBacktest], float | None]
    exact_p_value: Callable[[VarBacktest], float | None]


def _none(_row: VarBacktest) -> float | None:
    return None


_TESTS = (
    _Test(
        "Kupiec",
        "as many exceptions as the confidence says",
        lambda row: row.kupiec_statistic,
        lambda row: row.kupiec_p_value,
        lambda row: row.kupiec_exact_p_value,
    ),
    _Test(
        "Independence",
        "no exception because of the day before",
        lambda row: row.independence_statistic,
        lambda row: row.independence_p_value,
        lambda row: row.independence_exact_p_value,
    ),
    _Test(
        "Conditional coverage",
        "number and order together",
        lambda row: row.conditional_statistic,
        lambda row: row.conditional_p_value,
        lambda row: row.conditional_exact_p_value,
    ),
    _Test(
        "Duration",
        "no clusters at any distance",
        lambda row: row.duration_statistic,
        lambda row: row.duration_p_value,
        lambda row: row.duration_exact_p_value,
    ),
    _Test(
        "Dynamic quantile",
        "nothing known before predicts an exception",
        lambda row: row.dynamic_quantile_statistic,
        lambda row: row.dynamic_quantile_p_value,
        lambda row: row.dynamic_quantile_exact_p_value,
    ),
    _Test(
        "McNeil-Frey",
        "losses beyond VaR are as large as ES says",
        lambda row: row.mcneil_frey_statistic,
        lambda row: row.mcneil_frey_p_value,
        _none,
    ),
    _Test(
        "Acerbi-Szekely Z2",
        "the same; below zero: ES is understated",
        lambda row: row.acerbi_szekely_z2,
        lambda row: row.acerbi_szekely_p_value,
        _none,
    ),
)


def tests_html(row: VarBacktest) -> str:
    """Every test of one backtest: what it asks, its statistic, and its p-values."""
    columns = (
        Column("Test"),
        Column("Statistic", True),
        Column("p-value of the sample", True),
        Column("p-value asymptotic or simulated", True),
    )
    rows = [
        (
            text(test.name, test.asks),
            text(
                NOT_COMPUTED if (found := test.statistic(row)) is None else f"{found:.2f}".replace("-", formats.MINUS)
            ),
            text("none is defined" if test.exact_p_value is _none else p_value(test.exact_p_value(row))),
            text(p_value(test.p_value(row))),
        )
        for test in _TESTS
    ]
    facts = [
        ("Traffic light", formats.words(row.zone, ZONE_WORDS) if row.zone else "not defined for these days"),
        ("Multiplier of 1996", formats.UNKNOWN if row.multiplier_1996 is None else f"{row.multiplier_1996:.2f}"),
        ("Multiplier of FRTB", formats.UNKNOWN if row.multiplier_frtb is None else f"{row.multiplier_frtb:.2f}"),
        ("Days without a forecast or P&L", f"{row.missing:,}"),
    ]
    if row.multiplier_1996 is None and row.multiplier_frtb is None:
        facts = [each for each in facts if not each[0].startswith("Multiplier")]
    return markup.table("Tests and p-values", columns, rows) + markup.facts(facts) + markup.note(row.notes or "")


def p_value(value: float | None) -> str:
    """A p-value with three decimals; one that the data could not carry is `not computed`."""
    if value is None:
        return NOT_COMPUTED
    return f"< {_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"

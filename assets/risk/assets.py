"""Statistics that SQL cannot express well, as assets beside the marts, and the verdicts of the backtests as checks."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from assets.platform import Platform
from assets.risk.backtests import Judged, backtest
from assets.risk.engine.backtests import Verdict
from assets.risk.engine.methods import Method
from assets.risk.method_estimates import DEADLINE_S, estimate_methods
from infra.runtime.clock import SystemClock

GROUP = "risk"
DAILY = {"daily": ""}
OWNERS = ("team:risk",)


class EstimationConfig(dg.Config):
    """How long the methods may take in all, in seconds; what is not computed by then says so in its row."""

    deadline_seconds: float = DEADLINE_S


@dg.asset(
    key=["risk", "var_method_estimates"],
    group_name=GROUP,
    kinds={"bigquery", "numpy"},
    owners=list(OWNERS),
    tags=DAILY,
    deps=[
        ["intermediate", "int_risk__exposure_vectors"],
        ["intermediate", "int_risk__portfolio_exposures"],
        ["intermediate", "int_risk__var_plan"],
        ["staging", "stg_market__daily_closes"],
    ],
)
def var_method_estimates(
    context: dg.AssetExecutionContext, config: EstimationConfig, platform: Platform
) -> dg.MaterializeResult[Any]:
    """Value at Risk by every method of the plan, with bootstrap intervals, which the marts take in."""
    written = estimate_methods(
        platform.warehouse(),
        SystemClock(),
        lambda done, total, what: context.log.info(f"methods: {done} of {total}, {what}"),
        config.deadline_seconds,
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": written.rows,
            "portfolios": written.portfolios,
            "as_of_date": str(written.as_of_date),
            "price_set_id": written.price_set_id,
            "not_computed_in_time": written.not_computed,
        }
    )


BACKTESTS_KEY = dg.AssetKey(["risk", "var_backtests"])
EXCEPTIONS_KEY = dg.AssetKey(["risk", "var_exceptions"])
_DEPS = (
    dg.AssetKey(["risk", "portfolio_var"]),
    dg.AssetKey(["risk", "book_var"]),
    dg.AssetKey(["intermediate", "int_risk__asset_returns"]),
    dg.AssetKey(["intermediate", "int_risk__portfolio_exposures"]),
    dg.AssetKey(["intermediate", "int_risk__realised_pnl"]),
)
_CHECKS = {
    "book_model_verdict": "The model of the book, over history: amber warns, red fails.",
    "stored_forecasts_verdict": "What the book's marts said each day: amber and unknown warn, red fails.",
    "other_verdicts": "All other subjects and methods: anything but green warns.",
}


@dg.multi_asset(
    name="var_backtest_assets",
    specs=[
        dg.AssetSpec(
            key,
            group_name=GROUP,
            kinds={"bigquery", "scipy"},
            owners=list(OWNERS),
            tags=DAILY,
            deps=_DEPS,
            description=description,
        )
        for key, description in (
            (BACKTESTS_KEY, "Backtests of the stored forecasts and, over history, of each method."),
            (EXCEPTIONS_KEY, "Days whose loss exceeded the forecast."),
        )
    ],
    check_specs=[dg.AssetCheckSpec(name, asset=BACKTESTS_KEY, description=told) for name, told in _CHECKS.items()],
)
def var_backtest_assets(
    context: dg.AssetExecutionContext, platform: Platform
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Hold forecasts against what followed, and say as checks what came of it."""
    judged = backtest(
        platform.warehouse(),
        SystemClock(),
        lambda done, total, what: context.log.info(f"backtests: {done} of {total}, {what}"),
    )
    counted = Counter(str(each.verdict) for each in judged)
    yield dg.MaterializeResult(asset_key=BACKTESTS_KEY, metadata={"dagster/row_count": len(judged), **counted})
    yield dg.MaterializeResult(asset_key=EXCEPTIONS_KEY)
    yield from verdict_checks(judged)


def verdict_checks(judged: Sequence[Judged]) -> Iterator[dg.AssetCheckResult]:
    """The three checks of the backtests; the worst verdict of a group is its result, and its words the description."""
    standard = [each for each in judged if each.subject_kind == "book" and each.method is Method.HISTORICAL]
    groups = {
        "book_model_verdict": [each for each in standard if each.kind == "history"],
        "stored_forecasts_verdict": [each for each in standard if each.kind == "stored_forecasts"],
        "other_verdicts": [each for each in judged if each not in standard],
    }
    for name, members in groups.items():
        ordered = sorted(members, key=lambda each: _SEVERITY[each.verdict], reverse=True)
        worst = ordered[0].verdict if ordered else Verdict.UNKNOWN
        fails = worst is Verdict.RED and name != "other_verdicts"
        yield dg.AssetCheckResult(
            asset_key=BACKTESTS_KEY,
            check_name=name,
            passed=worst is Verdict.GREEN,
            severity=dg.AssetCheckSeverity.ERROR if fails else dg.AssetCheckSeverity.WARN,
            description=_words(ordered[0]) if ordered else "nothing was backtested",
            metadata={
                "verdicts": dg.MetadataValue.json(Counter(str(each.verdict) for each in members)),
                "worst": dg.MetadataValue.json([_words(each) for each in ordered[:10]]),
            },
        )


_SEVERITY = {Verdict.GREEN: 0, Verdict.UNKNOWN: 1, Verdict.AMBER: 2, Verdict.RED: 3}


def _words(judged: Judged) -> str:
    subject = judged.subject_kind if judged.subject_kind == "book" else f"{judged.subject_kind} {judged.subject_id}"
    question = f"{judged.method} at {judged.confidence:%}, {judged.period.replace('_', ' ')}"
    return f"{judged.verdict}: {subject}, {question}: {judged.reason}"

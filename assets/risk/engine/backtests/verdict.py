"""From the tests of one backtest to a colour and the sentence that explains it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from assets.risk.engine.backtests.coverage import CoverageTests
from assets.risk.engine.backtests.duration import DurationOutcome
from assets.risk.engine.backtests.outcomes import Outcome
from assets.risk.engine.backtests.shortfall import Z2_CRITICAL_5_PERCENT, ResidualOutcome, Z2Outcome
from assets.risk.engine.backtests.traffic_light import STANDARD_OBSERVATIONS, TrafficLight, Zone

_RED_SIGNIFICANCE = 0.001


class Verdict(StrEnum):
    """What a reader should make of the forecasts."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on."""

    observations: int
    missing: int
    exceptions: int
    expected_exceptions: float
    coverage: CoverageTests
    duration: DurationOutcome
    dynamic_quantile: Outcome
    traffic_light: TrafficLight
    es_residuals: ResidualOutcome
    z2: Z2Outcome


def judge(evidence: Evidence) -> tuple[Verdict, str]:
    """The colour and why.

    Unknown with fewer than 250 observations. Red if the zone is red, or if there are too many exceptions with an exact
    Kupiec p-value below 0.001. Amber if the zone is yellow, or one of these rejects at 5%: Kupiec and conditional
    coverage by their exact p-values, independence (among orderings of the same number of exceptions), duration and
    dynamic quantile; or if Z2 does: below -0.70 where that is its 5% value (250 days at 97.5%), else by simulation.
    Green else. Too few exceptions are amber, as the forecasts are too large.
    """
    if evidence.observations < STANDARD_OBSERVATIONS:
        return Verdict.UNKNOWN, _too_short(evidence)
    rate, order, size = _rate_findings(evidence), _order_findings(evidence), _size_findings(evidence)
    findings = [*rate, *order, *size]
    head = f"{_counted(evidence)}: "
    tail = _remark(evidence)
    if not findings:
        return Verdict.GREEN, f"{head}{_coverage_holds(evidence)}, and {_nothing_else(evidence)}{tail}"
    verdict = Verdict.RED if _is_red(evidence) else Verdict.AMBER
    words = "; ".join(findings)
    return verdict, head + (words if rate else f"{_coverage_holds(evidence)}, but {words}") + tail


def _is_red(evidence: Evidence) -> bool:
    """Red zone, or far too many exceptions."""
    too_many = evidence.exceptions > evidence.expected_exceptions
    certain = evidence.coverage.unconditional.rejects(_RED_SIGNIFICANCE)
    return evidence.traffic_light.zone is Zone.RED or (too_many and certain)


def _rate_findings(evidence: Evidence) -> list[str]:
    """What is wrong with the number of exceptions."""
    kupiec = evidence.coverage.unconditional
    zone = evidence.traffic_light.zone
    findings = []
    if zone is not Zone.GREEN:
        chance = _probability(evidence.traffic_light.type_one_probability)
        meaning = "VaR is too small" if zone is Zone.RED else "VaR may be too small"
        findings.append(f"{zone.value} zone (a right model has this many or more with probability {chance}): {meaning}")
    if kupiec.rejects():
        direction = "too many" if evidence.exceptions > evidence.expected_exceptions else "too few"
        findings.append(f"{direction} exceptions for the confidence (Kupiec exact p {_p_value(kupiec)})")
    elif findings:
        findings.append(f"Kupiec does not reject (exact p {_p_value(kupiec)})")
    return findings


def _order_findings(evidence: Evidence) -> list[str]:
    """What is wrong with the times of the exceptions."""
    independence, duration = evidence.coverage.independence, evidence.duration
    findings = []
    if independence.rejects():
        findings.append(f"exceptions depend on the day before (Christoffersen exact p {_p_value(independence)})")
    if duration.rejects():
        pattern = "come in clusters" if (duration.shape or 0) < 1 else "are spaced too evenly"
        findings.append(f"exceptions {pattern} (duration p {_p_value(duration)})")
    if evidence.dynamic_quantile.rejects():
        findings.append(
            "earlier exceptions or the forecast predict exceptions, or their rate is wrong"
            f" (dynamic quantile p {_p_value(evidence.dynamic_quantile)})"
        )
    if evidence.coverage.conditional.rejects():
        findings.append(
            f"number and order of exceptions together are unlikely (conditional coverage exact p"
            f" {_p_value(evidence.coverage.conditional)})"
        )
    return findings


def _size_findings(evidence: Evidence) -> list[str]:
    """What is wrong with the size of the losses beyond VaR."""
    z2 = evidence.z2
    if not z2.rejects() or z2.statistic is None:
        return []
    by_paper = z2.critical_values_apply or z2.p_value is None
    told = (
        f"is below {Z2_CRITICAL_5_PERCENT:.2f}"
        if by_paper
        else f"has p {_probability(z2.p_value or 0.0)} by simulation"
    )
    return [f"losses beyond VaR are larger or more than Expected Shortfall allows (Z2 {z2.statistic:.2f} {told})"]


def _counted(evidence: Evidence) -> str:
    """How many exceptions there are."""
    noun = "exception" if evidence.exceptions == 1 else "exceptions"
    expected = f"{evidence.expected_exceptions:.1f}".removesuffix(".0")
    return f"{evidence.exceptions} {noun} in {evidence.observations} days, {expected} expected"


def _coverage_holds(evidence: Evidence) -> str:
    """The number of exceptions passes."""
    return f"coverage holds (green zone, Kupiec exact p {_p_value(evidence.coverage.unconditional)})"


def _nothing_else(evidence: Evidence) -> str:
    """Which of the other tests pass, and that some could not be computed."""
    skipped = [
        name
        for name, reason in (
            ("duration", evidence.duration.reason),
            ("dynamic quantile", evidence.dynamic_quantile.reason),
            ("Z2", evidence.z2.reason),
        )
        if reason is not None
    ]
    return "no deciding test rejects" + (f" (not computed: {', '.join(skipped)})" if skipped else "")


def _remark(evidence: Evidence) -> str:
    """What the tests say that inform but decide nothing."""
    remarks = []
    if evidence.coverage.first_failure.rejects():
        remarks.append(
            f"unusual wait for the first exception (TUFF exact p {_p_value(evidence.coverage.first_failure)})"
        )
    if evidence.es_residuals.rejects():
        remarks.append(
            f"losses beyond VaR exceed Expected Shortfall on average (McNeil-Frey p {_p_value(evidence.es_residuals)})"
        )
    return f". Without weight in the verdict: {'; '.join(remarks)}" if remarks else ""


def _too_short(evidence: Evidence) -> str:
    """Why there is no verdict."""
    dropped = f", {evidence.missing} more lack a forecast or P&L" if evidence.missing else ""
    if evidence.observations == 0:
        return f"no day has both a forecast and P&L{f' ({evidence.missing} rows)' if evidence.missing else ''}"
    return f"{_counted(evidence)}: a verdict needs {STANDARD_OBSERVATIONS} days{dropped}"


def _p_value(outcome: Outcome) -> str:
    """The decisive p-value."""
    decisive = outcome.decisive_p_value
    return "unknown" if decisive is None else _probability(decisive)


def _probability(value: float) -> str:
    """Three digits after the point; smaller ones are only said to be smaller."""
    return "below 0.001" if value < _RED_SIGNIFICANCE else f"{value:.3f}"

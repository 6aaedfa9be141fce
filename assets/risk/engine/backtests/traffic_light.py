"""The supervisors' view: zones, capital multipliers and the limits of a trading desk.

Sources: Basel Committee (1996), Supervisory Framework for the Use of Backtesting, now MAR99; MAR32 (FRTB) for the
multipliers from 1.50 and for the desk limits. MAR32 also counts a day without forecast or P&L as an exception; callers
who report to a supervisor add those days themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from assets.risk.engine.backtests.special import binomial_cdf, binomial_tail
from assets.risk.engine.errors import RiskInputError

STANDARD_OBSERVATIONS = 250
STANDARD_CONFIDENCE = Decimal("0.99")
YELLOW_FROM = 0.95
RED_FROM = 0.9999

# From the first number of exceptions on until the next one.
_PLUS_FACTORS_1996 = {0: "0.00", 5: "0.40", 6: "0.50", 7: "0.65", 8: "0.75", 9: "0.85", 10: "1.00"}
_FRTB_MULTIPLIERS = {0: "1.50", 5: "1.70", 6: "1.76", 7: "1.83", 8: "1.88", 9: "1.92", 10: "2.00"}
_BASE_1996 = Decimal("3.00")
_DESK_LIMITS = {Decimal("0.99"): 12, Decimal("0.975"): 30}


class Zone(StrEnum):
    """Green: nothing suspicious; yellow: possible with a good model; red: the model is presumed wrong."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True)
class Multipliers:
    """Capital multipliers by the two tables: 3 plus a factor (1996), and the one of FRTB."""

    plus_factor_1996: Decimal
    multiplier_1996: Decimal
    multiplier_frtb: Decimal


@dataclass(frozen=True)
class TrafficLight:
    """The zone and the probabilities that it rests on, for a model whose coverage is right.

    `cumulative_probability` is P(X <= exceptions); `type_one_probability` is P(X >= exceptions), how often a right
    model would be blamed if that many exceptions were held against it. Multipliers exist for 250 days at 99% only.
    """

    zone: Zone
    cumulative_probability: float
    type_one_probability: float
    multipliers: Multipliers | None


@dataclass(frozen=True)
class DeskCounter:
    """Exceptions of a desk in its last 250 observations against the limit that it must not exceed."""

    confidence: Decimal
    exceptions: int
    limit: int
    observations: int

    @property
    def breached(self) -> bool:
        """Whether the desk falls back to the standardised approach: more exceptions than the limit."""
        return self.exceptions > self.limit


def traffic_light(exceptions: int, observations: int, confidence: Decimal) -> TrafficLight:
    """Zone, probabilities and multipliers of a number of exceptions."""
    _check_counts(exceptions, observations)
    probability = float(1 - confidence)
    return TrafficLight(
        zone=zone_of(exceptions, observations, confidence),
        cumulative_probability=binomial_cdf(exceptions, observations, probability),
        type_one_probability=binomial_tail(exceptions, observations, probability),
        multipliers=multipliers_of(exceptions, observations, confidence),
    )


def zone_of(exceptions: int, observations: int, confidence: Decimal) -> Zone:
    """Green where P(X <= exceptions) < 0.95, yellow where < 0.9999, red from there on; none at all is always green.

    At 250 observations and 99% that is 0-4, 5-9 and 10 or more.
    """
    _check_counts(exceptions, observations)
    cumulative = binomial_cdf(exceptions, observations, float(1 - confidence))
    if exceptions == 0 or cumulative < YELLOW_FROM:
        return Zone.GREEN
    return Zone.YELLOW if cumulative < RED_FROM else Zone.RED


def multipliers_of(exceptions: int, observations: int, confidence: Decimal) -> Multipliers | None:
    """The multipliers of both tables, which the standards define for 250 observations at 99% only."""
    _check_counts(exceptions, observations)
    if observations != STANDARD_OBSERVATIONS or confidence != STANDARD_CONFIDENCE:
        return None
    step = max(least for least in _PLUS_FACTORS_1996 if least <= exceptions)
    plus_factor = Decimal(_PLUS_FACTORS_1996[step])
    return Multipliers(plus_factor, _BASE_1996 + plus_factor, Decimal(_FRTB_MULTIPLIERS[step]))


def desk_limit(confidence: Decimal) -> int | None:
    """How many exceptions in 250 days a desk may have: 12 at 99%, 30 at 97.5%, not defined elsewhere."""
    return _DESK_LIMITS.get(confidence)


def _check_counts(exceptions: int, observations: int) -> None:
    """Refuse counts that no series has."""
    if not 0 <= exceptions <= observations:
        raise RiskInputError(f"{exceptions} exceptions cannot happen in {observations} days")

"""The parameters of every rule of transaction monitoring: kind, default, meaning and the source of the default.

A policy file may leave a parameter out and gets the default; the shipped files state all of them, so that their
content is their meaning. What a rule does not know is refused. Windows (1 h, 24 h, 7 d, 30 d) belong to the features
that SQL computes, and are no parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from compliance.model import RuleSeverity

ParameterValue = Decimal | int | str | tuple[Decimal, ...] | tuple[str, ...]


class Kind(StrEnum):
    """What a value is: `usd`, `pct` and `multiple` are exact decimals, `count`, `hours` and `days` whole numbers."""

    USD = "usd"
    PERCENT = "pct"
    MULTIPLE = "multiple"
    COUNT = "count"
    HOURS = "hours"
    DAYS = "days"
    SEVERITY = "severity"
    USD_LIST = "usd_list"
    TEXT_LIST = "text_list"


_DECIMALS = frozenset({Kind.USD, Kind.PERCENT, Kind.MULTIPLE})
_WHOLE = frozenset({Kind.COUNT, Kind.HOURS, Kind.DAYS})
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a rule."""

    kind: Kind
    default: ParameterValue
    meaning: str


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """What a policy may say of a rule; `source` is where the defaults come from."""

    meaning: str
    severity: RuleSeverity
    source: str
    parameters: Mapping[str, Parameter]


def _usd(default: int, meaning: str) -> Parameter:
    return Parameter(Kind.USD, Decimal(default), meaning)


def _pct(default: int, meaning: str) -> Parameter:
    return Parameter(Kind.PERCENT, Decimal(default), meaning)


def _multiple(default: int, meaning: str) -> Parameter:
    return Parameter(Kind.MULTIPLE, Decimal(default), meaning)


def _count(default: int, meaning: str) -> Parameter:
    return Parameter(Kind.COUNT, default, meaning)


def _severity(default: RuleSeverity, meaning: str) -> Parameter:
    return Parameter(Kind.SEVERITY, default, meaning)


_FATF = "FATF, Virtual Assets Red Flag Indicators (September 2020)"
_OURS = "our own practice"

CATALOGUE: Mapping[str, RuleSpec] = {
    "velocity_count": RuleSpec(
        "more transactions within an hour than an account of the desk makes",
        RuleSeverity.MEDIUM,
        _FATF,
        {"max_count_1h": _count(10, "more than so many transactions in 1 h")},
    ),
    "velocity_amount": RuleSpec(
        "far more value within a day than the account is used to",
        RuleSeverity.MEDIUM,
        _FATF,
        {
            "multiple": _multiple(3, "more than so many times the 95th percentile of the last 30 d, in 24 h"),
            "min_history_count": _count(5, "transactions within 30 d without which nothing is usual yet"),
        },
    ),
    "structuring": RuleSpec(
        "several amounts just under a threshold of recording or reporting, which together exceed it",
        RuleSeverity.HIGH,
        _FATF,
        {
            "limits_usd": Parameter(
                Kind.USD_LIST, (Decimal(1000), Decimal(3000), Decimal(10000)), "the thresholds that are avoided"
            ),
            "band_from_pct": _pct(90, "an amount counts from so much of a threshold up to below it"),
            "min_count": _count(3, "from so many amounts in the band, in 24 h or 7 d"),
        },
    ),
    "pass_through": RuleSpec(
        "value that leaves within a day of its arrival",
        RuleSeverity.HIGH,
        _FATF,
        {
            "out_pct": _pct(80, "from so much of what came in within 24 h"),
            "min_in_usd": _usd(1000, "only where at least so much came in"),
        },
    ),
    "new_account_large": RuleSpec(
        "a first deposit that does not fit the declared profile",
        RuleSeverity.HIGH,
        _FATF,
        {"multiple": _multiple(5, "more than so many times the declared profile")},
    ),
    "dormant_reactivation": RuleSpec(
        "a large transaction after a long silence",
        RuleSeverity.MEDIUM,
        _FATF,
        {
            "idle_days": Parameter(Kind.DAYS, 180, "without any transaction for at least so long"),
            "min_usd": _usd(1000, "then more than so much"),
        },
    ),
    "fan_in": RuleSpec(
        "many unrelated senders, then one transfer out",
        RuleSeverity.HIGH,
        _FATF,
        {"min_senders_7d": _count(10, "from so many senders in 7 d")},
    ),
    "round_amounts": RuleSpec(
        "many round amounts; weak on its own",
        RuleSeverity.LOW,
        _OURS,
        {
            "modulus_usd": _usd(1000, "an amount is round if it is a multiple of so much"),
            "min_count": _count(5, "from so many round amounts in 7 d"),
        },
    ),
    "sanctioned_wallet": RuleSpec(
        "the counterparty's address stands on a sanctions list", RuleSeverity.BLOCK, "OFAC FAQ 562 and 563", {}
    ),
    "mixer_exposure": RuleSpec(
        "value from or to a mixer, directly or over one of our own counterparties",
        RuleSeverity.HIGH,
        _FATF,
        {
            "one_hop_severity": _severity(RuleSeverity.MEDIUM, "what exposure over one hop weighs"),
            "topics": Parameter(Kind.TEXT_LIST, ("crime.mixer",), "topics of list entries that are mixers"),
        },
    ),
    "geo_block": RuleSpec("a counterparty in a country of `countries.block`", RuleSeverity.BLOCK, "FATF", {}),
    "geo_edd": RuleSpec("a counterparty in a country of `countries.edd`", RuleSeverity.HIGH, "FATF", {}),
    "geo_review": RuleSpec("a counterparty in a country of `countries.review`", RuleSeverity.MEDIUM, "FATF", {}),
    "travel_rule_data": RuleSpec(
        "a transfer above the threshold of `travel_rule` without data on originator and beneficiary",
        RuleSeverity.HIGH,
        "31 CFR 1010.410; FATF R.16; Regulation (EU) 2023/1113",
        {},
    ),
    "self_hosted_proof": RuleSpec(
        "a self-hosted wallet above the threshold of `travel_rule` without proof of ownership",
        RuleSeverity.HIGH,
        "Regulation (EU) 2023/1113, articles 14(5) and 16(2)",
        {},
    ),
    "quick_repay_other_wallet": RuleSpec(
        "a loan that is repaid soon after its draw from another wallet",
        RuleSeverity.HIGH,
        _OURS,
        {
            "within_hours": Parameter(Kind.HOURS, 24, "repaid within so long of the last draw"),
            "min_usd": _usd(1000, "only repayments of at least so much"),
        },
    ),
    "overcollateralised_drain": RuleSpec(
        "collateral that far exceeded the loan leaves within a day of its deposit",
        RuleSeverity.MEDIUM,
        _OURS,
        {
            "out_pct": _pct(50, "from so much of the collateral that came in within 24 h"),
            "min_usd": _usd(10000, "only withdrawals of at least so much"),
        },
    ),
}


def parameter_value(kind: Kind, value: Any) -> ParameterValue:
    """`value` as its kind has it; raises `ValueError` that says what it should be."""
    if kind in _DECIMALS:
        return _decimal(kind, value)
    if kind in _WHOLE:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError("must be a whole number of at least 1")
        return int(value)
    if kind is Kind.SEVERITY:
        return RuleSeverity(value)
    if isinstance(value, str) or not isinstance(value, list | tuple) or not value:
        raise ValueError("must be a list with at least one value")
    if kind is Kind.USD_LIST:
        amounts = tuple(_decimal(Kind.USD, each) for each in value)
        if list(amounts) != sorted(set(amounts)) or amounts[0] <= 0:
            raise ValueError("must rise, from above 0")
        return amounts
    if not all(isinstance(each, str) and each for each in value):
        raise ValueError("must be a list of texts")
    return tuple(str(each) for each in value)


def _decimal(kind: Kind, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number, written as a plain decimal")
    number = Decimal(value)
    if not number.is_finite() or number < 0 or number != round(number, 9):
        raise ValueError("must be a number of at least 0 with 9 decimals at most")
    if kind is Kind.PERCENT and not 0 < number <= _HUNDRED:
        raise ValueError("must be above 0 and at most 100")
    if kind is Kind.MULTIPLE and number <= 0:
        raise ValueError("must be above 0")
    return number

"""Where an account stands in its life: the first deposit, the return after a long silence."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from compliance.aml.conditions import Comparison, Fact, Finding, Limit, conclude, moment, plain
from compliance.aml.features import Features
from compliance.aml.rules.base import USD, Parameters, amount, is_transfer
from compliance.model import RuleOutcome, Transaction

_DAY = timedelta(days=1)


def new_account_large(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """A first deposit far above the declared profile (FATF 2020: large initial deposit against the profile)."""
    multiple = parameters.decimal("multiple")
    profile = features.declared_profile_usd
    return conclude(
        [
            Fact("is_deposit", "collateral is deposited", transaction.kind == "deposit"),
            Fact("is_first_deposit", "it is the account's first deposit", not features.has_prior_deposit),
            Fact(
                "has_profile",
                "the customer declared a profile",
                True if profile is not None else None,
                why_unknown="the customer has declared no profile to compare with",
            ),
            amount(transaction, Comparison.MORE_THAN, multiple * (profile or Decimal(0))),
        ],
        declared_profile_usd="unknown" if profile is None else plain(profile),
        multiple=plain(multiple),
    )


def dormant_reactivation(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """A large transaction after a long silence (FATF 2020: regular, then inactive).

    Without any earlier transaction on record there was no silence, unless the customer is older than that: then it is
    not known whether the record begins too late.
    """
    idle_days = parameters.whole("idle_days")
    last, since = features.last_activity_at, features.customer_since
    idle = None if last is None else (transaction.occurred_at - last) // _DAY
    if last is None and (since is None or (transaction.occurred_at - since) // _DAY < idle_days):
        idle = 0
    return conclude(
        [
            is_transfer(transaction),
            Limit(
                "idle_days",
                "days without a transaction before",
                idle,
                Comparison.AT_LEAST,
                idle_days,
                unknown=RuleOutcome.INSUFFICIENT_HISTORY,
                why_unknown="an old customer without any earlier transaction on record",
            ),
            amount(transaction, Comparison.MORE_THAN, parameters.decimal("min_usd")),
        ],
        last_activity_at=moment(last),
        unit=USD,
    )

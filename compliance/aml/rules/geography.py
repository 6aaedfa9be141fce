"""Where the counterparty is, by the lists of the policy (FATF)."""

from __future__ import annotations

from compliance.aml.conditions import Fact, Finding, conclude
from compliance.aml.features import Features
from compliance.aml.rules.base import Find, Parameters, is_transfer
from compliance.model import Transaction


def _in_countries(words: str) -> Find:
    def find(transaction: Transaction, _features: Features, parameters: Parameters) -> Finding:
        countries = parameters.texts("countries")
        country = transaction.counterparty_country
        return conclude(
            [
                is_transfer(transaction),
                Fact(
                    "is_in_countries",
                    f"the counterparty's country {words} ({', '.join(countries) or 'none'})",
                    None if country is None and countries else country in countries,
                    why_unknown="the counterparty's country is not known",
                ),
            ],
            country=country or "unknown",
        )

    return find


geo_block = _in_countries("is blocked")
geo_edd = _in_countries("needs enhanced due diligence")
geo_review = _in_countries("is under increased monitoring")

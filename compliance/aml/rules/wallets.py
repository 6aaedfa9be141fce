"""Whose address the counterparty's is: one on a sanctions list, a mixer, or a step away from one."""

from __future__ import annotations

from compliance.aml.conditions import Comparison, Fact, Finding, Limit, conclude, heavier, plain
from compliance.aml.features import HUB_ACCOUNTS, Features, WalletOutcome
from compliance.aml.rules.base import Parameters, is_transfer
from compliance.model import RuleOutcome, RuleSeverity, Transaction

NO_ADDRESS = "the counterparty's address is not known"
_LISTED = {WalletOutcome.HIT: True, WalletOutcome.CLEAR: False}
_WHY = {
    WalletOutcome.ERROR: "the wallet could not be screened",
    WalletOutcome.NOT_SCREENED: "the wallet was not screened",
}


def sanctioned_wallet(transaction: Transaction, features: Features, _parameters: Parameters) -> Finding:
    """The address stands on a list, exactly (OFAC FAQ 562, 563: a list is not likely to be exhaustive)."""
    why = NO_ADDRESS if transaction.counterparty_address is None else _WHY.get(features.wallet, "")
    return conclude(
        [
            is_transfer(transaction),
            Fact(
                "is_listed",
                "the counterparty's wallet is on an active list",
                _LISTED.get(features.wallet) if transaction.counterparty_address is not None else None,
                why_unknown=why,
            ),
        ],
        entries=", ".join(features.wallet_entries) or "none",
    )


def mixer_exposure(transaction: Transaction, features: Features, parameters: Parameters) -> Finding:
    """The counterparty is a mixer; or the account, or another that shares the counterparty, dealt with one in 90 days.

    Addresses of very many accounts are services and are not followed, which the evidence says. Where no active list
    names a mixer, nothing can be said.
    """
    topics = ", ".join(parameters.texts("topics"))
    lists = Fact(
        "has_mixer_list",
        f"an active list names wallets of {topics}",
        True if features.has_mixer_list else None,
        unknown=RuleOutcome.INSUFFICIENT_HISTORY,
        why_unknown=f"no active list names wallets of {topics}",
    )
    if not features.has_mixer_list:
        return conclude([is_transfer(transaction), lists])
    direct = conclude(
        [
            is_transfer(transaction),
            lists,
            Fact("is_mixer", "the counterparty is a mixer", features.is_mixer, why_unknown=NO_ADDRESS),
        ],
        hops="0",
    )
    one_hop = conclude(
        [
            is_transfer(transaction),
            lists,
            Limit(
                "one_hop_count",
                "transfers with mixers within 90 days, of accounts that share the counterparty",
                features.mixer_one_hop_count,
                Comparison.AT_LEAST,
                1,
                is_complete=transaction.counterparty_address is not None,
                why_unknown=NO_ADDRESS,
            ),
        ],
        severity=RuleSeverity(parameters.text("one_hop_severity")),
        hops="1",
        one_hop_usd=plain(features.mixer_one_hop_usd),
        is_service=f"yes, more than {HUB_ACCOUNTS} accounts: not followed" if features.is_hub else "no",
    )
    return heavier(direct, one_hop)

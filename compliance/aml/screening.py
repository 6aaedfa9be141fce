"""What the gate needs of screening: whether a wallet is on a list."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from compliance.aml.features import Features, WalletOutcome
from compliance.errors import ComplianceNotReadyError
from compliance.model import Transaction
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger

_log = get_logger(__name__)


class ListedWallet(Protocol):
    """An entry of a list that names the address."""

    @property
    def list_name(self) -> str: ...

    @property
    def entry_id(self) -> str: ...

    @property
    def topics(self) -> Sequence[str]: ...


class WalletAnswer(Protocol):
    """What screening says of an address: `clear`, `hit` or `error`, with the entries that name it."""

    @property
    def outcome(self) -> str: ...

    @property
    def entries(self) -> Sequence[ListedWallet]: ...

    @property
    def list_versions(self) -> Mapping[str, str]: ...


class WalletScreener(Protocol):
    """Searches the active lists."""

    def list_versions(self) -> Mapping[str, str]:
        """List to version; raises `ComplianceNotReadyError` when no sanctions list is active."""
        ...

    def screen_wallet(self, address: str, chain: str) -> WalletAnswer:
        """Whether the address stands on a list."""
        ...


@dataclass(frozen=True, slots=True)
class Screened:
    """The outcome, the ids of entries, and the lists that were searched."""

    outcome: WalletOutcome
    entries: tuple[str, ...]
    list_versions: Mapping[str, str]


def screen(screener: WalletScreener, transaction: Transaction, mixer_topics: Collection[str]) -> Screened:
    """Whether the counterparty's wallet is listed; what fails is an error, never clear.

    An entry that is listed as a mixer and for nothing else is for the rule about mixers, which weighs it. Raises
    `ComplianceNotReadyError`, since without lists nothing is judged.
    """
    address = transaction.counterparty_address
    if address is None:
        return Screened(WalletOutcome.NOT_SCREENED, (), dict(screener.list_versions()))
    try:
        answer = screener.screen_wallet(address, transaction.chain)
        outcome = WalletOutcome(str(answer.outcome))
    except ComplianceNotReadyError:
        raise
    except (BallastError, SQLAlchemyError, ValueError) as error:
        # The error's own text may hold the address.
        _log.warning("wallet_screening_failed", reason=type(error).__name__)
        return Screened(WalletOutcome.ERROR, (), dict(screener.list_versions()))
    counted = [entry for entry in answer.entries if not entry.topics or set(entry.topics) - set(mixer_topics)]
    lists = dict(answer.list_versions) or dict(screener.list_versions())
    if outcome is WalletOutcome.HIT and answer.entries and not counted:
        return Screened(WalletOutcome.CLEAR, (), lists)
    if outcome is WalletOutcome.NOT_SCREENED:
        outcome = WalletOutcome.ERROR
    return Screened(outcome, tuple(sorted({f"{entry.list_name}:{entry.entry_id}" for entry in counted})), lists)


def with_wallet(features: Features, screened: Screened) -> Features:
    """The features with the wallet's screening."""
    return replace(features, wallet=screened.outcome, wallet_entries=screened.entries)

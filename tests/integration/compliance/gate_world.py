"""What tests of the gate share: a deposit, lists and a topic on command, the shipped policy with changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import Engine, text

from compliance import cases
from compliance.errors import ComplianceNotReadyError
from compliance.model import Actor, Direction, Role, Transaction
from compliance.policy.book import PolicyBook
from compliance.policy.model import Policy
from infra.runtime.errors import NotReadyError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ANALYST, OFFICER = Actor("ana", Role.ANALYST), Actor("olga", Role.OFFICER)
DEPOSIT = Transaction(
    transaction_id="t1",
    account_id="acct-1",
    direction=Direction.IN,
    kind="deposit",
    side="collateral",
    asset="USDC",
    quantity=Decimal(700),
    amount_usd=Decimal(700),
    chain="ethereum",
    occurred_at=NOW - timedelta(minutes=1),
    counterparty_address="0xAbC",
    counterparty_country="CH",
    has_travel_rule_data=True,
    is_self_hosted=False,
)
EVENT = {
    "account_id": "acct-1",
    "asset": "USDC",
    "side": "collateral",
    "kind": "deposit",
    "quantity": "700",
    "occurred_at": DEPOSIT.occurred_at.isoformat(),
    "chain": "ethereum",
    "tx_hash": "0x99",
    "counterparty_address": "0xabc",
    "counterparty_country": "CH",
}


@dataclass(frozen=True)
class Entry:
    list_name: str
    entry_id: str
    topics: tuple[str, ...] = ("sanction",)


@dataclass(frozen=True)
class Answer:
    outcome: str
    entries: Sequence[Entry] = ()
    list_versions: Mapping[str, str] = field(default_factory=lambda: {"ofac_sdn": "v7"})


@dataclass
class Lists:
    """Screening as the gate sees it: listed addresses, and faults on command."""

    listed: frozenset[str] = frozenset({"0xbad"})
    is_loaded: bool = True
    fails: bool = False

    def list_versions(self) -> Mapping[str, str]:
        if not self.is_loaded:
            raise ComplianceNotReadyError("no sanctions list is active")
        return {"ofac_sdn": "v7"}

    def screen_wallet(self, address: str, chain: str) -> Answer:
        self.list_versions()
        if self.fails:
            raise NotReadyError("the database does not answer")
        return Answer("hit", (Entry("ofac_sdn", "77"),)) if address in self.listed else Answer("clear")


@dataclass
class Topic:
    """Takes messages, or refuses them."""

    messages: list[bytes] = field(default_factory=list)
    is_away: bool = False

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        if self.is_away:
            raise NotReadyError("Pub/Sub is away")
        assert topic == "settlement.events.v1"
        self.messages += messages
        return [str(number) for number in range(len(messages))]


@cache
def shipped_book() -> PolicyBook:
    """The shipped policies, read once for a process."""
    return PolicyBook.load()


class Book(PolicyBook):
    """The shipped policy as it counts now, with changes."""

    def __init__(self, **changes: Any) -> None:
        shipped = shipped_book().current(NOW)
        self._policy = Policy.model_validate(shipped.model_dump() | changes) if changes else shipped

    def current(self, at: datetime) -> Policy:
        return self._policy


def add_customer(engine: Engine, account_id: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into compliance.users (user_id, reference, account_id, kind, pii_sealed, pii_key_id,"
                " pii_wrapped_key, name_hash, declared_profile_usd, created_at, updated_at)"
                " values (:a, :a, :a, 'person', '', 'k', '', 'h', 100000, :at, :at)"
            ),
            {"a": account_id, "at": NOW - timedelta(days=9)},
        )


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def close(engine: Engine, case_id: str, outcome: str) -> None:
    """Two people close the case."""
    at = NOW + timedelta(minutes=1)
    with engine.begin() as connection:
        version = cases.read_case(connection, case_id).version
        case = cases.propose(
            connection, case_id, version=version, outcome=outcome, reason="looked at", actor=ANALYST, at=at
        )
        cases.approve(connection, case_id, version=case.version, reason="agreed", actor=OFFICER, at=at)

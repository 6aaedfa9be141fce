"""The gate: every transaction passes it before it settles, is recorded, and reaches a decision that stays.

A transaction is recorded first, undecided, and judged in a second step, so that a process that dies between leaves a
row that `finish_undecided` judges and the age alarm shows. Judgement, alerts, case and the chained decision are one
database transaction; one account is decided at a time. No policy, no list: nothing is judged, and the row waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RowMapping
from sqlalchemy.exc import SQLAlchemyError

from compliance.aml import gate_store
from compliance.aml.admission import admitted, admitted_event
from compliance.aml.errors import TransactionConflictError, TransactionUnknownError
from compliance.aml.features import (
    Basis,
    Features,
    ask_features,
    basis_of,
    features_of,
    read_mixers,
    transaction_of,
)
from compliance.aml.gate_store import Undecided
from compliance.aml.holding import open_aml_case, require_closed
from compliance.aml.publishing import publish_accepted
from compliance.aml.record import evidence_of, recorded_features, result_of, results_of
from compliance.aml.rules import RULES
from compliance.aml.screening import WalletScreener, screen, with_wallet
from compliance.aml.valuation import Valuation, valued
from compliance.authorization import Action, require
from compliance.chain import append_decision
from compliance.errors import CaseConflictError, ComplianceInputError, ComplianceNotReadyError
from compliance.model import SYSTEM, Actor, AmlResult, Decision, Transaction
from compliance.outbox import EventPublisher
from compliance.pii import refuse_personal_data
from compliance.policy.book import PolicyBook
from compliance.policy.judging import Judge, Judgement
from compliance.policy.model import Policy
from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger
from infra.runtime.pipelining import pipelined

HELD = frozenset({Decision.REVIEW, Decision.BLOCKED})
RESOLUTIONS = frozenset({Decision.RELEASED, Decision.REJECTED})
BATCH = 200
Found = TypeVar("Found", bound=Mapping[Any, Any])
_log = get_logger(__name__)


class Gate:
    """Judges transactions once each. Safe for several threads and processes at once."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        policies: PolicyBook,
        screener: WalletScreener,
        valuation: Valuation | None = None,
    ) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock
        self._policies = policies
        self._screener = screener
        self._valuation = valuation
        # One entry each: of the policy and the lists that count now. Replaced whole, so that threads see either.
        self._judge: Judge | None = None
        self._basis: tuple[str, Mapping[str, str], Basis] | None = None

    def check(self, transaction: Transaction, event: Mapping[str, Any] | None = None) -> AmlResult:
        """The decision on a transaction, made once by its id; `event` is published once it is accepted or released.

        Raises `ComplianceInputError` for what cannot be judged, `TransactionConflictError` where the id is another
        transaction's, `ComplianceNotReadyError` without policy or list: then it is recorded and judged later.
        """
        now = self._clock.now()
        given = admitted(transaction, now)
        settled = None if event is None else admitted_event(event, given)
        given = valued(given, self._valuation)
        with self._single.connect() as connection:
            if not gate_store.store(connection, given, settled, now):
                row = _known(gate_store.read(connection, given.transaction_id), given.transaction_id)
                _refuse_other(transaction_of(row), given)
                if settled is not None:
                    self._attach(connection, row, settled)
                if row["decision"] is not None:
                    return self._recorded(connection, given.transaction_id)
                given = transaction_of(row)
        return self._judged(given)

    def resolve(self, transaction_id: str, decision: Decision, actor: Actor, reason: str) -> AmlResult:
        """Release or reject a held transaction once its case is closed so; safe to repeat.

        Raises `ForbiddenError`, `TransactionUnknownError`, `CaseConflictError` where the case is open or closed
        otherwise, or the transaction was decided otherwise, and `ComplianceInputError` for another decision.
        """
        require(actor, Action.RELEASE)
        if decision not in RESOLUTIONS:
            raise ComplianceInputError("A held transaction is released or rejected.")
        refuse_personal_data("reason", reason)
        now = self._clock.now()
        with self._engine.begin() as connection:
            row = _known(gate_store.read(connection, transaction_id), transaction_id)
            gate_store.lock_account(connection, row["account_id"])
            if gate_store.resolve(connection, transaction_id, decision, reason, now):
                require_closed(connection, row["case_id"], decision)
                append_decision(
                    connection,
                    subject_kind="transaction",
                    subject_id=transaction_id,
                    outcome=decision.value,
                    reason=reason,
                    actor=actor,
                    policy_version=row["policy_version"],
                    list_versions=row["list_versions"],
                    evidence={"case_id": row["case_id"], "decided_before": row["decision"]},
                    at=now,
                )
            elif _known(gate_store.read(connection, transaction_id), transaction_id)["decision"] != decision.value:
                raise CaseConflictError(f"Transaction {transaction_id} is not held, or was decided otherwise.")
            return self._recorded(connection, transaction_id)

    def undecided(self, older_than: timedelta, limit: int = BATCH) -> list[Undecided]:
        """Transactions that have waited longer than this for a decision, the oldest first: what the age alarm shows."""
        now = self._clock.now()
        with self._single.connect() as connection:
            rows = gate_store.undecided(connection, now - older_than, limit)
        return [
            Undecided(row["transaction_id"], row["account_id"], row["received_at"], now - row["received_at"])
            for row in rows
        ]

    def finish_undecided(self, older_than: timedelta = timedelta(seconds=10), limit: int = BATCH) -> int:
        """Judge what was left behind, and return how many have a decision now; one that fails stops no other."""
        with self._single.connect() as connection:
            rows = gate_store.undecided(connection, self._clock.now() - older_than, limit)
        done = 0
        for row in rows:
            try:
                self._judged(transaction_of(row))
                done += 1
            except ComplianceNotReadyError:
                raise
            except (BallastError, SQLAlchemyError) as error:
                _log.error(
                    "transaction_left_undecided", transaction_id=row["transaction_id"], reason=type(error).__name__
                )
        return done

    def publish_accepted(self, publisher: EventPublisher) -> int:
        """Publish the events of accepted and released transactions that are not published yet; returns their number."""
        return publish_accepted(self._engine, publisher, self._clock)

    def _attach(self, connection: Connection, row: RowMapping, event: Mapping[str, Any]) -> None:
        if row["event"] is None:
            gate_store.attach_event(connection, row["transaction_id"], event)
        elif row["event"] != event:
            raise TransactionConflictError(f"{row['transaction_id']} came before with another event.")

    def _judged(self, transaction: Transaction) -> AmlResult:
        now = self._clock.now()
        policy = self._policies.current(now)
        screened = screen(self._screener, transaction, basis_of(policy).mixer_topics)
        lists = screened.list_versions
        basis = self._current_basis(policy, lists)
        with self._engine.connect() as connection:
            with pipelined(connection) as together:
                gate_store.lock_account(together, transaction.account_id)
                held = gate_store.hold(together, transaction.transaction_id)
                figures = ask_features(together, transaction, basis)
            if _known(held.first(), transaction.transaction_id)["decision"] is not None:
                _log.info("transaction_decided_meanwhile", transaction_id=transaction.transaction_id)
                return self._recorded(connection, transaction.transaction_id)
            features = with_wallet(features_of(figures.first()), screened)
            judgement = self._current_judge(policy).judge(transaction, features)
            return self._record(connection, transaction, features, judgement, policy, lists, now)

    def _record(
        self,
        connection: Connection,
        transaction: Transaction,
        features: Features,
        judgement: Judgement,
        policy: Policy,
        lists: Mapping[str, str],
        now: datetime,
    ) -> AmlResult:
        case_id = open_aml_case(connection, transaction, judgement, policy, now) if judgement.decision in HELD else None
        evidence = evidence_of(transaction, judgement.results)
        # Together with the commit, so that the chain is locked for as long as PostgreSQL works and no longer.
        with pipelined(connection) as together:
            gate_store.decide(
                together,
                transaction.transaction_id,
                judgement.decision,
                judgement.reason,
                judgement.results,
                now,
                policy_version=policy.version,
                list_versions=lists,
                features=recorded_features(transaction, features),
                case_id=case_id,
            )
            append_decision(
                together,
                subject_kind="transaction",
                subject_id=transaction.transaction_id,
                outcome=judgement.decision.value,
                reason=judgement.reason,
                actor=SYSTEM,
                policy_version=policy.version,
                list_versions=lists,
                evidence=evidence,
                at=now,
            )
            together.commit()
        return AmlResult(
            transaction_id=transaction.transaction_id,
            decision=judgement.decision,
            reason=judgement.reason,
            results=results_of(evidence),
            policy_version=policy.version,
            list_versions=lists,
            decided_at=now,
            case_id=case_id,
        )

    def _recorded(self, connection: Connection, transaction_id: str) -> AmlResult:
        row = _known(gate_store.read(connection, transaction_id), transaction_id)
        judgement = gate_store.read_judgement(connection, transaction_id)
        return result_of(row, _known(judgement, transaction_id))

    def _current_judge(self, policy: Policy) -> Judge:
        judge = self._judge
        if judge is None or judge.policy is not policy:
            judge = self._judge = Judge(policy, RULES, Features)
        return judge

    def _current_basis(self, policy: Policy, lists: Mapping[str, str]) -> Basis:
        known = self._basis
        if known is None or known[:2] != (policy.version, lists):
            with self._single.connect() as connection:
                known = self._basis = (policy.version, lists, read_mixers(connection, basis_of(policy)))
        return known[2]


def _known(row: Found | None, transaction_id: str) -> Found:
    if row is None:
        raise TransactionUnknownError(f"There is no transaction {transaction_id}.")
    return row


def _refuse_other(known: Transaction, given: Transaction) -> None:
    """What was known of it when (price, travel rule) may differ; what moves may not."""
    names = ("account_id", "direction", "kind", "side", "asset", "quantity", "chain", "occurred_at")
    differing = [
        name
        for name in (*names, "counterparty_address", "counterparty_country")
        if getattr(known, name) != getattr(given, name)
    ]
    if differing:
        raise TransactionConflictError(
            f"{given.transaction_id} came before with another {', '.join(differing)}; give each transaction its own id."
        )

"""Verification of customers: start, webhooks, polls, officers' decisions and the end of validity."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from compliance.authorization import Action, require
from compliance.errors import CaseConflictError, CaseNotFoundError, ComplianceInputError
from compliance.kyc import store
from compliance.kyc.deciding import NOT_FINISHED, SCREENING_FAILED, VALIDITY_ENDED, Judge
from compliance.kyc.errors import Fault, ProviderError, WebhookNotConfiguredError
from compliance.kyc.model import DECIDED, MANUAL, Answer, Applied, Check, KycCase, KycState, Source, Verdict
from compliance.kyc.ports import Policies, UserScreener
from compliance.kyc.providers.base import Provider
from compliance.kyc.providers.guarded import GuardedProvider, ProviderHealth
from compliance.kyc.schedule import SELDOM, next_poll
from compliance.kyc.starting import Starter
from compliance.model import Actor
from compliance.pii import refuse_personal_data
from infra.runtime.clock import Clock
from infra.runtime.envelope import Envelope
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger

# Longer than a poll can take.
POLL_LEASE = timedelta(seconds=30)
POLLS_AT_ONCE = 4
# Nobody finishes an attempt after so long, and a provider that never ends it is not asked for ever.
UNFINISHED_AFTER = timedelta(days=30)
EXPIRIES_AT_ONCE = 200
MAX_REASON = 2_000
_BY_OFFICERS = (Verdict.APPROVED, Verdict.DECLINED, Verdict.REVIEW)
_log = get_logger(__name__)


class KycService:
    """What other parts do with verifications; safe to use from several threads and processes.

    `providers` by name; one that is no `GuardedProvider` is put behind a circuit breaker. `manual` must be among them.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        envelope: Envelope,
        policies: Policies,
        providers: Mapping[str, Provider],
        screener: UserScreener,
    ) -> None:
        if MANUAL not in providers:
            raise ValueError("The officers (manual) are missing among the providers.")
        self._engine = engine
        self._clock = clock
        self._providers = {
            name: provider if isinstance(provider, GuardedProvider) else GuardedProvider(provider)
            for name, provider in providers.items()
        }
        self._judge = Judge(envelope, policies, screener, clock)
        self._starter = Starter(engine, clock, envelope, policies, self._providers, self._judge)

    def start(self, user_id: str, idempotency_key: str) -> KycCase:
        """Begin to verify the customer, or return the case that already does.

        The case is `created` where no provider could be reached: it is handed over as soon as one can. `handoff` is
        what leads the customer to the provider; asked again, there is a new one, or none where the provider fails.
        Raises `ComplianceInputError`, and `ComplianceNotReadyError` without a policy.
        """
        return self._starter.start(user_id, idempotency_key)

    def read(self, kyc_case_id: str) -> KycCase:
        """The case; raises `CaseNotFoundError`."""
        with self._engine.connect() as connection:
            return _found(store.read(connection, kyc_case_id), kyc_case_id)

    def apply_webhook(self, provider: str, headers: Mapping[str, str], body: bytes) -> Applied:
        """Prove a webhook over its raw body and apply what it says, once; what it does not say is asked soon.

        When this returns it is durable. Raises `WebhookRefusedError`, `WebhookInvalidError` and
        `WebhookNotConfiguredError`.
        """
        known_provider = self._providers.get(provider)
        if known_provider is None:
            raise WebhookNotConfiguredError("There is no such provider, or it is not configured.")
        now = self._clock.now()
        event = known_provider.event({name.lower(): value for name, value in headers.items()}, body, now)
        with self._engine.begin() as connection:
            kyc_case_id = store.case_of_event(connection, provider, event)
            case = store.read(connection, kyc_case_id, lock=True) if kyc_case_id is not None else None
            is_new = store.add_event(connection, provider, event, kyc_case_id, now)
            if case is None or not is_new:
                return Applied(provider, event.event_id, is_new, kyc_case_id, case.state if case else None)
            if case.provider is None and event.reference is not None:
                # It was created there, and the process that did it died before it could write that down.
                case = replace(case, provider=provider, provider_reference=event.reference, polls=0)
            if event.answer is not None:
                case = self._apply(connection, case, provider, Source.WEBHOOK, event.answer, event.event_id)
            store.hasten(connection, case.kyc_case_id, now, even_ended=event.answer is None)
        return Applied(provider, event.event_id, True, case.kyc_case_id, case.state)

    def poll_due(self, limit: int = 50) -> int:
        """Ask the providers about cases that are due, or hand over those that none has; returns how many were due.

        A failure stays with its case, which is due again when its lease ends.
        """
        with self._engine.begin() as connection:
            due = store.take_due(connection, self._clock.now(), POLL_LEASE, limit)
        if len(due) <= 1:
            for case in due:
                self._look(case)
        else:
            with ThreadPoolExecutor(POLLS_AT_ONCE, thread_name_prefix="kyc-poll") as pool:
                list(pool.map(self._look, due))
        return len(due)

    def decide_manually(
        self,
        kyc_case_id: str,
        verdict: Verdict | str,
        actor: Actor,
        reason: str,
        seen_checks: Collection[str] | None = None,
    ) -> KycCase:
        """Decide a case in review as an officer, or (`review`) reopen one that has ended.

        An approval is screened first: with a hit the case stays in review, until the hit is cleared and the case is
        decided again. Raises `CaseConflictError` for a case that is not in review (not ended, for `review`), or with an
        answer that is not among `seen_checks`, where these are given;
        `ForbiddenError`, `CaseNotFoundError`, `ComplianceInputError`.
        """
        require(actor, Action.DECIDE_KYC)
        wanted = _wanted(verdict)
        if not reason.strip() or len(reason) > MAX_REASON or "\x00" in reason:
            raise ComplianceInputError(f"The reason has 1 to {MAX_REASON} characters.")
        refuse_personal_data("reason", reason)
        with self._engine.begin() as connection:
            case = _found(store.read(connection, kyc_case_id, lock=True), kyc_case_id)
            if case.state not in (DECIDED if wanted is Verdict.REVIEW else {KycState.IN_REVIEW}):
                raise CaseConflictError(f"The case is {case.state}, where {wanted} cannot be decided; read it again.")
            known = store.checks(connection, kyc_case_id)
            if seen_checks is not None and _unseen(known, seen_checks):
                raise CaseConflictError("Another answer came since the verification was read; read it again.")
            store.add_decision(connection, kyc_case_id, wanted, actor.name, known, self._clock.now())
            return self._judge.settle(connection, case, actor=actor, words=reason)

    def expire_due(self) -> int:
        """End approvals whose validity is over and attempts that nobody finishes; returns how many."""
        now = self._clock.now()
        begun_before = now - UNFINISHED_AFTER
        with self._engine.connect() as connection:
            over = store.over(connection, now, begun_before, EXPIRIES_AT_ONCE)
        ended = 0
        for kyc_case_id in over:
            with self._engine.begin() as connection:
                case = _found(store.read(connection, kyc_case_id, lock=True), kyc_case_id)
                if case.state is KycState.APPROVED and case.expires_at is not None and case.expires_at <= now:
                    self._judge.end(connection, case, VALIDITY_ENDED)
                elif case.state is KycState.PENDING and case.created_at <= begun_before:
                    self._judge.end(connection, case, NOT_FINISHED)
                else:
                    continue
                ended += 1
        return ended

    def health(self) -> Mapping[str, ProviderHealth]:
        """Which providers are asked at present, as this process knows."""
        return {name: provider.health() for name, provider in self._providers.items()}

    def close(self) -> None:
        """Close the connections to the providers."""
        for provider in self._providers.values():
            provider.close()

    def _look(self, case: KycCase) -> None:
        try:
            if case.state is KycState.CREATED and case.provider is None:
                self._starter.hand_over(case, is_new=False)
            else:
                self._poll(case)
        except (BallastError, SQLAlchemyError) as error:
            code = error.code if isinstance(error, BallastError) else type(error).__name__
            _log.warning("kyc_not_polled", kyc_case_id=case.kyc_case_id, reason=code)

    def _poll(self, case: KycCase) -> None:
        provider = self._providers.get(case.provider or "")
        if provider is None or case.provider_reference is None:
            # Its credentials are gone; webhooks cannot be proven either, so that only officers can go on.
            self._put_off(case, Fault.CREDENTIALS, SELDOM)
            return
        try:
            answer = provider.read(case.provider_reference)
        except ProviderError as error:
            if error.fault is not Fault.NOT_FOUND:
                self._put_off(case, error.fault, error.retry_in or timedelta(0))
                return
            # What a provider no longer knows is for a person.
            answer = Answer("not_found", Verdict.REVIEW, self._clock.now(), is_exact=False)
        with self._engine.begin() as connection:
            locked = _found(store.read(connection, case.kyc_case_id, lock=True), case.kyc_case_id)
            locked = replace(locked, polls=locked.polls + 1)
            self._apply(connection, locked, provider.name, Source.POLL, answer, None)

    def _put_off(self, case: KycCase, fault: Fault, wait: timedelta) -> None:
        now = self._clock.now()
        with self._engine.begin() as connection:
            locked = _found(store.read(connection, case.kyc_case_id, lock=True), case.kyc_case_id)
            if fault is not Fault.CIRCUIT_OPEN:
                store.add_error(connection, case.kyc_case_id, case.provider or MANUAL, Source.POLL, fault.value, now)
            due = _due(locked, now)
            if due is not None:
                due = max(due, now + wait)
            store.update(connection, replace(locked, next_poll_at=due, polls=locked.polls + 1, updated_at=now))

    def _apply(
        self,
        connection: Connection,
        case: KycCase,
        provider: str,
        source: Source,
        answer: Answer,
        external_id: str | None,
    ) -> KycCase:
        now = self._clock.now()
        known = store.checks(connection, case.kyc_case_id)
        is_new = store.add_answer(connection, case, provider, source, answer, known, external_id, now)
        # A screening that could not run is tried again, although the provider says nothing new.
        if is_new or case.state_reason == SCREENING_FAILED:
            return self._judge.settle(connection, case)
        changed = replace(case, next_poll_at=_due(case, now), updated_at=now)
        store.update(connection, changed)
        return replace(changed, version=case.version + 1)


def _due(case: KycCase, now: datetime) -> datetime | None:
    """When to ask about the case again, as it stands."""
    if case.provider_reference is None:
        return case.next_poll_at if case.state is KycState.CREATED else None
    return next_poll(case.state, now, created_at=case.created_at, submitted_at=case.submitted_at)


def _found(case: KycCase | None, kyc_case_id: str) -> KycCase:
    if case is None:
        raise CaseNotFoundError(f"There is no verification {kyc_case_id[:80]!r}.")
    return case


def _unseen(known: Sequence[Check], seen: Collection[str]) -> bool:
    """Whether an answer is new to the officer; that a provider did not answer says nothing."""
    return any(check.check_id not in seen for check in known if check.verdict is not Verdict.ERROR)


def _wanted(verdict: Verdict | str) -> Verdict:
    if verdict not in _BY_OFFICERS:
        raise ComplianceInputError(f"An officer decides one of {', '.join(_BY_OFFICERS)}.")
    return Verdict(verdict)

"""From answers to a decision: conclude, screen before approval, change the state, and record all of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from compliance import case_store, cases, chain
from compliance.cases import CaseKind, CaseState
from compliance.kyc import store
from compliance.kyc.conclusion import Conclusion, conclude, submitted_at
from compliance.kyc.model import DECIDED, TRANSITIONS, Check, KycCase, KycState, Verdict
from compliance.kyc.ports import Policies, UserScreener
from compliance.kyc.schedule import next_poll
from compliance.model import SYSTEM, Actor
from compliance.policy.model import Policy
from compliance.users import read_user, set_kyc_state
from infra.runtime.clock import Clock
from infra.runtime.envelope import Envelope
from infra.runtime.logs import get_logger

SCREENING_TRIGGER = "kyc_approval"
CLEAR = "clear"
EXPOSED_PERSON = "exposed_person"
SCREENING_HIT, SCREENING_FAILED = "screening_hit", "screening_failed"
VALIDITY_ENDED, NOT_FINISHED, LATE_ANSWER = "validity_ended", "not_finished", "late_answer"
# Reasons that need an officer sooner.
_URGENT = frozenset({SCREENING_HIT, "conflicting_answers", "contradicts_officer", "reopened_by_provider"})
BY_OFFICER = frozenset({"approved_by_officer", "declined_by_officer"})
MAX_EVIDENCE = 50
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Screening:
    """Whether the customer may be approved, and by which lists and screening."""

    reason: str | None
    list_versions: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)


class Judge:
    """Applies what is known of a case, in the caller's transaction, which holds the case's row."""

    def __init__(self, envelope: Envelope, policies: Policies, screener: UserScreener, clock: Clock) -> None:
        self._envelope = envelope
        self._policies = policies
        self._screener = screener
        self._clock = clock

    def settle(
        self, connection: Connection, case: KycCase, *, actor: Actor = SYSTEM, words: str | None = None
    ) -> KycCase:
        """The case as all its answers have it, written; `words` are an officer's reason.

        Nobody is approved whom a screening has not cleared in this transaction. Raises `ComplianceNotReadyError`
        without a policy.
        """
        now = self._clock.now()
        policy = self._policies.current(now)
        # The customer's row comes before the chain's heads, here and everywhere.
        store.lock_user(connection, case.user_id)
        known = store.checks(connection, case.kyc_case_id)
        found = self._target(case, conclude(known, case.provider, auto_decline=policy.kyc.auto_decline))
        screening = _Screening(None)
        if found.state is KycState.APPROVED and case.state is not KycState.APPROVED:
            screening = self._screen(connection, case, policy, actor)
            if screening.reason is not None:
                found = Conclusion(KycState.IN_REVIEW, screening.reason)
        return self._change(connection, case, found, known, screening, policy, now, actor, words)

    def end(self, connection: Connection, case: KycCase, reason: str) -> KycCase:
        """The case as expired, because its validity has ended or nobody finished it."""
        now = self._clock.now()
        store.lock_user(connection, case.user_id)
        known = store.checks(connection, case.kyc_case_id)
        found = Conclusion(KycState.EXPIRED, reason)
        policy = self._policies.current(now)
        return self._change(connection, case, found, known, _Screening(None), policy, now, SYSTEM, None)

    def refresh_user(self, connection: Connection, user_id: str) -> None:
        """Write the customer's state as all their cases have it."""
        now = self._clock.now()
        state, until = store.state_of_user(connection, user_id, now)
        set_kyc_state(connection, user_id, state, until, now)

    def _target(self, case: KycCase, found: Conclusion) -> Conclusion:
        """What the table of states allows of a conclusion: what has ended is reopened at most."""
        if case.state_reason == LATE_ANSWER and found.state in DECIDED and found.reason not in BY_OFFICER:
            return Conclusion(KycState.IN_REVIEW, LATE_ANSWER)
        if found.state is case.state or found.state in TRANSITIONS[case.state]:
            return found
        is_over = case.state is KycState.EXPIRED and case.expires_at is not None
        if is_over and found.state is KycState.APPROVED:
            return Conclusion(KycState.EXPIRED, case.state_reason)
        if found.state not in DECIDED:
            # An answer of the way cannot undo what came after it.
            return Conclusion(case.state, case.state_reason)
        return Conclusion(KycState.IN_REVIEW, LATE_ANSWER)

    def _screen(self, connection: Connection, case: KycCase, policy: Policy, actor: Actor) -> _Screening:
        try:
            with connection.begin_nested():
                user = read_user(connection, self._envelope, case.user_id)
                record = self._screener.screen_user(connection, user, policy, SCREENING_TRIGGER)
        except Exception as error:
            # Whatever keeps the screening from running, a customer who was not screened is not approved. The text of
            # the error may hold what it was about, so that its kind alone is told.
            _log.warning("kyc_screening_failed", kyc_case_id=case.kyc_case_id, reason=type(error).__name__)
            return _Screening(SCREENING_FAILED)
        evidence = {"screening_id": record.screening_id}
        if record.case_id is not None:
            evidence["screening_case_id"] = record.case_id
        if str(record.outcome) == CLEAR:
            return _Screening(None, record.list_versions, evidence)
        if record.is_exposed:
            # Lawful customers, whom a person approves each time (FATF R.12), and no provider's answer alone.
            reason = EXPOSED_PERSON if actor == SYSTEM else None
            return _Screening(reason, record.list_versions, {**evidence, EXPOSED_PERSON: "confirmed"})
        reason = SCREENING_HIT if str(record.outcome) == "hit" else SCREENING_FAILED
        return _Screening(reason, record.list_versions, evidence)

    def _change(
        self,
        connection: Connection,
        case: KycCase,
        found: Conclusion,
        known: Sequence[Check],
        screening: _Screening,
        policy: Policy,
        now: datetime,
        actor: Actor,
        words: str | None,
    ) -> KycCase:
        is_changed = found.state is not case.state
        submitted = submitted_at(known)
        is_decided = found.state in DECIDED
        changed = replace(
            case,
            state=found.state,
            state_reason=found.reason,
            submitted_at=submitted,
            decided_at=(now if is_changed else case.decided_at) if is_decided else None,
            next_poll_at=self._next_poll(case, found, now, submitted),
            updated_at=now,
        )
        if is_changed and found.state is KycState.APPROVED:
            changed = replace(changed, expires_at=now + timedelta(days=policy.kyc.valid_days))
        store.update(connection, changed)
        if is_changed:
            self.refresh_user(connection, case.user_id)
        if words is not None or (is_changed and (is_decided or found.state is KycState.IN_REVIEW)):
            said = [check.check_id for check in known if check.verdict is not Verdict.ERROR]
            evidence = {"from": case.state.value, "checks": said[-MAX_EVIDENCE:], **screening.evidence}
            if words is not None:
                evidence["code"] = found.reason or ""
            chain.append_decision(
                connection,
                subject_kind="kyc",
                subject_id=case.kyc_case_id,
                outcome=found.state.value,
                reason=words or found.reason or found.state.value,
                actor=actor,
                policy_version=policy.version,
                list_versions=screening.list_versions,
                evidence=evidence,
                at=now,
            )
        self._work(connection, case, found, screening, policy, now, actor, words)
        return replace(changed, version=case.version + 1)

    def _next_poll(
        self, case: KycCase, found: Conclusion, now: datetime, submitted: datetime | None
    ) -> datetime | None:
        if found.state is KycState.CREATED:
            return case.next_poll_at
        if case.provider_reference is None:
            return None
        return next_poll(found.state, now, created_at=case.created_at, submitted_at=submitted)

    def _work(
        self,
        connection: Connection,
        case: KycCase,
        found: Conclusion,
        screening: _Screening,
        policy: Policy,
        now: datetime,
        actor: Actor,
        words: str | None,
    ) -> None:
        """Open an officer's case for what needs a person, and close it when that is settled."""
        if found.state is KycState.IN_REVIEW:
            if case.state is KycState.IN_REVIEW and case.state_reason == found.reason:
                return
            priority = "high" if found.reason in _URGENT else "normal"
            cases.open_case(
                connection,
                kind=CaseKind.KYC.value,
                subject_id=case.kyc_case_id,
                title=f"Identity to be verified by a person: {found.reason or 'no reason given'}",
                priority=priority,
                sla=policy.sla.due_in("kyc", priority),
                at=now,
                user_id=case.user_id,
                account_id=store.account_of(connection, case.user_id),
                body={"reason": found.reason, "policy_version": policy.version, **screening.evidence},
            )
        elif case.state is KycState.IN_REVIEW:
            self._close(connection, case, found, now, actor, words)

    def _close(
        self, connection: Connection, case: KycCase, found: Conclusion, now: datetime, actor: Actor, words: str | None
    ) -> None:
        chain.lock(connection)
        work = case_store.lock_open(connection, CaseKind.KYC, case.kyc_case_id)
        if work is None:
            return
        reason = words or f"Settled: {found.reason or found.state.value}."
        if work.state is CaseState.AWAITING_APPROVAL:
            work = cases.escalate(connection, work.case_id, version=work.version, reason=reason, actor=actor, at=now)
        outcome = found.state.value if found.state in DECIDED else "obsolete"
        cases.close_case(
            connection, work.case_id, version=work.version, outcome=outcome, reason=reason, actor=actor, at=now
        )

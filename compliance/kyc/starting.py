"""Beginning a verification: one open attempt a customer, the first provider that takes it, officers at the end.

The case is stored before a provider is asked. A process that dies in between leaves a case that is `created` and due;
whoever takes it up looks at each provider whether it has the case already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Engine

from compliance.errors import ComplianceInputError
from compliance.kyc import store
from compliance.kyc.deciding import Judge
from compliance.kyc.errors import Fault, ProviderError
from compliance.kyc.model import MANUAL, KycCase, KycState, Source
from compliance.kyc.ports import Policies
from compliance.kyc.providers.base import Applicant, Created, Provider
from compliance.users import User, read_user
from infra.runtime.clock import Clock
from infra.runtime.envelope import Envelope
from infra.runtime.logs import get_logger

# Longer than a round of all providers can take.
START_LEASE = timedelta(seconds=60)
# So long the providers are tried again before the officers get the case.
PATIENCE = timedelta(seconds=45)
RETRY_EVERY = timedelta(seconds=5)
MAX_KEY = 200
_CACHED = (KycState.APPROVED, KycState.DECLINED)
# The customer may have something to do at the provider: Sumsub asks for another try after they have handed in.
_LED_ON = (KycState.PENDING, KycState.SUBMITTED)
_OPEN = (KycState.CREATED, KycState.PENDING, KycState.SUBMITTED, KycState.IN_REVIEW)
_log = get_logger(__name__)


class Starter:
    """Opens cases and hands them to providers."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        envelope: Envelope,
        policies: Policies,
        providers: Mapping[str, Provider],
        judge: Judge,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._envelope = envelope
        self._policies = policies
        self._providers = providers
        self._judge = judge

    def start(self, user_id: str, idempotency_key: str) -> KycCase:
        """A new case, or the one that there is: of the same key, still open, or decided within the cache's hours.

        A case that waits at its provider has a new handoff each time, since a customer who closed the page cannot use
        the last one again. Raises `ComplianceInputError` for an unknown customer, or a key that another customer's
        case has.
        """
        case, is_new = self._begun(user_id, idempotency_key)
        return self._led_on(self.hand_over(case, is_new=True) if is_new else case)

    def _begun(self, user_id: str, idempotency_key: str) -> tuple[KycCase, bool]:
        """The case, and whether it is new."""
        if not 0 < len(idempotency_key) <= MAX_KEY or "\x00" in idempotency_key:
            raise ComplianceInputError(f"An idempotency key has 1 to {MAX_KEY} characters.")
        now = self._clock.now()
        policy = self._policies.current(now)
        with self._engine.begin() as connection:
            if store.lock_user(connection, user_id) is None:
                raise ComplianceInputError(f"There is no customer {user_id[:80]!r}.")
            same = store.by_key(connection, idempotency_key)
            if same is not None:
                if same.user_id != user_id:
                    raise ComplianceInputError(
                        "This idempotency key belongs to another customer's case; use a new one."
                    )
                return same, False
            last = store.newest(connection, user_id)
            if last is not None and last.state in _OPEN:
                return last, False
            if last is not None and _is_fresh(last, now, timedelta(hours=policy.kyc.cache_hours)):
                return replace(last, is_cached=True), False
            kyc_case_id = store.insert(connection, user_id, idempotency_key, policy.version, now, START_LEASE)
            case = store.read(connection, kyc_case_id)
            self._judge.refresh_user(connection, user_id)
        assert case is not None
        return case, True

    def _led_on(self, case: KycCase) -> KycCase:
        """The case with what leads to its provider, asked outside of any transaction; without it where that fails."""
        provider, reference = self._providers.get(case.provider or ""), case.provider_reference
        if provider is None or reference is None or case.handoff is not None or case.state not in _LED_ON:
            return case
        try:
            return replace(case, handoff=provider.handoff(reference, case.kyc_case_id))
        except ProviderError as error:
            fault = error.fault.value
            _log.warning("kyc_not_led_on", kyc_case_id=case.kyc_case_id, provider=error.provider, fault=fault)
            return case

    def hand_over(self, case: KycCase, *, is_new: bool) -> KycCase:
        """Give a case that is `created` to the first provider that takes it; where none does it is due again soon."""
        with self._engine.connect() as connection:
            user = read_user(connection, self._envelope, case.user_id)
        generation = case.polls
        waits: list[timedelta] = []
        for provider in self._order(user):
            try:
                created = provider.create(_applicant(case, user), generation, may_exist=not is_new)
            except ProviderError as error:
                generation += 2 * error.new_key
                waits.append(error.retry_in or RETRY_EVERY)
                self._note(case, error)
                continue
            return self._store(case, provider.name, created)
        if not waits or self._clock.now() - case.created_at >= PATIENCE:
            manual = self._providers[MANUAL].create(_applicant(case, user), 0, may_exist=False)
            return self._store(case, MANUAL, manual)
        return self._put_off(case, generation, min(*waits, RETRY_EVERY))

    def _order(self, user: User) -> list[Provider]:
        """The automatic providers to try; companies are verified by officers."""
        if user.kind != "person":
            return []
        order = self._policies.current(self._clock.now()).kyc.provider_order
        if MANUAL in order:
            order = order[: order.index(MANUAL)]
        return [self._providers[name] for name in order if name in self._providers]

    def _store(self, case: KycCase, provider: str, created: Created) -> KycCase:
        now = self._clock.now()
        with self._engine.begin() as connection:
            locked = store.read(connection, case.kyc_case_id, lock=True)
            assert locked is not None
            if locked.provider is None:
                # A webhook may have come before.
                locked = replace(locked, provider=provider, provider_reference=created.reference, polls=0)
            known = store.checks(connection, case.kyc_case_id)
            store.add_answer(connection, locked, provider, Source.CREATE, created.answer, known, created.reference, now)
            settled = self._judge.settle(connection, locked)
        is_handed = (settled.provider, settled.provider_reference) == (provider, created.reference)
        return replace(settled, handoff=created.handoff if is_handed else None)

    def _put_off(self, case: KycCase, generation: int, wait: timedelta) -> KycCase:
        now = self._clock.now()
        with self._engine.begin() as connection:
            locked = store.read(connection, case.kyc_case_id, lock=True)
            assert locked is not None
            if locked.state is not KycState.CREATED:
                return locked
            changed = replace(locked, polls=max(locked.polls, generation), next_poll_at=now + wait, updated_at=now)
            store.update(connection, changed)
        return replace(changed, version=locked.version + 1)

    def _note(self, case: KycCase, error: ProviderError) -> None:
        _log.warning("kyc_not_created", kyc_case_id=case.kyc_case_id, provider=error.provider, fault=error.fault.value)
        if error.fault is Fault.CIRCUIT_OPEN:
            return
        with self._engine.begin() as connection:
            now = self._clock.now()
            store.add_error(connection, case.kyc_case_id, error.provider, Source.CREATE, error.fault.value, now)


def _is_fresh(case: KycCase, now: datetime, reused_for: timedelta) -> bool:
    """Whether the result is reused: decisions only; what failed, expired or is open is looked at anew."""
    return case.state in _CACHED and case.decided_at is not None and now - case.decided_at < reused_for


def _applicant(case: KycCase, user: User) -> Applicant:
    personal = user.personal
    return Applicant(case.kyc_case_id, case.user_id, personal.first_name, personal.last_name, personal.birth_date)

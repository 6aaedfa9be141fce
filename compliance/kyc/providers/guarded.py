"""A provider behind its circuit breaker: one that fails is not asked for a while, one that is busy is left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from compliance.kyc.errors import Fault, ProviderError
from compliance.kyc.model import Answer, Handoff
from compliance.kyc.providers.base import Applicant, Created, Provider, ProviderEvent
from infra.runtime.breaker import Breaker, BreakerState

FAULTS, OPEN_S = 3, 10.0
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """Whether a provider is asked at present, and if not for how many seconds."""

    name: str
    breaker: BreakerState
    retry_in_s: float


class GuardedProvider:
    """The provider's port with a breaker in front of its calls; webhooks pass, they come from outside.

    Safe to use from several threads. Raises what the provider raises, and `circuit_open` without asking it.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        faults: int = FAULTS,
        open_s: float = OPEN_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = provider.name
        self._provider = provider
        self._breaker = Breaker(faults, open_s, monotonic)
        self._monotonic = monotonic
        self._alone_until = 0.0
        self._lock = threading.Lock()

    def create(self, applicant: Applicant, generation: int, *, may_exist: bool) -> Created:
        """As the provider's."""
        return self._guarded(lambda: self._provider.create(applicant, generation, may_exist=may_exist))

    def read(self, reference: str) -> Answer:
        """As the provider's."""
        return self._guarded(lambda: self._provider.read(reference))

    def handoff(self, reference: str, kyc_case_id: str) -> Handoff | None:
        """As the provider's."""
        return self._guarded(lambda: self._provider.handoff(reference, kyc_case_id))

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """As the provider's."""
        return self._provider.event(headers, body, now)

    def close(self) -> None:
        """As the provider's."""
        self._provider.close()

    def health(self) -> ProviderHealth:
        """How it stands with the provider, as this process knows."""
        with self._lock:
            alone_s = max(self._alone_until - self._monotonic(), 0.0)
            return ProviderHealth(self.name, self._breaker.state, max(self._breaker.retry_in_s(), alone_s))

    def _guarded(self, call: Callable[[], Answered]) -> Answered:
        with self._lock:
            alone_s = self._alone_until - self._monotonic()
            if alone_s > 0:
                raise ProviderError(self.name, Fault.CIRCUIT_OPEN, retry_in=timedelta(seconds=alone_s))
            if not self._breaker.allows():
                wait = timedelta(seconds=self._breaker.retry_in_s())
                raise ProviderError(self.name, Fault.CIRCUIT_OPEN, retry_in=wait)
        try:
            answered = call()
        except ProviderError as error:
            with self._lock:
                if error.fault.counts:
                    self._breaker.failed()
                elif error.fault is not Fault.LIMITED:
                    # Refusing one request is an answer.
                    self._breaker.succeeded()
                if error.retry_in is not None:
                    self._alone_until = self._monotonic() + error.retry_in.total_seconds()
            raise
        with self._lock:
            self._breaker.succeeded()
        return answered

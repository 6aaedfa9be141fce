"""Verification by our own officers: the last of the providers, which is always there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from compliance.kyc.errors import Fault, ProviderError, WebhookNotConfiguredError
from compliance.kyc.model import MANUAL, Answer, Handoff, Verdict
from compliance.kyc.providers.base import Applicant, Created, ProviderEvent
from infra.runtime.clock import Clock


class ManualProvider:
    """Hands every case to the officers' queue."""

    name = MANUAL

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def create(self, applicant: Applicant, generation: int, *, may_exist: bool) -> Created:  # noqa: ARG002
        """The case is for a person from the beginning."""
        return Created(None, Answer("manual", Verdict.REVIEW, self._clock.now()))

    def read(self, reference: str) -> Answer:  # noqa: ARG002
        """Nobody but the officers knows more."""
        raise ProviderError(MANUAL, Fault.NOT_FOUND)

    def handoff(self, reference: str, kyc_case_id: str) -> Handoff | None:  # noqa: ARG002
        """Officers call the customer; there is no page to go to."""
        return None

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:  # noqa: ARG002
        """Officers send no webhooks."""
        raise WebhookNotConfiguredError("Manual verification has no webhooks.")

    def close(self) -> None:
        """There is nothing to close."""

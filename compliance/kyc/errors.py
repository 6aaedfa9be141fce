"""Errors of verification: what providers do not do, and webhooks that prove nothing."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from compliance.errors import ComplianceError


class WebhookRefusedError(ComplianceError):
    """The signature of a webhook is missing, wrong or too old (HTTP 403)."""

    code = "webhook_refused"


class WebhookInvalidError(ComplianceError):
    """A webhook is signed, and yet not what the provider documents (HTTP 400)."""

    code = "webhook_invalid"


class WebhookNotConfiguredError(ComplianceError):
    """There is no such provider, or no secret to prove its webhooks by (HTTP 503)."""

    code = "webhook_not_configured"


class Fault(StrEnum):
    """Why a provider's call gave nothing."""

    UNREACHABLE = "unreachable"  # The request was not sent.
    TIMEOUT = "timeout"  # Sent; whether it had an effect is unknown.
    SERVER = "server_error"
    CONFLICT = "conflict"  # An equal request is at work, or was another one under the same key.
    LIMITED = "rate_limited"
    CREDENTIALS = "credentials_refused"
    REFUSED = "request_refused"
    NOT_FOUND = "not_found"
    UNREADABLE = "answer_unreadable"
    CIRCUIT_OPEN = "circuit_open"

    @property
    def is_uncertain(self) -> bool:
        """Whether a request that creates something may have done so all the same."""
        return self in (Fault.TIMEOUT, Fault.SERVER, Fault.CONFLICT, Fault.UNREADABLE)

    @property
    def counts(self) -> bool:
        """Whether it speaks against the provider, not against this one request."""
        return self in (Fault.UNREACHABLE, Fault.TIMEOUT, Fault.SERVER, Fault.CREDENTIALS, Fault.UNREADABLE)


class ProviderError(ComplianceError):
    """A provider did not answer, or refused; the text holds neither addresses nor anything of a person.

    `retry_in` is how long the provider wants to be left alone. `new_key`: the answer is stored under the idempotency
    key, so that the next try needs another one.
    """

    code = "kyc_provider_failed"

    def __init__(
        self, provider: str, fault: Fault, *, retry_in: timedelta | None = None, new_key: bool = False
    ) -> None:
        super().__init__(f"{provider} gave no answer: {fault.value}. It is tried again, then passed over.")
        self.provider = provider
        self.fault = fault
        self.retry_in = retry_in
        self.new_key = new_key

"""The port to a provider of verification, and what goes through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from compliance.kyc.model import Answer, Handoff


@dataclass(frozen=True, slots=True)
class Applicant:
    """Whom to verify; a provider gets our ids, and of the person only what it compares documents with."""

    kyc_case_id: str
    user_id: str
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    birth_date: date | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Created:
    """A provider has the case under `reference` (None: it keeps none), and what it says of it."""

    reference: str | None
    answer: Answer
    handoff: Handoff | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A proven webhook: `reference` is the provider's id, `kyc_case_id` ours; no answer: ask the provider."""

    event_id: str
    kind: str
    occurred_at: datetime | None
    reference: str | None
    kyc_case_id: str | None
    answer: Answer | None


class Provider(Protocol):
    """Who verifies customers. Calls raise `ProviderError`, and end within some seconds."""

    @property
    def name(self) -> str:
        """The name in policies, cases and addresses of webhooks."""
        ...

    def create(self, applicant: Applicant, generation: int, *, may_exist: bool) -> Created:
        """Give the provider the case, or find that it has it: a repetition of the call makes no second one.

        `generation` grows when an idempotency key must not be used again. `may_exist`: it was tried before, and how
        that ended is not known.
        """
        ...

    def read(self, reference: str) -> Answer:
        """What the provider says now."""
        ...

    def handoff(self, reference: str, kyc_case_id: str) -> Handoff | None:
        """What leads the customer to a case that the provider has, made anew; None where nothing leads there."""
        ...

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """The event in a webhook, proven over its raw body; header names in lower case.

        Raises `WebhookRefusedError`, `WebhookInvalidError` or `WebhookNotConfiguredError`.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...

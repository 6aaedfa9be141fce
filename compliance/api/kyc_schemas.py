"""What callers send and see of verifications: personal data goes in and never comes out."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from compliance.api.schemas import (
    AmountUsd,
    Birthday,
    Body,
    Country,
    Email,
    Id,
    Line,
    Name,
    Phone,
    Shown,
    UtcTime,
    Why,
)
from compliance.kyc.model import KycCase, KycState
from ingest.messages import AccountId

MAX_NAMES = 20
MAX_SEEN = 1_000


class PersonalDataInput(Body):
    """Who the customer is; sealed on arrival, and never shown by this address again."""

    first_name: Name | None = Field(default=None, repr=False)
    last_name: Name | None = Field(default=None, repr=False)
    names: Annotated[list[Name], Field(max_length=MAX_NAMES)] = Field(
        default=[], repr=False, description="whole names, such as a company's"
    )
    aliases: Annotated[list[Name], Field(max_length=MAX_NAMES)] = Field(default=[], repr=False)
    birth_date: Birthday | None = Field(default=None, repr=False)
    nationality: Country | None = Field(default=None, repr=False)
    email: Email | None = Field(default=None, repr=False)
    phone: Phone | None = Field(default=None, repr=False)
    address: Line | None = Field(default=None, repr=False)
    document_number: Annotated[Line, Field(max_length=64)] | None = Field(default=None, repr=False)


class CustomerKind(StrEnum):
    """What a customer is."""

    PERSON = "person"
    COMPANY = "company"


class CustomerInput(Body):
    """A customer by the desk's own reference; one that is known already keeps what it has."""

    reference: Id = Field(description="the desk's own id of the customer")
    kind: CustomerKind = CustomerKind.PERSON
    account_id: AccountId | None = None
    country: Country | None = Field(default=None, description="residence")
    declared_profile_usd: AmountUsd | None = Field(
        default=None, description="what the customer expects to move a month"
    )
    personal: PersonalDataInput = Field(repr=False)

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        given = self.personal
        if self.kind is CustomerKind.PERSON and not (given.first_name and given.last_name) and not given.names:
            raise ValueError("a person needs first_name and last_name, or names")
        if self.kind is CustomerKind.COMPANY and not given.names:
            raise ValueError("a company needs names")
        return self


class KycInput(Body):
    """Whom to verify: a new customer, or one that is known by id."""

    customer: CustomerInput | None = Field(default=None, repr=False)
    user_id: Id | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.customer is None) is (self.user_id is None):
            raise ValueError("give either customer or user_id")
        return self


class KycDecisionInput(Body):
    """What an officer decides of a verification in review; `review` opens one again that has ended."""

    verdict: Literal["approved", "declined", "review"]
    reason: Why
    seen_checks: Annotated[list[Id], Field(max_length=MAX_SEEN)] | None = Field(
        default=None, description="the answers that were looked at; one that is not among them is a conflict"
    )


class HandoffView(Shown):
    """What leads the customer to the provider, for one use; who begins the verification again gets a new one."""

    kind: str = Field(description="link, or token for the provider's component")
    value: str


class KycView(Shown):
    """One attempt to verify one customer; only `approved` lets a customer deal."""

    kyc_case_id: str
    user_id: str
    state: KycState
    state_reason: str | None = Field(description="a code")
    provider: str | None = Field(description="who verifies; null: nobody has it yet")
    submitted_at: UtcTime | None = Field(description="when the customer had done their part")
    decided_at: UtcTime | None
    expires_at: UtcTime | None
    policy_version: str
    version: int
    created_at: UtcTime
    updated_at: UtcTime
    is_cached: bool = Field(description="whether an earlier result that still counts was returned")
    handoff: HandoffView | None


def kyc_view(case: KycCase, *, with_handoff: bool = False) -> KycView:
    """What callers see; the handoff only who began the verification."""
    handoff: dict[str, Any] | None = None
    if with_handoff and case.handoff is not None:
        handoff = {"kind": case.handoff.kind, "value": case.handoff.value.get_secret_value()}
    names = set(KycView.model_fields) - {"handoff"}
    return KycView(**{name: getattr(case, name) for name in names}, handoff=handoff)

"""What callers send and see of preferences; addresses go in and never come out, a mask stands for them."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from alerting.preferences.addresses import MAX_ADDRESS_LENGTH
from alerting.preferences.codes import MAX_CODE_LENGTH
from alerting.preferences.model import (
    Contact,
    ContactChannel,
    ContactRole,
    ContactStatus,
    OwnerSettings,
    WantedContact,
    WantedPreferences,
)
from infra.runtime.cursors import OpaqueCursor

MAX_CONTACTS = 20
_CLOCK_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
# PostgreSQL holds no NUL.
_WORDS = r"^[^\x00]*$"
Who = Annotated[str, Field(min_length=1, max_length=200, pattern=_WORDS, description="who decided it")]
Why = Annotated[str, Field(min_length=1, max_length=1000, pattern=_WORDS, description="why, for the record")]
SeverityCode = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$", examples=["margin_call"])]
ClockTime = Annotated[str, Field(pattern=_CLOCK_TIME, examples=["22:00"])]
AddressText = Annotated[str, Field(min_length=1, max_length=MAX_ADDRESS_LENGTH)]


class Body(BaseModel):
    """A request; a field that it does not have is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Shown(BaseModel):
    """A part of a response, built from our own dataclasses."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class ContactInput(Body):
    """A contact: a channel and an address, or the id of one that is there already, which keeps it."""

    channel: ContactChannel | None = None
    address: AddressText | None = Field(default=None, repr=False)
    contact_id: Annotated[str, Field(min_length=1, max_length=100, pattern=_WORDS)] | None = None
    role: ContactRole = ContactRole.PRIMARY
    severities: Annotated[list[SeverityCode], Field(min_length=1, max_length=20)] | None = Field(
        default=None, description="null: all"
    )

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        is_new = self.channel is not None and self.address is not None
        is_neither = self.channel is None and self.address is None
        if not (is_new if self.contact_id is None else is_neither):
            raise ValueError("give channel and address, or contact_id alone")
        return self


class QuietHours(Body):
    """A time of each day in the owner's time zone; it may pass midnight."""

    start: ClockTime
    end: ClockTime


class PreferencesInput(Body):
    """Who is told and how; it replaces what was there. The order of the contacts is the order of fallbacks."""

    contacts: Annotated[list[ContactInput], Field(max_length=MAX_CONTACTS)]
    locale: Annotated[str, Field(max_length=35, description="BCP 47 tag of English, German or Spanish")] = "en"
    time_zone: Annotated[str, Field(max_length=64, description="name of the IANA database")] = "UTC"
    quiet_hours: QuietHours | None = None
    digest_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    set_by: Who
    reason: Why

    def wanted(self) -> WantedPreferences:
        """The same for the service."""
        quiet = self.quiet_hours
        return WantedPreferences(
            contacts=tuple(
                WantedContact(
                    role=each.role,
                    severities=None if each.severities is None else tuple(sorted(set(each.severities))),
                    contact_id=each.contact_id,
                    channel=each.channel,
                    address=each.address,
                )
                for each in self.contacts
            ),
            settings=OwnerSettings(
                self.locale,
                self.time_zone,
                time.fromisoformat(quiet.start) if quiet else None,
                time.fromisoformat(quiet.end) if quiet else None,
                self.digest_minutes,
            ),
            set_by=self.set_by,
            reason=self.reason,
        )


class CodeInput(Body):
    """The code that arrived at the address."""

    code: Annotated[str, Field(min_length=1, max_length=MAX_CODE_LENGTH, repr=False)]


class Attribution(Body):
    """Who decided it and why."""

    set_by: Who
    reason: Why


class RegisteredContactInput(Body):
    """What onboarding knows of the account's holder: a mail address, a phone number, or both."""

    email: AddressText | None = Field(default=None, repr=False)
    phone: AddressText | None = Field(default=None, repr=False)
    locale: Annotated[str, Field(max_length=35)] = "en"
    time_zone: Annotated[str, Field(max_length=64)] = "UTC"
    set_by: Who
    reason: Why

    @model_validator(mode="after")
    def _has_any(self) -> Self:
        if self.email is None and self.phone is None:
            raise ValueError("give email, phone or both")
        return self


class SilenceInput(Body):
    """Severities that the account is not told of for a while, at most 30 days."""

    severities: Annotated[list[SeverityCode], Field(min_length=1, max_length=20)]
    starts_at: AwareDatetime | None = Field(default=None, description="null or past: now")
    ends_at: AwareDatetime
    reason: Why
    created_by: Who


class ContactView(Shown):
    """A contact; `hint` is the masked address, `status_reason` tells why it is disabled."""

    contact_id: str
    channel: ContactChannel
    hint: str
    role: ContactRole
    severities: list[str] | None = Field(description="null: all")
    status: ContactStatus = Field(description="only a verified contact is told")
    status_reason: str | None
    verified_at: datetime | None
    previous_secret_until: datetime | None = Field(description="until then a webhook is signed with both secrets")
    secret: str | None = Field(default=None, repr=False, description="of a webhook, shown this one time")

    @classmethod
    def of(cls, contact: Contact, secret: str | None = None) -> ContactView:
        """The view of `contact`."""
        view = cls.model_validate(contact)
        return view.model_copy(update={"secret": secret}) if secret is not None else view


class QuietHoursView(Shown):
    """A time of each day in the owner's time zone."""

    start: ClockTime
    end: ClockTime


class SilenceView(Shown):
    """A silence; once it has ended it is kept for the record."""

    silence_id: str
    severities: list[str]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str
    created_at: datetime


class SilenceList(Shown):
    """Silences, the last to end first."""

    silences: list[SilenceView]


class AlertPreferencesView(Shown):
    """Who is told and how; `registered_contacts` are told while no contact of one's own is verified."""

    account_id: str | None = Field(description="null for a team")
    team: str | None = Field(description="null for an account")
    locale: str
    time_zone: str
    quiet_hours: QuietHoursView | None
    digest_minutes: int | None
    updated_at: datetime | None = Field(description="null: nothing was ever set, these are the defaults")
    contacts: list[ContactView]
    registered_contacts: list[ContactView]
    silences: list[SilenceView] = Field(description="those that hold now")
    thresholds_url: str | None = Field(description="where the account's thresholds are read and set")


class ChangeView(Shown):
    """One change; addresses are masked."""

    change_id: int
    at: datetime
    action: str
    changed_by: str
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ChangeList(Shown):
    """Changes, newest first."""

    changes: list[ChangeView]
    next_cursor: str | None = Field(description="for the next page; null on the last")


class ChangesCursor(OpaqueCursor):
    """The place behind one change."""

    at: AwareDatetime = Field(alias="t")
    change_id: int = Field(alias="c", ge=0, lt=2**63)


class TrialView(Shown):
    """The test alerts that go out, and the contacts that get none because they are not verified."""

    event_id: str | None = Field(description="null: there is no verified contact, nothing goes out")
    notification_ids: list[str]
    unverified_contact_ids: list[str]

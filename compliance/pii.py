"""Personal data of a customer: one sealed document, keyed hashes for equality, and no way into logs and reprs."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from compliance.errors import ComplianceInputError
from infra.runtime.envelope import Envelope, Sealed
from infra.runtime.sealing import UnsealError

_EMAIL = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,190}\.[^\s@<>\"'.]{2,63}")
# Digits after a plus, with the usual separators; times (`+00:00`) are shorter.
_PHONE = re.compile(r"\+\d[\d ()/.-]{6,}\d")
_MAX_PLACES = 20

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^\s@]+@[^\s@]+\.[^\s@]+$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class PersonalData(BaseModel):
    """What is known of a person or company; `names` are whole names, the first one the name in use.

    Without `names` the whole name is made of first and last name. Reprs and errors do not repeat what is in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    names: tuple[Name, ...] = Field(default=(), max_length=_MAX_PLACES)
    first_name: Name | None = None
    last_name: Name | None = None
    aliases: tuple[Name, ...] = Field(default=(), max_length=_MAX_PLACES)
    birth_date: date | None = None
    nationality: Country | None = None
    email: Email | None = None
    phone: Words | None = None
    address: Words | None = None
    document_number: Name | None = None

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if not self.names and not (self.first_name or self.last_name):
            raise ValueError("a name is needed: names, or first_name and last_name")
        return self

    @property
    def name(self) -> str:
        """The whole name in use."""
        return self.names[0] if self.names else " ".join(filter(None, (self.first_name, self.last_name)))

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every whole name and alias, each once, the one in use first."""
        return tuple(dict.fromkeys((self.name, *self.names, *self.aliases)))

    def __repr__(self) -> str:
        return "PersonalData(hidden)"

    __str__ = __repr__

    def __rich_repr__(self) -> list[str]:
        return ["hidden"]


def user_place(user_id: str) -> str:
    """The place that a customer's sealed document is bound to."""
    return f"compliance.users.{user_id}.pii_sealed"


def seal_user(envelope: Envelope, user_id: str, personal: PersonalData) -> Sealed:
    """The document sealed for the customer's row."""
    return envelope.seal(personal.model_dump_json(exclude_defaults=True), user_place(user_id))


def open_user(envelope: Envelope, user_id: str, sealed: Sealed) -> PersonalData:
    """The document of a customer; `UnsealError` where it does not open or is of another form."""
    text = envelope.open(sealed, user_place(user_id))
    try:
        return PersonalData.model_validate_json(text)
    except ValidationError:
        raise UnsealError(f"The personal data of {user_id} opens, but is in no form that this release knows.") from None


def name_key(name: str) -> str:
    """A name as its hash is made of it: without case, accents, punctuation and order of words."""
    bare = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return " ".join(sorted(re.findall(r"\w+", bare.casefold())))


def email_key(email: str) -> str:
    """An address as its hash is made of it."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def document_key(number: str) -> str:
    """A document's number as its hash is made of it: letters and digits only."""
    return "".join(each for each in unicodedata.normalize("NFKC", number).upper() if each.isalnum())


def refuse_personal_data(what: str, text: str) -> None:
    """Refuse a text for the record that holds an email address or a phone number; it is not repeated.

    Names cannot be recognised, so that people who write must leave them out; this catches what can be.
    """
    if _EMAIL.search(text) or _PHONE.search(text):
        raise ComplianceInputError(
            f"The {what} holds an email address or a phone number. The record is kept for ever: write ids instead."
        )

"""Types that requests and responses of compliance share: ids, texts, countries, exact decimals."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from rigour.territories import get_territories

from infra.runtime.clock import as_utc
from ingest.messages import PLAIN_NUMBER, Quantity

# Territories of the list that are no country: groups, waters, reserved codes.
_NO_COUNTRY = frozenset({"AC", "CP", "CQ", "DG", "EU", "IC", "IP", "TA", "UN", "ZZ"})
# PostgreSQL holds no NUL, and other control characters have no place in a name or a reason.
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
_LINE = r"^[^\x00-\x1f\x7f]*$"
# What makes a text look other than it is: controls of Latin-1, lines and paragraphs of Unicode, overrides and isolates
# of its direction. Scripts from right to left need none of them, and the joiners that some scripts need stay.
_DISGUISE = re.compile("[\x80-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"
OLDEST_BIRTH = date(1900, 1, 1)
USD_LIMIT = Decimal(10) ** 20


class Body(BaseModel):
    """A request; a field that it does not have is refused, and no text is echoed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Shown(BaseModel):
    """A part of a response, built from our own dataclasses."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes that are in use."""
    codes = {each.code.upper() for each in get_territories() if len(each.code) == 2 and not each.is_historical}
    return frozenset(codes - _NO_COUNTRY)


def _country(code: str) -> str:
    if code not in countries():
        raise ValueError("is no country; give a code of ISO 3166-1 alpha-2 such as DE")
    return code


def _not_blank(text: str) -> str:
    # Half of a surrogate pair is no UTF-8, so that neither PostgreSQL nor a hash takes it.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds half of a surrogate pair")
    if _DISGUISE.search(text):
        raise ValueError("holds control characters, or such that turn the direction of text")
    stripped = text.strip()
    if not stripped:
        raise ValueError("must not be empty or blank")
    return stripped


def _email(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        # The library's words repeat parts of the address.
        raise ValueError("is no mail address") from None


def _phone(text: str) -> str:
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        raise ValueError("is no phone number; give it as +4915112345678") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is no possible phone number; give it as +4915112345678")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _no_float(value: Any) -> Any:
    if isinstance(value, float | int) or (isinstance(value, str) and not PLAIN_NUMBER.fullmatch(value)):
        raise ValueError("must be a string that holds a plain decimal, such as '0.1'")
    return value


Id = Annotated[str, Field(pattern=_ID, examples=["case_1f2e"])]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=_LINE), AfterValidator(_not_blank)]
Line = Annotated[str, Field(min_length=1, max_length=300, pattern=_LINE), AfterValidator(_not_blank)]
Why = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        pattern=_TEXT,
        description="why, for the record that is kept for good; no names, addresses or document numbers of customers",
    ),
    AfterValidator(_not_blank),
]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["DE"]), AfterValidator(_country)]
Email = Annotated[str, Field(min_length=3, max_length=254, pattern=_LINE), AfterValidator(_email)]
Phone = Annotated[str, Field(min_length=4, max_length=32, pattern=_LINE), AfterValidator(_phone)]
Birthday = Annotated[date, Field(ge=OLDEST_BIRTH, description="not in the future")]
UtcTime = Annotated[datetime, AfterValidator(as_utc)]
AmountUsd = Annotated[
    Decimal,
    BeforeValidator(_no_float),
    Field(ge=0, lt=USD_LIMIT, decimal_places=9, allow_inf_nan=False),
    WithJsonSchema({"type": "string", "format": "decimal", "pattern": r"^[0-9]{1,20}(\.[0-9]{1,9})?$"}),
]
QuantityText = Annotated[
    Quantity, WithJsonSchema({"type": "string", "format": "decimal", "pattern": r"^[0-9]{1,20}(\.[0-9]{1,18})?$"})
]

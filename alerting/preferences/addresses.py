"""Addresses of people: checked, in one form, masked for whoever may see that there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from alerting.channels.guard import AddressGuard, IpNetwork
from alerting.errors import AddressRefusedError, PreferencesInvalidError
from alerting.preferences.model import ContactChannel
from infra.runtime.sealing import Sealer

MAX_ADDRESS_LENGTH = 2000
_STARS = "*******"
# Texts to these are charged to whoever sends them.
_COSTLY = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST})


@dataclass(frozen=True, slots=True)
class CheckedAddress:
    """An address in its one form, and its mask."""

    channel: ContactChannel
    text: str = field(repr=False)
    hint: str

    def fingerprint(self, sealer: Sealer) -> str:
        """Equal for equal addresses; mail addresses that differ in case only are equal."""
        text = self.text.lower() if self.channel is ContactChannel.EMAIL else self.text
        return sealer.fingerprint(f"{self.channel}:{text}")


def check_address(channel: ContactChannel, text: str, networks: Sequence[IpNetwork] = ()) -> CheckedAddress:
    """The address in its one form: ASCII mail address, E.164, or web address.

    Raises `PreferencesInvalidError`, whose message does not repeat the address. Where a host name leads is checked
    when something is sent, because that can change.
    """
    if channel is ContactChannel.EMAIL:
        return _checked_email(text)
    if channel is ContactChannel.SMS:
        return _checked_phone(text)
    return _checked_webhook(text, networks)


def _checked_email(text: str) -> CheckedAddress:
    try:
        found = validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError as error:
        raise PreferencesInvalidError(f"The mail address cannot be used: {error}") from None
    address = found.ascii_email or found.normalized
    local, _, domain = address.rpartition("@")
    return CheckedAddress(ContactChannel.EMAIL, address, f"{local[:1]}***@{domain[:1]}***.{domain.rpartition('.')[2]}")


def _checked_phone(text: str) -> CheckedAddress:
    try:
        number = phonenumbers.parse(text.strip(), None)
    except NumberParseException:
        raise PreferencesInvalidError(
            "The phone number cannot be read; write it with its country, such as +12025550143."
        ) from None
    if not phonenumbers.is_valid_number(number) or number.extension:
        raise PreferencesInvalidError("The phone number is none that its country assigns; check the digits.")
    if phonenumbers.number_type(number) in _COSTLY:
        raise PreferencesInvalidError("The phone number is a premium one; give one of an ordinary line.")
    address = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return CheckedAddress(ContactChannel.SMS, address, f"+{number.country_code}{_STARS}{address[-2:]}")


def _checked_webhook(text: str, networks: Sequence[IpNetwork]) -> CheckedAddress:
    try:
        url = AddressGuard(networks).checked_url(text.strip())
    except AddressRefusedError as error:
        raise PreferencesInvalidError(error.message) from None
    if "#" in text:
        raise PreferencesInvalidError("The webhook address must not hold a fragment (#...).")
    # Path and query stay as they were written; the host is the same in any case, and without the usual port.
    origin = f"https://{(url.host_port_subcomponent or '').lower()}"
    return CheckedAddress(ContactChannel.WEBHOOK, f"{origin}{url.raw_path_qs}", f"{origin}/...")

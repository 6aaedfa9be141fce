"""The people of the simulated book's accounts: fictional addresses, as onboarding would know them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from urllib.parse import urlsplit

from alerting.preferences.service import RegisteredContact
from infra.embedded.ports import HOST
from infra.runtime.settings import Settings

MAIL_DOMAIN = "accounts.ballast.example"
# Numbers that are reserved for fiction: +1 202 555 0100 to 0199.
_FIRST_NUMBER, _NUMBERS = 12025550100, 100
LOCALES = ("en", "de", "es")
TIME_ZONES = (
    "America/New_York",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Madrid",
    "America/Mexico_City",
    "Asia/Tokyo",
)


def book_people(settings: Settings, accounts: Iterable[str]) -> list[RegisteredContact]:
    """One contact for each account, the same each time.

    Made-up mail addresses and numbers go to the local inbox only: where a real provider is configured, there are none.
    """
    has_mail, has_texts = _is_local(settings.sendgrid_url), _is_local(settings.twilio_url)
    if not (has_mail or has_texts):
        return []
    return [
        RegisteredContact(
            owner=account,
            email=f"{account}@{MAIL_DOMAIN}" if has_mail else None,
            phone=f"+{_FIRST_NUMBER + _hash(account, 'phone') % _NUMBERS}" if has_texts else None,
            locale=LOCALES[_hash(account, "locale") % len(LOCALES)],
            time_zone=TIME_ZONES[_hash(account, "time zone") % len(TIME_ZONES)],
        )
        for account in sorted(set(accounts))
    ]


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname == HOST


def _hash(account: str, use: str) -> int:
    return zlib.crc32(f"{use}:{account}".encode())

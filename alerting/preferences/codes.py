"""Codes that prove ownership of an address, and secrets of webhooks."""

from __future__ import annotations

import base64
import hmac
import secrets

from alerting.preferences.model import ContactChannel
from infra.runtime.sealing import Sealer

SMS_DIGITS = 6
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that Standard Webhooks gives to secrets
SECRET_BYTES = 32
MAX_CODE_LENGTH = 200


def verification_code(sealer: Sealer, verification_id: str, channel: str) -> str:
    """The code of a verification, derived from its id and never stored.

    SMS: 6 digits. Mail and webhook: `<verification_id>.<signature>`, which is a token on its own.
    """
    signature = sealer.sign("verification", channel, verification_id)
    if channel == ContactChannel.SMS:
        return f"{int.from_bytes(signature[:8], 'big') % 10**SMS_DIGITS:0{SMS_DIGITS}d}"
    return f"{verification_id}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def is_code(sealer: Sealer, verification_id: str, channel: str, given: str) -> bool:
    """Whether `given` is the code; the time it takes tells nothing about how much of it is right."""
    expected = verification_code(sealer, verification_id, channel)
    return hmac.compare_digest(expected.encode(), given.strip().encode())


def new_secret() -> str:
    """A fresh secret of a webhook as Standard Webhooks writes it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def address_place(contact_id: str) -> str:
    """Where a contact's address is sealed."""
    return f"contact:{contact_id}"


def secret_place(contact_id: str) -> str:
    """Where a webhook's secrets are sealed."""
    return f"contact-secret:{contact_id}"

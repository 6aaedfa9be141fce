"""Credentials of the providers of mail, texts and pages: generated for the local inbox, left alone for real ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infra.embedded.inbox.signing import ensure_signing_key
from infra.embedded.ports import HOST, Ports

# Twilio's number for tests, which belongs to nobody.
SENDING_NUMBER = "+15005550006"
WEBHOOK_KEY = "BALLAST_SENDGRID_WEBHOOK_KEY"


@dataclass(frozen=True, slots=True)
class _Provider:
    """The variable that holds a provider's address, and how each of its credentials is made."""

    address: str
    credentials: Mapping[str, Callable[[], str]]


def _sendgrid_key() -> str:
    return f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"


_PROVIDERS = (
    _Provider("BALLAST_SENDGRID_URL", {"BALLAST_SENDGRID_API_KEY": _sendgrid_key}),
    _Provider(
        "BALLAST_TWILIO_URL",
        {
            "BALLAST_TWILIO_ACCOUNT_SID": lambda: f"AC{secrets.token_hex(16)}",
            "BALLAST_TWILIO_AUTH_TOKEN": lambda: secrets.token_hex(16),
            "BALLAST_TWILIO_FROM": lambda: SENDING_NUMBER,
        },
    ),
    _Provider("BALLAST_PAGERDUTY_URL", {"BALLAST_PAGERDUTY_ROUTING_KEY": lambda: secrets.token_hex(16)}),
)


def complete_providers(values: dict[str, str], state_dir: Path, ports: Ports) -> None:
    """Point providers at the inbox and make the credentials that are missing; one that stands elsewhere is not touched.

    A credential that is there is kept. SendGrid's public key follows the inbox's signing key in `state_dir`.
    """
    for provider in _PROVIDERS:
        if elsewhere(values, provider.address):
            continue
        values[provider.address] = f"http://{HOST}:{ports.inbox}"
        for name, make in provider.credentials.items():
            values[name] = values.get(name) or make()
    public_key = ensure_signing_key(state_dir / "inbox")
    if not elsewhere(values, "BALLAST_SENDGRID_URL"):
        values[WEBHOOK_KEY] = public_key
    elif values.get(WEBHOOK_KEY) == public_key:
        # The local key must not vouch for events of the real provider.
        del values[WEBHOOK_KEY]


def elsewhere(values: Mapping[str, str], name: str) -> str | None:
    """The address of that name, if it is set and leads elsewhere than this machine."""
    address = values.get(name, "")
    return address if address and urlsplit(address).hostname != HOST else None

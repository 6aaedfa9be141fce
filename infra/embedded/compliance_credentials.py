"""Credentials of compliance: keys for personal data, people with tokens, and the local providers of KYC."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.ports import HOST, Ports
from infra.embedded.provider_credentials import elsewhere
from infra.runtime.key_ring import LocalKeyRing

KEY_FILE = "pii-keys.json"
KEY_FILE_VARIABLE = "BALLAST_PII_KEY_FILE"
USERS = "BALLAST_COMPLIANCE_USERS"
# Name and role; four eyes need two officers, and the escrow is a program.
PEOPLE: Mapping[str, str] = {
    "viewer": "viewer",
    "analyst": "analyst",
    "officer": "officer",
    "officer2": "officer",
    "admin": "admin",
    "auditor": "auditor",
    "escrow": "service",
}


@dataclass(frozen=True, slots=True)
class _Provider:
    """The variable of a provider's address, the root of its local server, and how its credentials are made."""

    address: str
    local: Callable[[Ports], str]
    credentials: Mapping[str, Callable[[], str]]


_PROVIDERS = (
    _Provider(
        "BALLAST_PERSONA_URL",
        lambda ports: f"http://{HOST}:{ports.persona}/api/v1",
        {
            "BALLAST_PERSONA_API_KEY": lambda: f"persona_sandbox_{secrets.token_urlsafe(24)}",
            "BALLAST_PERSONA_TEMPLATE_ID": lambda: f"itmpl_{secrets.token_hex(12)}",
            "BALLAST_PERSONA_WEBHOOK_SECRETS": lambda: f"wbhsec_{secrets.token_urlsafe(24)}",
        },
    ),
    _Provider(
        "BALLAST_SUMSUB_URL",
        lambda ports: f"http://{HOST}:{ports.sumsub}",
        {
            "BALLAST_SUMSUB_APP_TOKEN": lambda: f"sbx:{secrets.token_urlsafe(24)}",
            "BALLAST_SUMSUB_SECRET_KEY": lambda: secrets.token_urlsafe(24),
            "BALLAST_SUMSUB_WEBHOOK_SECRET": lambda: secrets.token_urlsafe(24),
        },
    ),
)


def complete_compliance(values: dict[str, str], state_dir: Path, ports: Ports) -> None:
    """Make what is missing; keys, people and a provider that stands elsewhere are not touched.

    The file of keys is made in `state_dir` (mode 0600) where none, and no key of Cloud KMS, was ever named. One that is
    lost is not made again: another key would hide that what the lost one sealed can no longer be read.
    """
    own, named = state_dir / KEY_FILE, values.get(KEY_FILE_VARIABLE)
    if named and not Path(named).exists() and own.exists():
        # The state folder was moved.
        values[KEY_FILE_VARIABLE] = str(own)
    elif not named and not values.get("BALLAST_PII_KMS_KEY"):
        LocalKeyRing.create(own)
        values[KEY_FILE_VARIABLE] = str(own)
    if not values.get(USERS):
        values[USERS] = ",".join(f"{name}:{role}:{secrets.token_urlsafe(24)}" for name, role in PEOPLE.items())
    for provider in _PROVIDERS:
        if elsewhere(values, provider.address):
            continue
        values[provider.address] = provider.local(ports)
        for name, make in provider.credentials.items():
            values[name] = values.get(name) or make()

"""How the local providers sign what they report."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from pydantic import SecretStr


def secrets_of(given: SecretStr | None) -> Sequence[bytes]:
    """The secrets of a comma-separated setting."""
    parts = given.get_secret_value().split(",") if given is not None else []
    return [part.strip().encode() for part in parts if part.strip()]


def persona_headers(secrets: Sequence[bytes], at_s: int, body: bytes) -> dict[str, str]:
    """`Persona-Signature`: while a secret is rotated, a set for each, split by a space."""
    message = f"{at_s}.".encode() + body
    sets = [f"t={at_s},v1={hmac.new(secret, message, hashlib.sha256).hexdigest()}" for secret in secrets]
    return {"content-type": "application/json", "persona-signature": " ".join(sets)}


def sumsub_headers(secret: bytes, body: bytes) -> dict[str, str]:
    """`X-Payload-Digest` over the raw body."""
    return {
        "content-type": "application/json",
        "x-payload-digest": hmac.new(secret, body, hashlib.sha256).hexdigest(),
        "x-payload-digest-alg": "HMAC_SHA256_HEX",
    }

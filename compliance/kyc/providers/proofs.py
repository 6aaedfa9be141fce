"""Signatures of webhooks: which secrets there are, and comparison in constant time over the raw body."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from compliance.kyc.errors import WebhookInvalidError, WebhookNotConfiguredError

# The providers document none; this is ours, to both sides.
REPLAY_WINDOW = timedelta(seconds=300)


def secrets_of(given: SecretStr | None, provider: str) -> tuple[bytes, ...]:
    """The secrets of a comma-separated setting; `WebhookNotConfiguredError` where there is none."""
    parts = given.get_secret_value().split(",") if given is not None else []
    found = tuple(part.strip().encode() for part in parts if part.strip())
    if not found:
        raise WebhookNotConfiguredError(f"No secret of {provider}'s webhooks is configured, so that none is believed.")
    return found


def is_signed(message: bytes, digests: Iterable[str], secrets: Iterable[bytes], algorithm: str) -> bool:
    """Whether any secret gives any of the digests (lower-case hex); every pair is compared."""
    given = [digest.encode("utf-8", "surrogateescape") for digest in digests]
    wanted = [hmac.new(secret, message, getattr(hashlib, algorithm)).hexdigest().encode() for secret in secrets]
    matches = [hmac.compare_digest(one, other) for one in given for other in wanted]
    return any(matches)


def json_object(body: bytes, provider: str) -> Mapping[str, Any]:
    """The object in a proven body; raises `WebhookInvalidError`."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WebhookInvalidError(f"The body of {provider}'s webhook is no JSON object.")
    return content

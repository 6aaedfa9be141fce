"""Who may use an embedded server: bearers of its token."""

from __future__ import annotations

import hmac

from pydantic import SecretStr


def bearer_of(authorization: str) -> str | None:
    """The bearer token of an Authorization header; None for any other scheme."""
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def matches(given: str | None, wanted: SecretStr | None) -> bool:
    """Whether the secret is right, in constant time; a secret that is not configured matches nothing."""
    if given is None or wanted is None or not wanted.get_secret_value():
        return False
    return hmac.compare_digest(given.encode(), wanted.get_secret_value().encode())

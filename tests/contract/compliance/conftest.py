"""Clients of providers that speak no TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def tls_context() -> ssl.SSLContext:
    """One context for all clients of this folder."""
    return ssl.create_default_context()


@pytest.fixture(scope="module", autouse=True)
def _authorities_are_read_once(tls_context: ssl.SSLContext) -> Iterator[None]:
    """Every client reads the authorities that it trusts anew, which takes longer than most tests; none speaks TLS."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", lambda *_, **__: tls_context)
        yield

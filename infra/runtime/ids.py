"""Deterministic identifiers, so that a replay finds what is already there."""

from __future__ import annotations

import hashlib


def stable_id(prefix: str, *parts: object) -> str:
    """`prefix_` and 32 hex digits of SHA-256 over the parts; equal parts always give the equal id.

    Parts are joined with the unit separator (0x1F), which no identifier or number of ours contains,
    so ("a", "bc") and ("ab", "c") differ.
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()
    return f"{prefix}_{digest[:32]}"

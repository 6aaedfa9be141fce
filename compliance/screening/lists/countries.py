"""Names of countries as lists write them, as ISO 3166 codes."""

from __future__ import annotations

from functools import lru_cache

from rigour.territories import get_territory, lookup_territory


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """Two capitals; None for what is no country, and for what is not known for certain."""
    cleaned = text.strip()
    if not cleaned:
        return None
    territory = get_territory(cleaned.lower()) if len(cleaned) == 2 else lookup_territory(cleaned)
    code = territory.code.upper() if territory is not None else ""
    return code if len(code) == 2 and code.isalpha() else None

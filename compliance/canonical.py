"""The one form of what the record keeps, so that its hash can be computed again from what PostgreSQL gives back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from compliance.errors import ComplianceInputError
from infra.runtime.clock import as_utc

_UNKEEPABLE = re.compile(r"[\x00\ud800-\udfff]")


def plain(value: object) -> Any:
    """`value` as JSON keeps it exactly: figures with a fraction and times become texts, tuples become lists.

    Raises `ComplianceInputError` for what PostgreSQL's JSON or our record cannot hold; the value is not repeated.
    """
    match value:
        case None | bool():
            return value
        case int():
            return int(value)
        case str():
            return _checked(str(value))
        case Decimal() | float():
            exact = Decimal(repr(value)) if isinstance(value, float) else value
            if not exact.is_finite():
                raise ComplianceInputError("The record holds finite figures only.")
            return format(exact, "f")
        case datetime():
            return instant(value)
        case Mapping():
            return {_checked(str(key)): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted((plain(item) for item in value), key=canonical)
        case _:
            raise ComplianceInputError(f"The record holds no {type(value).__name__}: give texts, figures and times.")


def canonical(value: Any) -> str:
    """Plain JSON in its one form: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def instant(at: datetime) -> str:
    """A time as it stands in the hash: UTC with microseconds."""
    return as_utc(at).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _checked(value: str) -> str:
    if _UNKEEPABLE.search(value):
        raise ComplianceInputError("A text holds a character that the record cannot keep (NUL or half a pair).")
    return value

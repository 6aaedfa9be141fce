"""Providers' words made fit to keep: only listed fields, only in the form of ids, codes and times, nothing free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.runtime.clock import as_utc

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_STATUS = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,63}")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
UNREADABLE = "unreadable"
MAX_CODES = 20


def an_id(value: object) -> str | None:
    """An identifier as given, None for anything else."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def a_status(value: object) -> str:
    """A status as given; `unreadable` for what cannot be one."""
    return value if isinstance(value, str) and _STATUS.fullmatch(value) else UNREADABLE


def codes(value: object) -> list[str]:
    """The codes in capitals among the items of a list, sorted."""
    items = value if isinstance(value, list) else []
    return sorted({item for item in items if isinstance(item, str) and _CODE.fullmatch(item)})[:MAX_CODES]


def a_code(value: object) -> str | None:
    """One code in capitals, None for anything else."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def a_time(value: object) -> datetime | None:
    """A time in ISO 8601, UTC where it names no zone; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else as_utc(at)


def milliseconds(value: object) -> datetime | None:
    """A time in milliseconds since 1970 or as a text that `a_time` reads; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**14:
        return datetime.fromtimestamp(value // 1000, UTC) + timedelta(milliseconds=value % 1000)
    return a_time(value)


def an_object(value: object) -> Mapping[str, Any]:
    """A JSON object, empty for anything else."""
    return value if isinstance(value, dict) else {}

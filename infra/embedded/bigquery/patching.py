"""Replacing parts of a library in place, so that a repair that no longer fits fails at start-up and not later."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from infra.runtime.errors import BallastError


class RepairError(BallastError):
    """A repair does not fit the installed bqemulator."""

    code = "bigquery_repair_failed"


def replace(owner: type[Any] | ModuleType, name: str, value: Any) -> Any:
    """Set `owner.name` to `value` and return what stood there; `RepairError` when nothing stood there."""
    missing = object()
    before = getattr(owner, name, missing)
    if before is missing:
        where = getattr(owner, "__qualname__", owner.__name__)
        raise RepairError(_misfit(f"{where}.{name}"))
    setattr(owner, name, value)
    return before


def replace_everywhere(owner: ModuleType, name: str, make: Callable[[Any], Any]) -> None:
    """Replace `owner.name` by `make(original)` there and in each bqemulator module that imported it by name."""
    original = getattr(owner, name, None)
    if original is None:
        raise RepairError(_misfit(f"{owner.__name__}.{name}"))
    value = make(original)
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == "bqemulator" and getattr(module, name, None) is original:
            setattr(module, name, value)


def _misfit(name: str) -> str:
    return f"bqemulator has no {name}: this repair was written for another version of it"

"""Which code computed a figure."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def code_version() -> str:
    """`ballast-` and the version of the installed package; the dbt project carries the same in its vars."""
    return f"ballast-{version('ballast')}"

"""The types of the query parameters of the statement that runs in this context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_TYPES: ContextVar[Mapping[str, str] | None] = ContextVar("ballast_bigquery_parameter_types", default=None)


@contextmanager
def parameter_types(query_parameters: Sequence[Mapping[str, Any]] | None) -> Iterator[None]:
    """Remember the scalar types of named parameters as the request states them (`{"name", "parameterType"}`)."""
    types = {
        str(parameter["name"]): str(parameter.get("parameterType", {}).get("type", "STRING")).upper()
        for parameter in query_parameters or ()
        if parameter.get("name")
    }
    token = _TYPES.set(types)
    try:
        yield
    finally:
        _TYPES.reset(token)


def current_parameter_types() -> Mapping[str, str]:
    """Name to BigQuery type, of the statement that runs now."""
    return _TYPES.get() or {}

"""Query parameters: the types of those of the statement that runs in this context, and lists to look in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bqemulator.sql import parameters

from infra.embedded.bigquery.patching import replace_everywhere

# As the translation writes `x IN UNNEST(@ids)`.
_IN_PARAMETER = re.compile(r"\bIN \(SELECT UNNEST\([@$](\w+)\)\)", re.IGNORECASE)
_LISTED_VALUES = 5_000
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


def look_in_lists_early() -> None:
    """`x IN UNNEST(@ids)` becomes a list of values, which DuckDB applies before it computes a view.

    As a subquery it is a join on top of the view: margin health of two accounts costs as much as that of all.
    """

    def make(bind: Any) -> Any:
        def bind_with_lists(sql: str, query_parameters: list[dict[str, Any]] | None = None) -> Any:
            lists = {
                parameter["name"]: values
                for parameter in query_parameters or ()
                if parameter.get("name") and (values := _scalars(parameter))
            }
            added: dict[str, dict[str, Any]] = {}

            def listed(match: re.Match[str]) -> str:
                values = lists.get(match[1])
                if values is None:
                    return match[0]
                named = {f"{match[1]}__{index}": value for index, value in enumerate(values)}
                added.update({name: value | {"name": name} for name, value in named.items()})
                return f"IN ({', '.join(f'${name}' for name in named)})"

            if lists:
                sql = _IN_PARAMETER.sub(listed, sql)
            return bind(sql, [*(query_parameters or ()), *added.values()] or query_parameters)

        return bind_with_lists

    replace_everywhere(parameters, "bind_parameters", make)


def _scalars(parameter: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The values of a list parameter as parameters of their own; none where it is no list, empty or very long."""
    kind = parameter.get("parameterType", {}).get("arrayType")
    values = parameter.get("parameterValue", {}).get("arrayValues") or []
    if not kind or kind.get("type") in ("STRUCT", "ARRAY") or len(values) > _LISTED_VALUES:
        return []
    return [{"parameterType": kind, "parameterValue": value} for value in values]

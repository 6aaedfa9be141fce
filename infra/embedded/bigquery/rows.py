"""The rows of an insertAll request as an Arrow table, and which of them cannot be one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from bqemulator.storage import arrow_bridge

from infra.embedded.bigquery.patching import replace

Row = Mapping[str, Any]
_CONVERSION_ERRORS = (ValueError, TypeError, ArithmeticError)
_TRUE = ("true", "1")
_FALSE = ("false", "0")
# Types whose conversion depends on more than the Arrow type.
_SPECIAL = ("GEOGRAPHY", "INTERVAL")


def refuse_unclear_values() -> None:
    """A BOOL that is neither true nor false, and a fraction for INT64, are refused; stock stores false and rounds."""
    replace(
        arrow_bridge,
        "_ARROW_TYPE_COERCERS",
        (
            (pa.types.is_boolean, lambda value, _type, _field: _strict_bool(value)),
            (pa.types.is_integer, lambda value, _type, _field: _strict_int(value)),
            *arrow_bridge._ARROW_TYPE_COERCERS,
        ),
    )


def _strict_bool(value: Any) -> bool:
    text = str(value).lower()
    if text not in (*_TRUE, *_FALSE):
        raise ValueError(f"not a BOOL: {value!r}")
    return text in _TRUE


def _strict_int(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"not an INT64: {value!r}")
    return int(value)


def convert_rows(rows: Sequence[Row], schema: pa.Schema, *, ignore_unknown: bool) -> tuple[pa.Table, dict[int, str]]:
    """The rows that can be stored, in their order, and index to reason of those that cannot.

    `rows` are those of the request: `{"json": {column: value}, "insertId": ...}`.
    """
    refused = _misshapen(rows, schema, ignore_unknown=ignore_unknown)
    try:
        return _to_arrow([row for index, row in enumerate(rows) if index not in refused], schema), refused
    except _CONVERSION_ERRORS:  # which row it was is found one by one
        for index, row in enumerate(rows):
            reason = _conversion_error(row, schema) if index not in refused else None
            if reason:
                refused[index] = reason
        return _to_arrow([row for index, row in enumerate(rows) if index not in refused], schema), refused


def _misshapen(rows: Sequence[Row], schema: pa.Schema, *, ignore_unknown: bool) -> dict[int, str]:
    """Rows with columns that the table lacks, or without those that it requires."""
    refused = {}
    known = set(schema.names)
    required = [column.name for column in schema if not column.nullable]
    for index, row in enumerate(rows):
        values = row.get("json", {})
        unknown = None if ignore_unknown else next((name for name in values if name not in known), None)
        lacking = next((name for name in required if values.get(name) is None), None)
        if unknown is not None:
            refused[index] = f"no such field: {unknown}."
        elif lacking is not None:
            refused[index] = f"Missing required field: {lacking}."
    return refused


def _conversion_error(row: Row, schema: pa.Schema) -> str | None:
    for column in schema:
        try:
            _to_arrow([row], pa.schema([column]))
        except _CONVERSION_ERRORS as error:
            return f"Cannot convert value of {column.name} to {_type_name(column)}: {error}"
    return None


def _to_arrow(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    arrays = []
    for column in schema:
        convert = _converter(column)
        values = [row.get("json", {}).get(column.name) for row in rows]
        arrays.append(pa.array([None if value is None else convert(value) for value in values], type=column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _converter(column: pa.Field) -> Callable[[Any], Any]:
    """What turns a JSON value into one that Arrow takes, chosen once for a column."""
    name = _type_name(column)
    if name == "JSON" and not pa.types.is_list(column.type):
        return _json_text
    if name not in _SPECIAL:
        for applies, convert in arrow_bridge._ARROW_TYPE_COERCERS:
            if applies(column.type):
                return lambda value: convert(value, column.type, column)
    return lambda value: arrow_bridge._coerce_to_arrow_value(value, column.type, field=column)


def _json_text(value: Any) -> str:
    """Text is JSON text already; anything else is written as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _type_name(column: pa.Field) -> str:
    return (column.metadata or {}).get(b"bq_type", b"").decode() or str(column.type)

"""NUMERIC and BIGNUMERIC as exact decimals of DuckDB.

NUMERIC is DECIMAL(38, 9), as in BigQuery. BIGNUMERIC is DECIMAL(38, 18): 20 digits before the point and 18 after it,
since DuckDB has no decimal wider than 38 digits (BigQuery: 38 before and after).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import duckdb
import duckdb.func
import pyarrow as pa
import pyarrow.compute as pc
from bqemulator.api.routes import tabledata
from bqemulator.sql import builtin_udfs, parameters, translator
from bqemulator.storage import arrow_bridge, type_map
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from infra.embedded.bigquery.patching import replace, replace_everywhere

PRECISION = 38


class Kind(StrEnum):
    """The two exact number types."""

    NUMERIC = "numeric"
    BIGNUMERIC = "bignumeric"

    @property
    def scale(self) -> int:
        """Digits after the point."""
        return 9 if self is Kind.NUMERIC else 18

    @property
    def duckdb_type(self) -> str:
        """The column type in DuckDB."""
        return f"DECIMAL({PRECISION}, {self.scale})"


def store_decimals_exactly() -> None:
    """Columns, casts, literals, parameters and appended values of both types keep their digits.

    Stock turns NUMERIC in DDL and CAST into DECIMAL(18, 3) and BIGNUMERIC into DECIMAL(38, 5), silently rounding
    65000.123456789 to 65000.123 and 1e-18 to 0; a BIGNUMERIC column of `tables.insert` or `insertAll` fails, since
    DuckDB has no decimal of 76 digits; and BIGNUMERIC columns are reported as NUMERIC.
    """
    _generate_exact_types()
    replace(translator, "rewrite_numeric_literals", lambda bq_sql: bq_sql)
    type_map._BQ_TO_DUCKDB[Kind.BIGNUMERIC.upper()] = Kind.BIGNUMERIC.duckdb_type
    for kind in Kind:
        parameters._BQ_SCALAR_TO_DUCKDB[kind.upper()] = kind.duckdb_type
    replace_everywhere(type_map, "duckdb_to_bq", _by_scale)
    replace(tabledata, "_bq_type_to_arrow", _arrow_type(tabledata._bq_type_to_arrow))
    names = arrow_bridge._ARROW_SCALAR_TO_BQ_NAME
    replace(arrow_bridge, "_ARROW_SCALAR_TO_BQ_NAME", ((_is_bignumeric, "BIGNUMERIC"), *names))


def compute_decimals_exactly() -> None:
    """Register the exact multiplication and division that `arithmetic` puts into statements."""

    def make(register: Callable[[duckdb.DuckDBPyConnection], None]) -> Callable[[duckdb.DuckDBPyConnection], None]:
        def register_with_decimals(connection: duckdb.DuckDBPyConnection) -> None:
            register(connection)
            for kind in Kind:
                _register(connection, kind)
            connection.execute(_REFUSE_DECIMAL)

        return register_with_decimals

    replace_everywhere(builtin_udfs, "register_builtin_udfs", make)


# Stands around the operands of a division whose types could not be derived, and fails rather than divide decimals
# as floating point. `typeof` is known when the statement is planned, so it costs nothing for each row.
UNKNOWN_OPERAND = "ballast_not_decimal"
_REFUSE_DECIMAL = f"""
    CREATE OR REPLACE MACRO {UNKNOWN_OPERAND}(x) AS CASE WHEN starts_with(typeof(x), 'DECIMAL')
    THEN error('The type of this operand of / is not known before the statement runs: write cast(... as numeric)')
    ELSE x END
"""


def function_name(operation: str, kind: Kind, result: Kind | None = None) -> str:
    """The function for `multiply`, `divide`, `safe_divide` or `integer_divide`; `result` where it differs."""
    name = f"ballast_{operation}_{kind.value}"
    return name if result in (None, kind) else f"{name}_to_{result}"


def _register(connection: duckdb.DuckDBPyConnection, kind: Kind) -> None:
    # A product cast to NUMERIC is rounded to it at once: DuckDB takes a microsecond to narrow one wide decimal.
    results = (kind,) if kind is Kind.NUMERIC else (kind, Kind.NUMERIC)
    decimal = duckdb.sqltype(kind.duckdb_type)
    for operation, compute in _OPERATIONS.items():
        for result in results:
            connection.create_function(
                function_name(operation, kind, result),
                _exact(compute, kind, result),
                [decimal, decimal],
                duckdb.sqltype(result.duckdb_type),
                type=duckdb.func.ARROW,
                # Said to have effects so that DuckDB computes it where it stands, once: else it copies the whole
                # expression into each condition on the result.
                side_effects=True,
                null_handling=duckdb.func.FunctionNullHandling.SPECIAL
                if operation == "safe_divide"
                else duckdb.func.FunctionNullHandling.DEFAULT,
            )


def _exact(
    compute: Callable[[Any, Any, int], Any], kind: Kind, result: Kind
) -> Callable[[pa.Array, pa.Array], pa.Array]:
    """A vectorised function over Arrow arrays: computes in 76 digits, and fails when the result does not fit.

    Arrow's product has precision p1 + p2 + 1 and its quotient 38 fraction digits with these input types, at
    most 76 in all; one operand is therefore held to 37 digits.
    """
    wide, narrow = pa.decimal256(PRECISION, kind.scale), pa.decimal256(PRECISION - 1, kind.scale)
    narrowed = pa.decimal128(PRECISION, result.scale)

    def run(left: pa.Array, right: pa.Array) -> pa.Array:
        return compute(left.cast(wide), right.cast(narrow), result.scale).cast(narrowed)

    return run


def _rounded(value: Any, scale: int) -> Any:
    # Half away from zero, as BigQuery. A quotient is cut at 38 digits, far beyond the digit that decides.
    return pc.round(value, ndigits=scale, round_mode="half_towards_infinity")


def _multiply(left: Any, right: Any, scale: int) -> Any:
    return _rounded(pc.multiply(left, right), scale)


def _divide(left: Any, right: Any, scale: int) -> Any:
    if pc.any(pc.equal(right, pa.scalar(0).cast(right.type))).as_py():
        raise ValueError("Division by zero")
    return _rounded(pc.divide(left, right), scale)


def _safe_divide(left: Any, right: Any, scale: int) -> Any:
    zero = pc.equal(right, pa.scalar(0).cast(right.type))
    return _rounded(pc.divide(left, pc.if_else(zero, pa.scalar(None, right.type), right)), scale)


def _integer_divide(left: Any, right: Any, scale: int) -> Any:
    if pc.any(pc.equal(right, pa.scalar(0).cast(right.type))).as_py():
        raise ValueError("Division by zero")
    whole = pc.round(pc.divide(left, right), ndigits=0, round_mode="towards_zero")
    return _rounded(whole, scale)


_OPERATIONS: dict[str, Callable[[Any, Any, int], Any]] = {
    "multiply": _multiply,
    "divide": _divide,
    "safe_divide": _safe_divide,
    "integer_divide": _integer_divide,
}


def _generate_exact_types() -> None:
    """Give the generator of DuckDB's SQL the precision and scale of types that state none; at most 38 and 38."""
    settings = DuckDB.Generator.TYPE_PARAM_SETTINGS
    for sqlglot_type, kind in ((exp.DType.DECIMAL, Kind.NUMERIC), (exp.DType.BIGDECIMAL, Kind.BIGNUMERIC)):
        settings[sqlglot_type] = ((PRECISION, kind.scale), (PRECISION, PRECISION))


def _by_scale(original: Callable[[str], str]) -> Callable[[str], str]:
    def duckdb_to_bq(duckdb_type: str) -> str:
        name = original(duckdb_type)
        if name != Kind.NUMERIC.upper():
            return name
        _precision, scale = type_map._parse_decimal_params(duckdb_type.strip().upper())
        return Kind.BIGNUMERIC.upper() if (scale or 0) > Kind.NUMERIC.scale else name

    return duckdb_to_bq


def _arrow_type(original: Callable[[str], pa.DataType]) -> Callable[[str], pa.DataType]:
    def bq_type_to_arrow(bq_type: str) -> pa.DataType:
        if bq_type.upper() == Kind.BIGNUMERIC.upper():
            return pa.decimal128(PRECISION, Kind.BIGNUMERIC.scale)
        return original(bq_type)

    return bq_type_to_arrow


def _is_bignumeric(arrow_type: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(arrow_type)) and arrow_type.scale > Kind.NUMERIC.scale

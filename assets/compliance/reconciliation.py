"""Whether the warehouse's copy of a table of compliance equals PostgreSQL, up to where the mirror is."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from assets.risk.queries import Reader
from compliance.mirror import Figures, Passed
from compliance.mirror_stream import Stream

_SQL = """
with
    copies as (
        select
            {key} as row_key,
            cast(change_number as numeric) as change_number{columns}
        from {table}
        where {key} not in unnest(@waiting)
        qualify row_number() over (partition by {key} order by {table_name}.change_number desc, mirrored_at desc) = 1
    )

select
    count(*) as rows_passed,
    coalesce(sum(change_number), 0) as change_number{sums}
from copies
"""


@dataclass(frozen=True)
class Reconciled:
    """Both sides' figures; `differences` names what is not equal, and is None where it could not be compared."""

    differences: tuple[str, ...] | None
    ledger: Figures
    copy: Figures | None
    waiting: int | None

    @property
    def is_equal(self) -> bool:
        """Whether all was compared and found equal."""
        return self.differences == ()

    @property
    def told(self) -> str:
        """The result in words."""
        if self.differences is None:
            return "not compared: too many rows changed since the mirror looked"
        return "; ".join(self.differences) or "equal"


def copy_sql(stream: Stream) -> str:
    """BigQuery's SQL for the figures of a copy; rows that wait for the mirror (`@waiting`) are left out."""
    columns = "".join(f",\n            {name}" for name in stream.sums)
    sums = "".join(f",\n    coalesce(sum({name}), 0) as {name}" for name in stream.sums)
    return _SQL.format(
        key=stream.key, table=stream.target.table_id, table_name=stream.target.name, columns=columns, sums=sums
    )


def reconcile(reader: Reader, stream: Stream, passed: Passed) -> Reconciled:
    """Compare PostgreSQL's figures with the copy's; the mirror must stand still meanwhile.

    Raises the warehouse's errors.
    """
    if passed.waiting is None:
        return Reconciled(None, passed.figures, None, None)
    row: dict[str, Any] = reader.query(copy_sql(stream), {"waiting": list(passed.waiting)})[0]
    copy = Figures(int(row["rows_passed"]), {name: Decimal(str(row[name])) for name in ("change_number", *stream.sums)})
    return Reconciled(_differences(passed.figures, copy), passed.figures, copy, len(passed.waiting))


def _differences(ledger: Figures, copy: Figures) -> tuple[str, ...]:
    compared = [("rows", Decimal(ledger.rows), Decimal(copy.rows))]
    compared += [(f"sum of {name}", ledger.sums[name], copy.sums[name]) for name in ledger.sums]
    return tuple(
        f"{what}: {here.normalize():f} in PostgreSQL, {there.normalize():f} in the warehouse"
        for what, here, there in compared
        if here != there
    )

"""How new the tables are, which checks failed, and the last runs: what Dagster and the warehouse tell, as markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from assets.risk.health_queries import TableAge
from streamlit_app import dagster_client
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text
from streamlit_app.dagster_client import Asset, Check, DagsterState, Run

MOST_CHECKS = 40
TABLE_AGE = "table:"
BUILT_AGE = "built:"
# The worst first; the class of the style sheet and the words for Dagster's own states.
FRESHNESS = {
    "DEGRADED": ("liquidation", "Too old"),
    "WARNING": ("warn", "Late"),
    "UNKNOWN": ("unpriced", "Not judged"),
    "HEALTHY": ("ok", "In time"),
}
NEVER_BUILT = ("unpriced", "Never built")
NO_LIMIT = ("", "No limit")
LIMIT_UNKNOWN = ("unpriced", "Limit unknown")
CHECK_WORDS = {
    "FAILED": ("liquidation", "Failed"),
    "EXECUTION_FAILED": ("warn", "Did not end"),
    "SKIPPED": ("unpriced", "Skipped"),
    "IN_PROGRESS": ("", "Running"),
    "SUCCEEDED": ("ok", "Passed"),
}
RUN_WORDS = {
    "SUCCESS": ("ok", "Succeeded"),
    "FAILURE": ("liquidation", "Failed"),
    "CANCELED": ("unpriced", "Cancelled"),
    "CANCELING": ("unpriced", "Being cancelled"),
    "STARTED": ("", "Running"),
    "STARTING": ("", "Starting"),
    "QUEUED": ("", "Waiting"),
    "NOT_STARTED": ("", "Waiting"),
}


@dataclass(frozen=True)
class TableRow:
    """A table with what both sides know of it; `asset` is None where Dagster is away or does not know it."""

    name: str
    age: TableAge | None
    asset: Asset | None
    is_dagster_known: bool

    @property
    def state(self) -> tuple[str, str]:
        """The class and the words of its state."""
        if not self.is_dagster_known:
            return LIMIT_UNKNOWN
        if self.asset is None or self.asset.freshness is None or self.asset.fail_after_s is None:
            return NO_LIMIT
        if self.asset.built_at is None:
            return NEVER_BUILT
        return FRESHNESS.get(self.asset.freshness, FRESHNESS["UNKNOWN"])


def table_rows(ages: Sequence[TableAge], dagster: DagsterState | None) -> list[TableRow]:
    """Tables whose age is known or limited, those first that ask for attention."""
    known = {each.table_name: each for each in ages}
    assets = {each.key.replace("/", "."): each for each in (dagster.assets if dagster else ())}
    limited = {name for name, asset in assets.items() if asset.fail_after_s is not None}
    rows = [
        TableRow(name, known.get(name), assets.get(name), dagster is not None) for name in sorted({*known, *limited})
    ]
    order = ["Too old", "Late", "Never built", "Not judged", "In time"]
    return sorted(rows, key=lambda row: order.index(row.state[1]) if row.state[1] in order else len(order))


def table_ages(rows: Sequence[TableRow], now: datetime) -> dict[str, float | None]:
    """The ages (seconds) that `tables_html` shows."""
    ages: dict[str, float | None] = {}
    for row in rows:
        if row.age is not None and row.age.last_row_at is not None:
            ages[TABLE_AGE + row.name] = (now - row.age.last_row_at).total_seconds()
        if row.asset is not None and row.asset.built_at is not None:
            ages[BUILT_AGE + row.name] = (now - row.asset.built_at).total_seconds()
    return ages


def tables_html(rows: Sequence[TableRow], url: str | None) -> str:
    """Each table with its last row, when it was last built, and its limit."""
    columns = (Column("Table"), Column("State"), Column("Last row"), Column("Last built"), Column("Limit"))
    return markup.table(
        "Freshness of tables",
        columns,
        [(_named(row, url), _tagged(row.state), _last_row(row), _built(row), text(*_limit(row))) for row in rows],
    )


def checks_summary(checks: Sequence[Check]) -> str:
    """How many checks ended how, in words: `60 passed, 3 failed, 5 never ran`."""
    counted = Counter(check.status for check in checks)
    known = [f"{counted[status]:,} {words.lower()}" for status, (_, words) in CHECK_WORDS.items() if counted[status]]
    never = [f"{counted[None]:,} never ran"] if counted[None] else []
    return ", ".join([*known, *never]) or "no check is known"


def failing(checks: Sequence[Check]) -> list[Check]:
    """Checks that failed or did not end, the failed ones and errors first."""
    found = [check for check in checks if check.status in ("FAILED", "EXECUTION_FAILED")]
    return sorted(
        found, key=lambda check: (check.status != "FAILED", check.severity != "ERROR", check.asset, check.name)
    )


def checks_html(checks: Sequence[Check], url: str | None) -> str:
    """The checks that failed or did not end; each leads to Dagster."""
    found = failing(checks)
    if not found:
        return f'<p class="muted">No check fails: {escape(checks_summary(checks))}.</p>'
    columns = (Column("Check"), Column("Result"), Column("Table"), Column("Says"), Column("At"))
    rows = [
        (
            _linked(check.name, dagster_client.check_address(url, check) if url else None),
            _check_result(check),
            text(check.asset.replace("/", ".")),
            text(_shortened(check.description), "Holds back what is built on the table" if check.is_blocking else ""),
            text(formats.moment(check.at)),
        )
        for check in found[:MOST_CHECKS]
    ]
    more = f" The first {MOST_CHECKS} of {len(found):,} are shown." if len(found) > MOST_CHECKS else ""
    return markup.table("Failing checks", columns, rows) + markup.note(f"All checks: {checks_summary(checks)}.{more}")


def runs_html(runs: Sequence[Run], now: datetime, url: str | None) -> str:
    """The last runs of jobs, the newest first."""
    if not runs:
        return '<p class="muted">No job has run yet.</p>'
    columns = (Column("Run"), Column("State"), Column("Started"), Column("Duration", True))
    rows = [
        (
            _linked(run.job, dagster_client.run_address(url, run.run_id) if url else None),
            _tagged(RUN_WORDS.get(run.status, ("unpriced", run.status.capitalize()))),
            text(formats.moment(run.started_at or run.created_at), "" if run.started_at else "not started; asked for"),
            text(*_duration(run, now)),
        )
        for run in runs
    ]
    return markup.table("Last runs", columns, rows)


def link(address: str, words: str) -> str:
    """A link that opens beside the app; `words` is ready HTML."""
    help_text = "opens Dagster in a new tab"
    return (
        f'<a class="link" href="{escape(address)}" target="_blank" rel="noopener noreferrer" title="{help_text}">'
        f"{words}</a>"
    )


def _named(row: TableRow, url: str | None) -> Cell:
    has_page = url is not None and row.asset is not None
    return _linked(
        row.name, dagster_client.asset_address(url, row.asset.key) if has_page and row.asset and url else None
    )


def _linked(name: str, address: str | None) -> Cell:
    shown = f'<code class="wraps">{escape(name)}</code>'
    return Cell(link(address, shown) if address else shown)


def _tagged(state: tuple[str, str]) -> Cell:
    return Cell(markup.tag(*state))


def _check_result(check: Check) -> Cell:
    kind, words = CHECK_WORDS.get(check.status or "", ("unpriced", "Unknown"))
    if check.status == "FAILED" and check.severity == "WARN":
        kind, words = "warn", "Warns"
    return Cell(markup.tag(kind, words))


def _last_row(row: TableRow) -> Cell:
    if row.age is None:
        return text("not asked")
    if row.age.last_row_at is None:
        return text("none in 30 days")
    day = f'<span class="under">up to {row.age.last_date.isoformat()}</span>' if row.age.last_date else ""
    return Cell(f"{markup.age_span(TABLE_AGE + row.name)} ago{day}")


def _built(row: TableRow) -> Cell:
    if row.asset is None or row.asset.built_at is None:
        return text("unknown" if not row.is_dagster_known else "not by Dagster" if row.asset is None else "never")
    return Cell(f"{markup.age_span(BUILT_AGE + row.name)} ago")


def _limit(row: TableRow) -> tuple[str, str]:
    if row.asset is None or row.asset.fail_after_s is None:
        return "none" if row.is_dagster_known else formats.UNKNOWN, ""
    warn_after_s = row.asset.warn_after_s
    return formats.age(row.asset.fail_after_s), f"late after {formats.age(warn_after_s)}" if warn_after_s else ""


def _duration(run: Run, now: datetime) -> tuple[str, str]:
    if run.started_at is None:
        return "not started", ""
    seconds = ((run.ended_at or now) - run.started_at).total_seconds()
    return formats.age(seconds), "" if run.ended_at else "so far"


def _shortened(words: str | None, most: int = 240) -> str:
    said = (words or "no words").strip()
    return said if len(said) <= most else said[:most].rstrip() + "\u2026"

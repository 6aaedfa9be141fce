"""What asks for attention in the whole of data and processes, in one list: the worst first, what is unknown too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from assets.risk.overview_queries import AssetPrice
from streamlit_app.components import formats, health_parts, health_tables, markup, model_risk
from streamlit_app.components.health_parts import Process
from streamlit_app.components.health_tables import TableRow
from streamlit_app.health import ApiReadiness, HealthReadings
from streamlit_app.reads import Reading

NAMED = 6
_CLASSES = {"bad": "liquidation", "late": "warn", "unknown": "unpriced"}
_LABELS = {"bad": "Wrong", "late": "Look at it", "unknown": "Unknown"}
_ORDER = tuple(_CLASSES)


@dataclass(frozen=True)
class Item:
    """One thing that asks for attention: `kind` is bad, late or unknown."""

    kind: str
    words: str


def items(found: HealthReadings, rows: Sequence[TableRow], seen: Sequence[Process]) -> list[Item]:
    """Everything that is wrong, late or unknown, the worst first; empty only where all is known and well."""
    every = [
        *_sources(found),
        *_parts(found.api.value),
        *_processes(seen),
        *_tables(rows),
        *_dagster(found),
        *_prices(found.prices),
        *_model(found),
        *_dead_letters(found),
    ]
    return sorted(every, key=lambda item: _ORDER.index(item.kind))


def items_html(every: Sequence[Item]) -> str:
    """The list, or that nothing is wrong."""
    if not every:
        return f"<p>{markup.tag('ok', 'All well')} Every source answers, and nothing in them asks for attention.</p>"
    lines = (
        f'<li style="flex-wrap:nowrap">{markup.tag(_CLASSES[item.kind], _LABELS[item.kind])} '
        f'<span class="wraps">{escape(item.words)}</span></li>'
        for item in every
    )
    return f'<ul class="lines">{"".join(lines)}</ul>'


def _sources(found: HealthReadings) -> list[Item]:
    by_name: dict[str, Reading[object]] = {
        "BigQuery": found.raw,  # type: ignore[dict-item]
        "Dagster": found.dagster,  # type: ignore[dict-item]
        "The API": found.api,  # type: ignore[dict-item]
        "PostgreSQL": found.beats,  # type: ignore[dict-item]
    }
    return [
        Item("unknown", f"{name} could not be asked: {reading.problem.message[:200]}")
        for name, reading in by_name.items()
        if reading.problem is not None
    ]


def _parts(api: ApiReadiness | None) -> list[Item]:
    if api is None:
        return []
    down = [(name, part) for name, part in api.parts.items() if part.state != "up"]
    return [
        Item("bad", f"{formats.words(name, health_parts.PART_WORDS)} is down for the API: {_why(part.reason)}.")
        for name, part in down
    ]


def _processes(seen: Sequence[Process]) -> list[Item]:
    down = [Item("bad", f"{each.words} is down: {each.reason}.") for each in seen if each.state == "down"]
    unknown = [each.words for each in seen if each.state not in ("up", "down")]
    return [*down, *([Item("unknown", f"Whether they work is unknown: {_named(unknown)}.")] if unknown else [])]


def _tables(rows: Sequence[TableRow]) -> list[Item]:
    wanted = {"Too old": "bad", "Late": "late", "Never built": "unknown", "Not judged": "unknown"}
    by_words: dict[str, list[str]] = {}
    for row in rows:
        if row.state[1] in wanted:
            by_words.setdefault(row.state[1], []).append(row.name)
    return [
        Item(wanted[words], f"{words}: {formats.count(len(names), 'table')} ({_named(names)}).")
        for words, names in by_words.items()
    ]


def _dagster(found: HealthReadings) -> list[Item]:
    state = found.dagster.value
    if state is None:
        return []
    failing = health_tables.failing(state.checks)
    failed = [each.name for each in failing if each.status == "FAILED" and each.severity != "WARN"]
    warned = [each.name for each in failing if each.status == "FAILED" and each.severity == "WARN"]
    ended = [each.name for each in failing if each.status == "EXECUTION_FAILED"]
    last = {run.job: run for run in reversed(state.runs) if run.ended_at is not None}
    broken = sorted(job for job, run in last.items() if run.status == "FAILURE")
    said = (
        ("bad", failed, "failed"),
        ("late", warned, "warned"),
        ("late", ended, "did not end"),
    )
    return [
        *(Item(kind, f"{formats.count(len(n), 'check')} {words}: {_named(n)}.") for kind, n, words in said if n),
        *([Item("bad", f"The last run failed of {_named(broken)}.")] if broken else []),
    ]


def _prices(prices: Reading[list[AssetPrice]]) -> list[Item]:
    by_status: dict[str, list[str]] = {}
    for each in prices.value or []:
        by_status.setdefault(each.price_status, []).append(each.asset)
    kinds = {"missing": "bad", "stale": "bad", "degraded": "late"}
    return [
        Item(kind, f"{formats.words(status, formats.PRICE_STATUS_WORDS)}: {_named(by_status[status])}.")
        for status, kind in kinds.items()
        if status in by_status
    ]


def _model(found: HealthReadings) -> list[Item]:
    if found.backtests.value is None:
        return []
    verdict = model_risk.worst_verdict(found.backtests.value)
    kinds = {"red": "bad", "amber": "late", "unknown": "unknown"}
    words = {
        "red": "The Value at Risk of the book fails its backtests.",
        "amber": "The backtests of the book's Value at Risk are amber.",
        "unknown": "Whether the book's Value at Risk holds is unknown: too little was backtested.",
    }
    return [Item(kinds[verdict], words[verdict])] if verdict in kinds else []


def _dead_letters(found: HealthReadings) -> list[Item]:
    number = sum(each.messages for each in found.dead_letters.value or [])
    return (
        [Item("late", f"{formats.count(number, 'message was', 'messages were')} set aside lately.")] if number else []
    )


def _why(code: str | None) -> str:
    return health_parts.reason_words(code) or "no reason given"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown

"""The API's parts, the processes, messages set aside and copies to the warehouse, as markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assets.risk.health_queries import DeadLetters
from infra.runtime.heartbeats import Beat
from streamlit_app.components import formats, markup
from streamlit_app.components.markup import Cell, Column, text
from streamlit_app.health import ApiReadiness, MirrorLags, PartState

BEAT_AGE = "beat:"
PART_WORDS = {"authentication": "Sign-in of callers", "bigquery": "BigQuery", "postgres": "PostgreSQL"}
PROCESS_WORDS = {
    "margin_sensor": "Margin sensor",
    "consumer": "Consumer of prices and settlements",
    "alert-worker": "Alert worker",
    "alert-upkeep": "Alert upkeep",
    "compliance-worker": "Compliance worker",
    "runner": "Job runner",
    "oracle": "Price oracle",
}
STREAM_WORDS = {
    "notification_states": "Alerting: steps of notifications",
    "preference_changes": "Alerting: changes of preferences",
    "case_events": "Compliance: events of cases",
    "decisions": "Compliance: decisions",
}
REASON_WORDS = {
    "timeout": "did not answer in time",
    "token_not_configured": "the API has no token, and refuses everybody",
    "not_ready": "does not answer",
    "intake_not_ready": "cannot take settlements in yet",
    "warehouse_failed": "BigQuery refused a statement",
    "failed": "failed; the API's log tells how",
    "heartbeat_old": "gave no sign of life for too long",
    "never_beat": "never gave a sign of life",
    "heartbeats_unreadable": "signs of life cannot be read",
    "clock_skew": "its clock and the database's differ",
    "job_failed": "its last job failed",
}
_STATES = {"up": ("ok", "Works"), "down": ("liquidation", "Down")}
_UNKNOWN = ("unpriced", "Unknown")


@dataclass(frozen=True)
class Process:
    """A process beside the API: what the API says of it, and its own last sign of life."""

    name: str
    judged: PartState | None
    beat: Beat | None
    is_api_known: bool

    @property
    def words(self) -> str:
        """What it is called."""
        return formats.words(self.name.replace("-", "_"), _UNDERSCORED)

    @property
    def state(self) -> str:
        """up, down or unknown: the API's word, and never up where the API says nothing."""
        return self.judged.state if self.judged else "unknown"

    @property
    def reason(self) -> str:
        """Why it is not up, in words; empty where it is."""
        if self.judged is not None:
            return reason_words(self.judged.reason)
        if self.beat is not None and self.beat.problem:
            return reason_words(self.beat.problem)
        return "the API does not judge it" if self.is_api_known else "the API, which judges it, cannot be asked"


_UNDERSCORED = {name.replace("-", "_"): words for name, words in PROCESS_WORDS.items()}


def reason_words(code: str | None) -> str:
    """A reason in words; one that is not known is shown readable."""
    return formats.words(code, REASON_WORDS) if code else ""


def processes(api: ApiReadiness | None, beats: Mapping[str, Beat] | None) -> list[Process]:
    """Every process that the API judges or that ever gave a sign of life; those that do not work first."""
    judged, seen = (api.workers if api else {}), beats or {}
    found = [Process(name, judged.get(name), seen.get(name), api is not None) for name in sorted({*judged, *seen})]
    order = {"down": 0, "unknown": 1, "up": 2}
    return sorted(found, key=lambda process: order.get(process.state, 1))


def process_ages(found: Sequence[Process], since_beats_s: float, since_api_s: float) -> dict[str, float | None]:
    """The ages (seconds) that `processes_html` shows."""
    ages: dict[str, float | None] = {}
    for process in found:
        if process.beat is not None:
            ages[BEAT_AGE + process.name] = process.beat.age_s + since_beats_s
        elif process.judged is not None and process.judged.age_seconds is not None:
            ages[BEAT_AGE + process.name] = process.judged.age_seconds + since_api_s
    return ages


def parts_html(api: ApiReadiness) -> str:
    """What the API needs, part by part."""
    columns = (Column("Part"), Column("State"), Column("Why"))
    rows = [
        (text(formats.words(name, PART_WORDS)), _tag(part.state), text(reason_words(part.reason) or "no problem"))
        for name, part in api.parts.items()
    ]
    return markup.table("Parts of the API", columns, rows)


def processes_html(found: Sequence[Process], ages: Mapping[str, float | None]) -> str:
    """Each process with its state, its last sign of life and what it does."""
    if not found:
        return '<p class="muted">No process has given a sign of life yet.</p>'
    columns = (Column("Process"), Column("State"), Column("Last sign of life"), Column("Says"))
    rows = []
    for process in found:
        is_seen = BEAT_AGE + process.name in ages
        seen = Cell(f"{markup.age_span(BEAT_AGE + process.name)} ago") if is_seen else text("unknown")
        said = process.beat.detail if process.beat and process.beat.detail else ""
        rows.append((text(process.words), _tag(process.state), seen, text(process.reason or said or "no problem")))
    return markup.table("Processes", columns, rows)


def dead_letters_html(found: Sequence[DeadLetters], days: int) -> str:
    """Messages set aside by topic and reason."""
    if not found:
        return f'<p class="muted">None in the last {days} days.</p>'
    columns = (Column("Topic"), Column("Reason"), Column("Messages", True), Column("Last"), Column("Example"))
    rows = [
        (
            Cell(f"<code>{markup.text(each.topic).html}</code>"),
            text(formats.words(each.reason_code, {})),
            text(f"{each.messages:,}"),
            text(formats.moment(each.last_at)),
            text(each.example[:200]),
        )
        for each in found
    ]
    return markup.table("Messages set aside", columns, rows)


def mirrors_html(lags: MirrorLags) -> str:
    """How far the warehouse's copies of PostgreSQL are behind."""
    columns = (Column("Copy"), Column("Waiting rows", True), Column("Oldest one waits", True), Column("Moved on"))
    rows = [
        (text(formats.words(stream, STREAM_WORDS)), text("some" if lag > 0 else "0"), _lag(lag), text("each second"))
        for stream, lag in lags.alerting_s.items()
    ]
    rows += [
        (
            text(formats.words(chain.chain, STREAM_WORDS)),
            text(f"{chain.waiting:,}"),
            _lag(chain.lag_s),
            text(formats.moment(chain.mirrored_at) if chain.mirrored_at else "never"),
        )
        for chain in lags.compliance
    ]
    return markup.table("Copies to the warehouse", columns, rows)


def _lag(seconds: float) -> Cell:
    return text(formats.age(seconds) if seconds > 0 else "nothing waits")


def _tag(state: str) -> Cell:
    return Cell(markup.tag(*_STATES.get(state, _UNKNOWN)))

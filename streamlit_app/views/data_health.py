"""The page *Data health*: whether the data can be relied upon now, and where to look when not."""

from __future__ import annotations

from html import escape
from typing import Any

from streamlit_app import data, health
from streamlit_app.components import (
    formats,
    health_attention,
    health_parts,
    health_tables,
    markup,
    model_risk,
    states,
)
from streamlit_app.components.freshness import Freshness
from streamlit_app.components.scope import APP_ROOT
from streamlit_app.health import HealthReadings
from streamlit_app.reads import ProblemKind, Reading
from streamlit_app.server.channels import LivePage
from streamlit_app.views import parts

TITLE = "Data health"
TOPIC = "health"


def render() -> None:
    """The live page."""
    parts.head(TITLE)
    parts.show_live(live_page(), TOPIC)


def live_page(_argument: str | None = None) -> LivePage:
    """The page now, for the hub."""
    return health_page(health.read_health())


def health_page(found: HealthReadings) -> LivePage:
    """The page of these readings; a source that is away leaves the cards of the others as they are."""
    dagster, url = found.dagster.value, _dagster_url()
    rows = health_tables.table_rows([*(found.raw.value or []), *(found.marts.value or [])], dagster)
    seen = health_parts.processes(found.api.value, found.beats.value)
    beat_ages = health_parts.process_ages(seen, _since(found.beats, found), _since(found.api, found))
    attention = health_attention.items(found, rows, seen)
    sections = {
        "attention": markup.card(markup.head("What asks for attention"), health_attention.items_html(attention)),
        "parts": markup.pair(_api_card(found), _processes_card(found, seen, beat_ages)),
        "tables": _tables_card(found, rows, url),
        "checks": _dagster_card("Checks and tests of the data", found, url, _checks),
        "runs": _dagster_card("Last runs", found, url, _runs),
        "model": _model_card(found),
        "mirrors": markup.pair(_mirrors_card(found), _dead_letters_card(found)),
    }
    return parts.figures_page(sections, _freshness(found), health_tables.table_ages(rows, found.now) | beat_ages)


def _freshness(found: HealthReadings) -> Freshness:
    """The line at the top; each card tells by itself what of it is old."""
    looked = [reading.read_at for reading in (found.raw, found.dagster, found.api, found.beats) if reading.read_at]
    oldest = min(looked, default=None)
    age_s = None if oldest is None else max(0.0, (found.now - oldest).total_seconds())
    is_simulated = any(each.is_simulated for each in found.prices.value or [])
    return Freshness(oldest, age_s, None, None, is_simulated, 0)


def _api_card(found: HealthReadings) -> str:
    title, api = "The API and what it needs", found.api.value
    if api is None:
        return markup.card(markup.head(title), _away(found.api, "The API"))
    is_ready = api.status == "ready"
    words = (
        "Every part that the API needs is up." if is_ready else "The API cannot serve: a part that it needs is down."
    )
    down = "" if is_ready else markup.banner("error", "Not ready.", escape(words), role="alert")
    mark = markup.tag("ok", "Ready") if is_ready else markup.tag("liquidation", "Not ready")
    return markup.card(
        markup.head(title, mark, _old(found.api)), f'<div class="stack">{down}{health_parts.parts_html(api)}</div>'
    )


def _processes_card(found: HealthReadings, seen: Any, ages: dict[str, float | None]) -> str:
    title = markup.head("Processes", _old(found.beats), more="By their last signs of life")
    missing = "" if found.beats.value is not None else _away(found.beats, "PostgreSQL, which keeps signs of life,")
    return markup.card(title, missing + (health_parts.processes_html(seen, ages) if seen or not missing else ""))


def _tables_card(found: HealthReadings, rows: Any, url: str | None) -> str:
    title = markup.head("Freshness of tables", _old(found.raw), _old(found.dagster), more="Limits as Dagster has them")
    problems = [
        states.part_problem_html(reading.problem, name)
        for reading, name in ((found.raw, "dataset raw"), (found.marts, "dataset risk"))
        if reading.value is None
    ]
    if found.dagster.value is None:
        problems.append(_away(found.dagster, "Dagster, which has the limits,"))
    missing = f'<div class="wraps">{"".join(problems)}</div>' if problems else ""
    shown = health_tables.tables_html(rows, url) if rows else ""
    return markup.card(title, f'<div class="stack">{missing}{shown}</div>')


def _dagster_card(title: str, found: HealthReadings, url: str | None, body: Any) -> str:
    if found.dagster.value is None:
        return markup.card(markup.head(title), _away(found.dagster, "Dagster"))
    return markup.card(markup.head(title, _old(found.dagster)), body(found, url))


def _checks(found: HealthReadings, url: str | None) -> str:
    return health_tables.checks_html(found.dagster.value.checks if found.dagster.value else (), url)


def _runs(found: HealthReadings, url: str | None) -> str:
    return health_tables.runs_html(found.dagster.value.runs if found.dagster.value else (), found.now, url)


def _model_card(found: HealthReadings) -> str:
    title, backtests = "Does the model hold?", found.backtests
    if backtests.value is None:
        return markup.card(markup.head(title), states.part_problem_html(backtests.problem, "risk.var_backtests"))
    verdict = model_risk.worst_verdict(backtests.value)
    reasons = [each for each in backtests.value if each.backtest_kind == "history" and each.verdict == verdict]
    words = reasons[0].verdict_reason if reasons else "nothing was backtested yet"
    more = f'<a class="link" href="{APP_ROOT}var" target="_self">VaR and stress</a>'
    body = f"<p>{markup.tag(*_verdict(verdict))} {escape(words)}. {more}</p>"
    return markup.card(markup.head(title, _old(backtests)), body)


def _verdict(verdict: str) -> tuple[str, str]:
    classes = {"green": "ok", "amber": "warn", "red": "liquidation"}
    words = {"green": "Green: holds", "amber": "Amber", "red": "Red: fails"}
    return classes.get(verdict, "unpriced"), words.get(verdict, "Unknown")


def _mirrors_card(found: HealthReadings) -> str:
    title = markup.head("Copies to the warehouse", _old(found.mirrors), more="What PostgreSQL has and BigQuery has not")
    if found.mirrors.value is None:
        return markup.card(title, _away(found.mirrors, "PostgreSQL"))
    return markup.card(title, health_parts.mirrors_html(found.mirrors.value))


def _dead_letters_card(found: HealthReadings) -> str:
    title = markup.head(
        "Messages set aside", _old(found.dead_letters), more="By the consumer of prices and settlements"
    )
    letters = found.dead_letters
    if letters.value is None:
        return markup.card(title, states.part_problem_html(letters.problem, "raw.dead_letters"))
    return markup.card(title, health_parts.dead_letters_html(letters.value, health.DEAD_LETTER_DAYS))


def _away(reading: Reading[Any], name: str) -> str:
    """Why a source gave nothing."""
    problem = reading.problem
    if problem is not None and problem.kind is ProblemKind.REFUSED:
        return markup.banner("error", f"{name} gave no answer to use.", escape(problem.message[:300]), role="alert")
    words = escape(problem.message[:200]) if problem else ""
    return markup.banner("away", f"{name} does not answer yet.", f"{words} The page asks again by itself.")


def _old(reading: Reading[Any]) -> str:
    """A mark beside figures that could not be read anew."""
    if reading.problem is None or reading.value is None:
        return ""
    return markup.tag("warn", f"could not be read anew since {formats.time_of_day(reading.read_at)}")


def _since(reading: Reading[Any], found: HealthReadings) -> float:
    return reading.age_s(found.now) or 0.0


def _dagster_url() -> str | None:
    settings = data.settings()
    return settings.dagster_public_url or settings.dagster_url

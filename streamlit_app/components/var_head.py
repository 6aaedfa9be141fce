"""What the page of the risk models says first: whether the model holds, and what its figures rest on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from html import escape

from assets.risk.queries import ValueAtRisk
from assets.risk.var_queries import VarBacktest
from streamlit_app.components import formats, markup, model_risk
from streamlit_app.components.var_tables import HISTORY, KIND_WORDS, title_of

DAY_AGE, COMPUTED_AGE = "as_of_day", "computed"
# A day's closes are estimated on within a day and a half (the freshness that the daily assets are held to).
LATE_AFTER = timedelta(hours=36)
SHOWN_FINDINGS = 4


def verdict_of(backtests: Sequence[VarBacktest]) -> str:
    """The verdict that asks most for attention; stored forecasts too few to judge do not hide that of history."""
    found = {each.verdict for each in backtests}
    for verdict in ("red", "amber"):
        if verdict in found:
            return verdict
    return model_risk.worst_verdict(backtests)


def model_banner(backtests: Sequence[VarBacktest] | None, is_account: bool) -> str:
    """Whether the forecasts held, in words, before any figure; `backtests` are those of one method, None if unread."""
    if backtests is None:
        return markup.banner("away", "Whether the model holds is not known:", "its backtests could not be read.")
    if not backtests and is_account:
        return markup.banner(
            "info",
            "This account is not backtested by itself.",
            "Only the accounts with the largest exposure are; the page of the whole book says whether the model holds.",
        )
    verdict = verdict_of(backtests)
    words = _findings(backtests, verdict)
    match verdict:
        case "red":
            title = "The model fails its backtests: do not rely on the figures below."
            return markup.banner("error", title, words, role="alert")
        case "amber":
            return markup.banner("away", "The backtests question the model.", words)
        case "green":
            return markup.banner("info", "The model holds in its backtests.", words)
        case _:
            return markup.banner("info", "Whether the model holds is not known yet.", words or "There is no backtest.")


def age_banner(estimates: Sequence[ValueAtRisk], now: datetime) -> str:
    """That the estimates are of an old day; nothing while they are as young as they should be."""
    if not estimates or now - _end_of_day(estimates[0]) <= LATE_AFTER:
        return ""
    words = f"They rest on positions and closes of {estimates[0].as_of_date.isoformat()}; nothing newer was computed."
    return markup.banner("away", "These estimates are old.", words)


def basis_html(estimates: Sequence[ValueAtRisk], backtests: Sequence[VarBacktest]) -> str:
    """The day, the price set and the age of the estimates, and the mark of simulated prices."""
    if not estimates:
        return ""
    last = max(estimates, key=lambda each: each.computed_at)
    mark = model_risk.verdict_tag(verdict_of(backtests)) if backtests else markup.tag("unpriced", "Not backtested")
    simulated = markup.simulated_tag(any(each.is_simulated for each in estimates))
    parts = (
        f"<span>As of the end of <b>{last.as_of_date.isoformat()}</b> (UTC), {markup.age_span(DAY_AGE)} ago</span>",
        f'<span class="muted">Computed {markup.age_span(COMPUTED_AGE)} ago</span>',
        f'<span class="muted">Price set {escape(last.price_set_id)}</span>',
        f"<span>Model {mark}</span>",
        f'<span class="muted">{escape(last.code_version)}</span>',
        simulated and f'{simulated}<span class="muted">rests on prices made up by the simulator</span>',
    )
    return f'<div class="fresh">{"".join(part for part in parts if part)}</div>'


def ages(estimates: Sequence[ValueAtRisk], now: datetime) -> dict[str, float | None]:
    """The ages in seconds that the browser counts on."""
    if not estimates:
        return {}
    last = max(estimates, key=lambda each: each.computed_at)
    return {
        DAY_AGE: max(0.0, (now - _end_of_day(last)).total_seconds()),
        COMPUTED_AGE: max(0.0, (now - last.computed_at).total_seconds()),
    }


def _end_of_day(estimate: ValueAtRisk) -> datetime:
    return datetime.combine(estimate.as_of_date + timedelta(days=1), time(), UTC)


def _findings(backtests: Sequence[VarBacktest], verdict: str) -> str:
    """The reasons of the backtests with that verdict, those over history first."""
    found = sorted(
        (each for each in backtests if each.verdict == verdict), key=lambda each: each.backtest_kind != HISTORY
    )
    lines = [
        f"<li>{escape(formats.words(each.backtest_kind, KIND_WORDS))}, {escape(title_of(each))}: "
        f"{escape(each.verdict_reason)}</li>"
        for each in found[:SHOWN_FINDINGS]
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""

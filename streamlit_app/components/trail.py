"""The trail of one alert as a vertical timeline: settlements, readings, prices, the decision, and the delivery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from html import escape

from assets.risk.alert_trail_queries import MAX_EVIDENCE, Step, TrailRow
from streamlit_app.components import alert_words, formats, ledger, markup

SHOWN_SETTLEMENTS = 8
SOURCE_WORDS = {"chainlink": "Chainlink", "pyth": "Pyth", "simulated": "Simulator", "stooq": "Stooq"}


def head_html(row: TrailRow) -> str:
    """What the notification is."""
    facts = [
        ("Account", row.account_id or "none"),
        ("Kind", formats.words(row.kind or "unknown", alert_words.KIND_WORDS)),
        ("Channel", alert_words.channel(row.channel)),
        ("Recipient", row.recipient or formats.UNKNOWN),
        ("Notification", row.notification_id),
        ("Provider's id", row.provider_message_id or "none"),
    ]
    return markup.facts(facts)


def timeline_html(rows: Sequence[TrailRow], steps: Sequence[Step] | None) -> str:
    """The stages in their order; a stage of which nothing is known says so. Without `steps` they could not be read."""
    first = rows[0]
    events = list({row.margin_event_id: row for row in rows if row.margin_event_id is not None}.values())
    stages: list[str] = []
    if events:
        stages += [
            _settlements([row for row in rows if row.evidence_kind == "settlement"], len(rows) >= MAX_EVIDENCE),
            _readings([row for row in rows if row.evidence_kind == "reading"]),
            _prices([row for row in rows if row.evidence_kind == "price"]),
            *(_decision(event) for event in events),
        ]
    else:
        words = "This notification tells of no margin event, so no price or settlement led to it."
        stages.append(_stage("What it tells of", None, f'<p class="flat">{words}</p>', is_gap=True))
    stages.append(_plan(first))
    if steps is None:
        stages.append(_stage("Delivery", None, '<p class="flat">The steps could not be read.</p>', is_gap=True))
    elif not steps:
        stages.append(_stage("Delivery", None, '<p class="flat">No step is on record.</p>', is_gap=True))
    else:
        stages += [_step(step) for step in steps]
    return f'<ol class="timeline" aria-label="Trail of the alert">{"".join(stages)}</ol>'


def _stage(title: str, at: datetime | None, body: str, *, marks: str = "", is_gap: bool = False) -> str:
    when = f'<span class="muted small">{escape(formats.moment(at))}</span>' if at is not None else ""
    kind = ' class="gap"' if is_gap else ""
    return f"<li{kind}><h3><span>{escape(title)}</span>{marks}{when}</h3>{body}</li>"


def _lines(lines: Sequence[str]) -> str:
    return f'<ul class="lines">{"".join(f"<li>{line}</li>" for line in lines)}</ul>'


def _settlements(rows: Sequence[TrailRow], is_cut: bool) -> str:
    if not rows:
        words = "They are left out: the list is full." if is_cut else "No settlement is on record."
        return _stage("Settlements that made the position", None, f'<p class="flat">{words}</p>', is_gap=True)
    found = _once(rows)
    lines = [
        f"<b>{escape(_quantity(row))}</b> <span>{escape(row.movement or formats.UNKNOWN)}</span> "
        f'<span class="muted">{escape(formats.moment(row.evidence_at))}</span> '
        f'<span class="muted breakable">{escape(row.evidence_source or formats.UNKNOWN)}</span>'
        for row in found[:SHOWN_SETTLEMENTS]
    ]
    more = len(found) - SHOWN_SETTLEMENTS
    if more > 0:
        rest = " or more" if is_cut else ""
        lines.append(f'<span class="muted">and {formats.count(more, "earlier settlement")}{rest}</span>')
    return _stage("Settlements that made the position", None, _lines(lines))


def _readings(rows: Sequence[TrailRow]) -> str:
    if not rows:
        words = "No reading of a source is on record for these prices."
        return _stage("Readings of the price sources", None, f'<p class="flat">{words}</p>', is_gap=True)
    lines = [
        f"<b>{escape(row.asset or formats.UNKNOWN)}</b> <span>{escape(formats.price(row.price_usd))}</span> "
        f'<span class="breakable">{escape(_source(row.evidence_source))}</span> '
        f"{markup.tag('ok' if row.movement == 'used' else 'warn', row.movement or formats.UNKNOWN)} "
        f'<span class="muted">{escape(formats.moment(row.evidence_at))}</span>'
        for row in _once(rows)
    ]
    return _stage("Readings of the price sources", None, _lines(lines))


def _prices(rows: Sequence[TrailRow]) -> str:
    if not rows:
        words = "No price is on record."
        return _stage("Prices that valued the account", None, f'<p class="flat">{words}</p>', is_gap=True)
    lines = [
        f"<b>{escape(row.asset or formats.UNKNOWN)}</b> <span>{escape(formats.price(row.price_usd))}</span> "
        f'<span class="muted breakable">from {escape(_inputs(row.evidence_source))}</span> '
        f'<span class="muted">{escape(formats.moment(row.evidence_at))}</span> '
        f"{markup.simulated_tag(bool(row.is_simulated))}"
        for row in _once(rows)
    ]
    return _stage("Prices that valued the account", None, _lines(lines))


def _decision(row: TrailRow) -> str:
    threshold = "" if row.threshold_pct is None else f", threshold {formats.plain_percent(row.threshold_pct)}"
    health = formats.health(row.health_pct)
    published = (
        "not published yet"
        if row.published_at is None
        else f"published {formats.moment(row.published_at)}{_after(row.detected_at, row.published_at)}"
    )
    lines = [
        f"<span>Health {escape(health)}{escape(threshold)}</span>",
        f'<span class="muted">Margin event {escape(row.margin_event_id or "")}, {escape(published)}</span>',
    ]
    marks = alert_words.severity_tag(row.severity)
    return _stage("Decision", row.detected_at, _lines(lines), marks=marks)


def _plan(row: TrailRow) -> str:
    lines = [
        f"<span>Rule {escape(row.rule or formats.UNKNOWN)}: tell {escape(row.recipient or formats.UNKNOWN)} by "
        f"{escape(alert_words.channel(row.channel))}</span>"
    ]
    if row.digest_id is not None:
        lines.append(f'<span class="muted breakable">Told by the digest {escape(row.digest_id)}</span>')
    return _stage("Alert policy", row.planned_at, _lines(lines), is_gap=row.rule is None)


def _step(step: Step) -> str:
    lines = []
    if step.seconds_since_detected is not None:
        lines.append(f"<span>{escape(ledger.seconds(step.seconds_since_detected))} after detection</span>")
    if step.detail:
        lines.append(f'<span class="muted breakable">{escape(step.detail)}</span>')
    if step.provider_message_id:
        lines.append(f'<span class="muted breakable">Provider\'s id {escape(step.provider_message_id)}</span>')
    title = formats.words(step.state, alert_words.STEP_WORDS)
    return _stage(title, step.state_at, _lines(lines) if lines else "", is_gap=step.state not in alert_words.STEP_WORDS)


def _once(rows: Sequence[TrailRow]) -> list[TrailRow]:
    """Each piece of evidence once: several events may rest on it."""
    return list({row.evidence_id: row for row in rows}.values())


def _quantity(row: TrailRow) -> str:
    if row.signed_quantity is None:
        return formats.UNKNOWN
    sign = "+" if row.signed_quantity > 0 else ""
    return sign + formats.quantity(row.signed_quantity, row.asset or "")


def _source(source: str | None) -> str:
    """`Chainlink, round 42` for `chainlink:42`."""
    name, _, reference = (source or "").partition(":")
    if not name:
        return formats.UNKNOWN
    return f"{formats.words(name, SOURCE_WORDS)}, round or slot {reference}" if reference else name


def _inputs(sources: str | None) -> str:
    """Names and references of a price's inputs."""
    try:
        found = json.loads(sources or "[]")
    except ValueError:
        return formats.UNKNOWN
    if not isinstance(found, list) or not found:
        return formats.UNKNOWN
    named = [each for each in found if isinstance(each, dict)]
    return "; ".join(_source(f"{each.get('name', '')}:{each.get('reference') or ''}") for each in named)


def _after(start: datetime | None, end: datetime) -> str:
    return "" if start is None else f", {(end - start).total_seconds():,.2f} s after detection"

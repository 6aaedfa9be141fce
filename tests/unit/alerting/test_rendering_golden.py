"""Every text that people and machines receive, against the committed one.

After a change on purpose: `UPDATE_GOLDEN=1 pytest tests/unit/alerting/test_rendering_golden.py`, then read the diff.
"""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from alerting.channels.base import Content, EmailContent, SmsContent
from alerting.gsm7 import is_gsm7, segments, septets
from alerting.notices import ChannelName, Kind, Notice
from alerting.rendering.language import LANGUAGES, SEVERITIES
from alerting.rendering.renderer import Renderer

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "UPDATE_GOLDEN"
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
CASES: dict[str, dict[str, Any]] = json.loads((GOLDEN / "notices.json").read_text(encoding="utf-8"))
TIME_ZONES = {"en": "UTC", "de": "Europe/Berlin", "es": "America/Bogota"}
PEOPLE = [(locale, channel) for locale in LANGUAGES for channel in (ChannelName.EMAIL, ChannelName.SMS)]
MACHINES = [("en", ChannelName.WEBHOOK), ("en", ChannelName.PAGERDUTY)]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer("https://app.ballast.example/", "https://api.ballast.example", Decimal(35))


def notice(name: str, channel: ChannelName, locale: str) -> Notice:
    case = CASES[name]
    return Notice(
        notification_id="ntf_1",
        kind=Kind(case["kind"]),
        severity=case["severity"],
        channel=channel,
        locale=locale,
        time_zone=TIME_ZONES[locale],
        payload=case["payload"],
        detected_at=AT,
        members=case.get("members", ()),
        code=case.get("code"),
    )


def names(channel: ChannelName) -> list[str]:
    return [name for name, case in CASES.items() if channel in case["channels"]]


def written(content: Content) -> str:
    if isinstance(content, EmailContent):
        return f"Subject: {content.subject}\n\n{content.text}"
    if isinstance(content, SmsContent):
        return f"{content.text}\n({septets(content.text)} septets, {segments(content.text)} segments)\n"
    return json.dumps(dataclasses.asdict(content), indent=1, default=str, ensure_ascii=False) + "\n"


def compare(path: Path, text: str) -> None:
    if os.environ.get(UPDATE):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; see the head of this file"


@pytest.mark.parametrize(("locale", "channel"), PEOPLE + MACHINES)
def test_render__says_what_is_committed(renderer: Renderer, locale: str, channel: ChannelName) -> None:
    texts = [f"=== {name}\n{written(renderer.render(notice(name, channel, locale)))}" for name in names(channel)]
    compare(GOLDEN / f"{channel}.{locale}.txt", "\n".join(texts))


@pytest.mark.parametrize("locale", LANGUAGES)
def test_render__wraps_mail_in_the_committed_html(renderer: Renderer, locale: str) -> None:
    content = renderer.render(notice("margin margin_call, simulated", ChannelName.EMAIL, locale))
    assert isinstance(content, EmailContent)
    compare(GOLDEN / f"margin_call.{locale}.html", content.html)


def test_notices__cover_every_kind_and_severity() -> None:
    found = {(case["kind"], case["severity"]) for case in CASES.values()}
    kinds = {kind for kind, _ in found}
    assert kinds == set(Kind)
    assert {(kind, severity) for kind, known in SEVERITIES.items() for severity in known} <= found


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("name", names(ChannelName.SMS))
def test_render__fits_a_typical_text_message_into_one_segment(renderer: Renderer, name: str, locale: str) -> None:
    content = renderer.render(notice(name, ChannelName.SMS, locale))
    assert isinstance(content, SmsContent)
    assert is_gsm7(content.text)
    assert segments(content.text) == 1


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("name", names(ChannelName.EMAIL))
def test_render__keeps_html_under_6_kb_with_all_that_the_text_says(renderer: Renderer, name: str, locale: str) -> None:
    content = renderer.render(notice(name, ChannelName.EMAIL, locale))
    assert isinstance(content, EmailContent)
    assert len(content.html.encode()) < 6_000
    for line in content.text.splitlines():
        for part in line.strip().split(": "):
            assert part in unescape(content.html), part

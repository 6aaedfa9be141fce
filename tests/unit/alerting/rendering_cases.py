"""Notices of the committed cases, and what they render to: for the tests of rendering."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from alerting.channels.base import EmailContent, PageContent, SmsContent, WebhookContent
from alerting.notices import ChannelName, Kind, Notice
from alerting.rendering.renderer import Renderer

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
CASES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "notices.json").read_text(encoding="utf-8")
)
RENDERER = Renderer("https://app.ballast.example", "https://api.ballast.example", Decimal(35))
EMAIL, SMS, WEBHOOK, PAGERDUTY = ChannelName


def notice(
    channel: ChannelName,
    name: str = "margin margin_call",
    *,
    severity: str | None = None,
    locale: str = "en",
    time_zone: str = "UTC",
    code: str | None = None,
    without: str | None = None,
    members: Sequence[dict[str, Any]] | None = None,
    **changes: Any,
) -> Notice:
    case = CASES[name]
    payload = copy.deepcopy(case["payload"]) | changes
    if without is not None:
        del payload[without]
    return Notice(
        notification_id="ntf_1",
        kind=Kind(case["kind"]),
        severity=severity or case["severity"],
        channel=channel,
        locale=locale,
        time_zone=time_zone,
        payload=payload,
        detected_at=AT,
        members=case.get("members", ()) if members is None else members,
        code=code,
    )


def mail(asked: Notice) -> EmailContent:
    content = RENDERER.render(asked)
    assert isinstance(content, EmailContent)
    return content


def sms(asked: Notice) -> str:
    content = RENDERER.render(asked)
    assert isinstance(content, SmsContent)
    return content.text


def webhook(asked: Notice) -> WebhookContent:
    content = RENDERER.render(asked)
    assert isinstance(content, WebhookContent)
    return content


def page(asked: Notice) -> PageContent:
    content = RENDERER.render(asked)
    assert isinstance(content, PageContent)
    return content

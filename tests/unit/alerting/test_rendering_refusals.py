"""No wrong text, nothing that leaks or passes for ours, and what machines are told."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from alerting.errors import TemplateError
from alerting.gsm7 import segments
from alerting.notices import ChannelName, Kind
from alerting.rendering.language import environment
from alerting.rendering.renderer import Renderer
from tests.unit.alerting.rendering_cases import (
    AT,
    CASES,
    EMAIL,
    PAGERDUTY,
    RENDERER,
    SMS,
    WEBHOOK,
    mail,
    notice,
    page,
    sms,
    webhook,
)


@pytest.mark.parametrize("channel", [EMAIL, SMS, WEBHOOK, PAGERDUTY])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("margin margin_call", "account_id"),
        ("margin margin_call", "severity"),
        ("margin margin_call", "health"),
        ("margin margin_call", "threshold"),
        ("margin margin_call", "collateral_usd"),
        ("margin margin_call", "borrow_usd"),
        ("margin margin_call", "detected_at"),
        ("margin margin_call", "is_simulated"),
        ("margin margin_call", "episode_id"),
        ("compliance warning", "severity"),
        ("compliance warning", "kind"),
    ],
)
def test_render__refuses_an_event_that_lacks_a_field(name: str, field: str, channel: ChannelName) -> None:
    with pytest.raises(TemplateError, match=field) as refused:
        RENDERER.render(notice(channel, name, without=field))
    assert refused.value.code == "template_failed"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("compliance warning", "case_id"),
        ("compliance warning", "occurred_at"),
        ("delivery_rate warning", "channel"),
        ("delivery_rate warning", "window_minutes"),
        ("delivery_rate warning", "target_pct"),
        ("delivery_rate warning", "failed"),
        ("digest", "window_start"),
        ("test", "requested_by"),
        ("verification", "expires_at"),
    ],
)
def test_render__refuses_a_mail_without_a_figure_that_it_names(name: str, field: str) -> None:
    with pytest.raises(TemplateError, match=f"email: .*{field}"):
        RENDERER.render(notice(EMAIL, name, without=field, code="482913"))


@pytest.mark.parametrize("value", [1.5, True, "much", "NaN", "Infinity", [], {}])
def test_render__refuses_an_amount_that_is_no_exact_number(value: object) -> None:
    with pytest.raises(TemplateError, match="collateral_usd") as refused:
        RENDERER.render(notice(SMS, collateral_usd=value))
    assert "much" not in refused.value.message


@pytest.mark.parametrize("channel", [EMAIL, SMS, WEBHOOK, PAGERDUTY])
@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("margin margin_call", "liquidation"),
        ("margin margin_call", "apocalypse"),
        ("compliance warning", "fatal"),
    ],
)
def test_render__refuses_a_severity_that_is_not_the_events(name: str, severity: str, channel: ChannelName) -> None:
    with pytest.raises(TemplateError):
        RENDERER.render(notice(channel, name, severity=severity))


@pytest.mark.parametrize("channel", [EMAIL, SMS, WEBHOOK, PAGERDUTY])
@pytest.mark.parametrize("name", ["margin margin_call", "compliance warning"])
def test_render__refuses_a_severity_that_it_has_no_text_for(name: str, channel: ChannelName) -> None:
    known = notice(channel, name)
    unknown = replace(known, severity="apocalypse", payload={**known.payload, "severity": "apocalypse"})
    with pytest.raises(TemplateError):
        RENDERER.render(unknown)


def test_render__refuses_a_previous_severity_that_it_has_no_word_for() -> None:
    with pytest.raises(TemplateError, match="apocalypse"):
        RENDERER.render(notice(EMAIL, previous_severity="apocalypse"))


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("escalation", EMAIL),
        ("escalation", SMS),
        ("escalation", WEBHOOK),
        ("digest", PAGERDUTY),
        ("test", PAGERDUTY),
        ("verification", PAGERDUTY),
    ],
)
def test_render__refuses_a_channel_that_the_kind_does_not_go_to(name: str, channel: ChannelName) -> None:
    with pytest.raises(TemplateError, match=CASES[name]["kind"]):
        RENDERER.render(notice(channel, name, code="482913"))


def test_render__turns_a_variable_that_a_template_lacks_into_an_error() -> None:
    language = RENDERER._languages["en"]
    broken = environment().from_string("Margin call {{ account }} {{ no_such_figure }}")
    templates = dict(language.templates) | {(Kind.MARGIN, "margin_call", "sms"): broken}
    renderer = Renderer("https://app.ballast.example", "https://api.ballast.example", Decimal(35))
    renderer._languages["en"] = type(language)(language.code, language.words, language.formats, templates)
    with pytest.raises(TemplateError, match="no_such_figure"):
        renderer.render(notice(SMS))


@pytest.mark.parametrize("members", [[], [{"kind": "rumour", "severity": "info"}], [{"severity": "info"}]])
def test_digest__refuses_what_it_cannot_sum_up(members: list[dict[str, Any]]) -> None:
    for channel in (EMAIL, SMS):
        with pytest.raises(TemplateError):
            RENDERER.render(notice(channel, "digest", members=members))


def test_digest__lists_the_worst_first_and_says_how_many_are_left_out() -> None:
    member = CASES["digest"]["members"][0]
    many = [member | {"account_id": f"acct-{number:05}"} for number in range(130)] + CASES["digest"]["members"][1:2]
    text = mail(notice(EMAIL, "digest", members=many)).text
    assert text.index("Liquidation:\n  acct-00003") < text.index("Margin call:\n  acct-00000")
    assert "There are 31 more" in text
    brief = sms(notice(SMS, "digest", members=[each | {"account_id": "a" * 64} for each in many]))
    assert "131 alerts" in brief
    assert segments(brief) == 1


# What others wrote stays text


def test_mail__escapes_and_never_links_what_an_event_carries() -> None:
    hostile = '<script>alert(1)</script>\r\n\r\n  Debt: $0.00\nOpen the account: https://evil.example "&'
    content = mail(notice(EMAIL, "compliance warning", summary=hostile, case_id="c\nBcc: x"))
    assert "<script" not in content.html
    assert "&lt;script&gt;" in content.html
    assert "href" not in content.html
    assert "\n" not in content.subject
    assert "\n  Debt" not in content.text


def test_sms__has_no_line_that_an_event_made_optional_or_hid() -> None:
    text = sms(notice(SMS, "compliance warning", summary="? all fine\n? really\u202e"))
    assert text.endswith("Screening match. ? all fine ? really")


def test_link__escapes_the_account() -> None:
    content = mail(notice(EMAIL, account_id='a b&c"/<'))
    assert "https://app.ballast.example/?account=a%20b%26c%22%2F%3C" in content.text


def test_code__is_only_where_it_proves_ownership() -> None:
    code = "482913"
    for name, case in CASES.items():
        for channel in (EMAIL, SMS, WEBHOOK, PAGERDUTY):
            if channel in case["channels"] and case["kind"] != "verification":
                assert code not in repr(RENDERER.render(notice(channel, name, code=code)))
    asked = mail(notice(EMAIL, "verification", code=code))
    assert asked.text.count(code) == 1
    assert f"https://api.ballast.example/v1/alert-verifications/{code}\n" in asked.text
    assert webhook(notice(WEBHOOK, "verification", code=code)).data["code"] == code
    assert "Do not share it" in sms(notice(SMS, "verification", code=code))
    with pytest.raises(TemplateError) as refused:
        RENDERER.render(notice(EMAIL, "verification", code=code, expires_at="soon"))
    assert code not in refused.value.message
    with pytest.raises(TemplateError, match="no code"):
        RENDERER.render(notice(WEBHOOK, "verification"))


# Machines


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("margin liquidation", "margin.liquidation"),
        ("compliance warning", "compliance.screening_match"),
        ("delivery_rate warning", "alert.delivery_rate"),
        ("digest", "alert.digest"),
        ("test", "alert.test"),
        ("verification", "alert.verification"),
    ],
)
def test_webhook__carries_the_payload_under_its_type(name: str, event_type: str) -> None:
    asked = notice(WEBHOOK, name, code="482913")
    before = copy.deepcopy(asked.payload)
    content = webhook(asked)
    assert (content.type, content.timestamp) == (event_type, AT)
    assert {key: content.data[key] for key in before} == before
    assert asked.payload == before
    assert set(content.expendable) <= set(content.data)
    json.dumps(content.data)


def test_page__has_one_key_for_an_episode_and_resolves_it_on_recovery() -> None:
    opened = page(notice(PAGERDUTY, "margin liquidation"))
    escalated = page(notice(PAGERDUTY, "escalation"))
    closed = page(notice(PAGERDUTY, "margin recovered"))
    assert {each.dedup_key for each in (opened, escalated, closed)} == {"margin:acct-00001:mep_1"}
    assert [each.action for each in (opened, escalated, closed)] == ["trigger", "trigger", "resolve"]
    assert escalated.summary.startswith("Nobody has accepted the alert (the email failed (HTTP 400)")


def test_page__of_a_compliance_step_that_nobody_accepted_joins_its_case() -> None:
    step = notice(PAGERDUTY, "compliance critical")
    payload = {"event": dict(step.payload), "event_kind": "compliance", "reason": "there is no contact to tell"}
    escalated = page(replace(step, kind=Kind.ESCALATION, payload=payload))
    assert escalated.dedup_key == page(step).dedup_key
    assert escalated.summary == f"Nobody has accepted the alert (there is no contact to tell). {page(step).summary}"
    assert escalated.details["escalation_reason"] == "there is no contact to tell"


def test_page__keeps_long_ids_apart_within_the_limits_of_the_provider() -> None:
    long = [page(notice(PAGERDUTY, account_id="a" * 200, episode_id="e" * 199 + end)) for end in "xy"]
    assert len({each.dedup_key for each in long}) == 2
    assert all(len(each.dedup_key) == 255 for each in long)
    wordy = page(notice(PAGERDUTY, "margin unpriced, unknown reason", unpriced_reason="why " * 500))
    assert len(wordy.summary) == 1024

"""Which mails share a request, what it holds, and what a refusal names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alerting.channels.base import Address, EmailContent, OutboundMessage
from alerting.channels.email_requests import (
    HTML_TAG,
    MAX_REQUEST_BYTES,
    TEXT_TAG,
    MailItem,
    mail_errors,
    planned_requests,
    rendered_request,
)


def item(
    index: int, address: str | None = None, text: str = "text", html: str = "<p>html</p>", subject: str = "s"
) -> MailItem:
    to, content = address or f"p{index}@example.com", EmailContent(subject, text, html)
    message = OutboundMessage(
        f"ntf_{index}", "email", f"con_{index}", Address(to), content, arguments={"severity": "x"}
    )
    return MailItem(index, to, message, content)


def places(requests: list[list[MailItem]]) -> list[list[int]]:
    return [[item.index for item in request] for request in requests]


def test_plan__a_thousand_share_a_request_and_no_more() -> None:
    assert [len(request) for request in planned_requests([item(i) for i in range(1001)])] == [1000, 1]


def test_plan__no_address_stands_twice_in_a_request() -> None:
    items = [item(0, "a@example.com"), item(1, "b@example.com"), item(2, "A@example.com"), item(3, "a@example.com")]
    assert places(planned_requests(items)) == [[0, 1], [2], [3]]


@pytest.mark.parametrize(
    "odd",
    [
        {"text": "x" * 10_000},
        {"text": "ü" * 4_990},
        {"html": f"a {HTML_TAG}"},
        {"subject": f"a {TEXT_TAG}"},
    ],
)
def test_plan__what_substitutions_cannot_hold_goes_alone(odd: dict[str, str]) -> None:
    assert places(planned_requests([item(0), item(1, **odd), item(2)])) == [[0, 2], [1]]


def test_plan__requests_stay_within_their_size() -> None:
    requests = planned_requests([item(i, text="x" * 9_000) for i in range(300)])
    assert sum(len(request) for request in requests) == 300
    assert all(len(rendered_request(request, "a@example.com")) <= MAX_REQUEST_BYTES for request in requests)
    assert len(requests) == 4


def substituted(person: dict[str, Any], value: str) -> str:
    for tag, words in person.get("substitutions", {}).items():
        value = value.replace(tag, words)
    return value


@pytest.mark.parametrize("count", [1, 3])
def test_request__gives_each_person_the_own_words(count: int) -> None:
    items = [item(i, text=f"text {i}", html=f"<p>{i}</p>", subject=f"sub\r\nject {i}") for i in range(count)]
    request = json.loads(rendered_request(items, "alerts@example.com"))
    parts = {part["type"]: part["value"] for part in request["content"]}
    assert request["from"] == {"email": "alerts@example.com"}
    for i, person in enumerate(request["personalizations"]):
        assert person["to"] == [{"email": f"p{i}@example.com"}]
        assert person["subject"] == f"sub ject {i}"
        assert person["custom_args"] == {"notification_id": f"ntf_{i}", "severity": "x"}
        assert substituted(person, parts["text/plain"]) == f"text {i}"
        assert substituted(person, parts["text/html"]) == f"<p>{i}</p>"


def test_request__leaves_links_alone() -> None:
    settings = json.loads(rendered_request([item(0)], "a@example.com"))["tracking_settings"]
    assert settings["click_tracking"] == {"enable": False, "enable_text": False}
    assert settings["open_tracking"] == {"enable": False}


@pytest.mark.parametrize(
    ("content", "reasons", "is_sender"),
    [
        ({"errors": [{"message": "bad", "field": "personalizations.1.to.0.email"}]}, {1: "bad"}, False),
        ({"errors": [{"message": "bad", "field": "personalizations[2].to"}]}, {2: "bad"}, False),
        ({"errors": [{"message": "bad", "field": "personalizations.3.to"}]}, {}, False),
        ({"errors": [{"message": "bad", "field": "personalizations"}]}, {}, False),
        ({"errors": [{"message": "bad", "field": "from.email"}]}, {}, True),
        ({"errors": [{"message": "bad", "field": None}]}, {}, False),
        ({"errors": ["bad", None]}, {}, False),
        ({"errors": "bad"}, {}, False),
        (["bad"], {}, False),
        (None, {}, False),
    ],
)
def test_errors__name_mails_only_by_their_place(content: Any, reasons: dict[int, str], is_sender: bool) -> None:
    found = mail_errors(content, 3)
    assert (found.reasons, found.is_sender) == (reasons, is_sender)


def test_item__shows_no_address_and_no_words() -> None:
    shown = repr(item(0, "ann@example.com", text="secret words"))
    assert "ann@" not in shown
    assert "secret words" not in shown

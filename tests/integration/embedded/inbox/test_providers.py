"""The contracts of SendGrid and Twilio at the inbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

KEY = "SG.key-of-the-tests"
SID = "AC" + "0" * 32
TOKEN = "twilio-token-of-the-tests"


def mail(**changes: Any) -> dict[str, Any]:
    content = {
        "personalizations": [{"to": [{"email": "risk@example.com"}]}],
        "from": {"email": "alerts@example.com"},
        "subject": "Margin call",
        "content": [{"type": "text/plain", "value": "Health is 29.5 %"}],
        "custom_args": {
            "severity": "margin_call",
            "account_id": "acc-1",
            "health": "29.5",
            "detected_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
        },
    }
    return {name: value for name, value in (content | changes).items() if value is not None}


def send_mail(inbox: Any, content: Any, key: str = KEY) -> httpx.Response:
    response: httpx.Response = inbox.request(
        "POST", "/v3/mail/send", json=content, headers={"authorization": f"Bearer {key}".strip()}
    )
    return response


def test_sendgrid__accepts_with_an_empty_body_and_an_id(inbox: Any) -> None:
    response = send_mail(inbox, mail())
    assert (response.status_code, response.content) == (202, b"")
    [message] = inbox.messages()
    assert message["message_key"].startswith(response.headers["x-message-id"])
    assert (message["channel"], message["severity"], message["account_id"]) == ("email", "margin_call", "acc-1")
    assert (message["recipient"], message["content"]) == ("risk@example.com", "Health is 29.5 %")
    assert message["seconds_since_event"] >= 1


def test_sendgrid__each_personalization_is_a_message(inbox: Any) -> None:
    people = [{"to": [{"email": f"{name}@example.com"}], "custom_args": {"account_id": name}} for name in ("a", "b")]
    assert send_mail(inbox, mail(personalizations=people)).status_code == 202
    assert [m["account_id"] for m in inbox.messages()] == ["a", "b"]


def test_sendgrid__sandbox_delivers_nothing(inbox: Any) -> None:
    response = send_mail(inbox, mail(mail_settings={"sandbox_mode": {"enable": True}}))
    assert response.status_code == 200
    assert inbox.messages() == []


@pytest.mark.parametrize("key", ["wrong", ""])
def test_sendgrid__needs_the_key(inbox: Any, key: str) -> None:
    response = send_mail(inbox, mail(), key)
    assert response.status_code == 401
    assert response.json()["errors"][0]["field"] is None
    assert len(inbox.rejected()) == 1


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (mail(personalizations=None), "personalizations"),
        (mail(personalizations=[]), "personalizations"),
        (mail(personalizations=[{"to": []}]), "personalizations.0.to"),
        (mail(personalizations=[{"to": [{"email": "nobody"}]}]), "personalizations.0.to"),
        (mail(personalizations=[{"to": [{"email": "a@b.co"}, {"email": "A@b.co"}]}]), "personalizations.0"),
        (mail(personalizations=[{"to": [{"email": f"a{n}@b.co"} for n in range(1001)]}]), "personalizations"),
        (mail(personalizations=["x"]), "personalizations.0.to"),
        (mail(**{"from": None}), "from.email"),
        (mail(subject=None), "subject"),
        (mail(content=None), "content"),
        (mail(content=[{"type": "text/plain", "value": ""}]), "content.0"),
        (mail(content=[{"type": ["x"], "value": "y"}]), "content.0"),
        (mail(template_id="d-1", content=["x"]), "content.0"),
        (mail(categories=["c"] * 11), "categories"),
        (mail(custom_args=[]), "custom_args"),
        (mail(mail_settings=[]), "mail_settings"),
        (["no object"], None),
    ],
)
def test_sendgrid__refuses_in_its_shape(inbox: Any, content: Any, field: str | None) -> None:
    response = send_mail(inbox, content)
    assert response.status_code == 400, response.text
    errors = response.json()["errors"]
    assert field in [error["field"] for error in errors]
    assert all(error["message"] for error in errors)
    assert inbox.messages() == []


def test_sendgrid__a_template_needs_neither_subject_nor_content(inbox: Any) -> None:
    assert send_mail(inbox, mail(template_id="d-1", subject=None, content=None)).status_code == 202


def test_sendgrid__fails_on_command_in_its_shape(inbox: Any) -> None:
    inbox.fail(channel="email", status=500)
    response = send_mail(inbox, mail())
    assert (response.status_code, response.json()["errors"][0]["message"]) == (500, "failure on command")


def send_text(inbox: Any, auth: tuple[str, str] = (SID, TOKEN), sid: str = SID, **changes: Any) -> httpx.Response:
    form = {"To": "+14155550100", "From": "+14155550199", "Body": "Margin call acc-1"} | changes
    response: httpx.Response = inbox.request(
        "POST",
        f"/2010-04-01/Accounts/{sid}/Messages.json",
        data={name: value for name, value in form.items() if value is not None},
        auth=auth,
    )
    return response


def test_twilio__creates_a_queued_message(inbox: Any) -> None:
    response = send_text(inbox)
    content = response.json()
    assert response.status_code == 201
    assert (content["status"], content["to"], content["num_segments"]) == ("queued", "+14155550100", "1")
    assert content["sid"].startswith("SM")
    [message] = inbox.messages()
    assert (message["channel"], message["message_key"]) == ("sms", content["sid"])
    assert (message["recipient"], message["content"]) == ("+14155550100", "Margin call acc-1")


@pytest.mark.parametrize(
    ("body", "segments"),
    [("x" * 160, "1"), ("x" * 161, "2"), ("€" * 80, "1"), ("€" * 81, "2"), ("ж" * 70, "1"), ("ж" * 71, "2")],
    ids=["gsm", "gsm-2", "double", "double-2", "ucs", "ucs-2"],
)
def test_twilio__counts_segments(inbox: Any, body: str, segments: str) -> None:
    assert send_text(inbox, Body=body).json()["num_segments"] == segments


def test_twilio__a_messaging_service_accepts(inbox: Any) -> None:
    assert send_text(inbox, From=None, MessagingServiceSid="MG1").json()["status"] == "accepted"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"auth": (SID, "wrong")}, 401, 20003),
        ({"auth": ("ACother", TOKEN)}, 401, 20003),
        ({"sid": "AC" + "1" * 32}, 404, 20404),
        ({"To": None}, 400, 21604),
        ({"To": "12"}, 400, 21211),
        ({"From": None}, 400, 21603),
        ({"Body": None}, 400, 21602),
        ({"Body": "x" * 1601}, 400, 21617),
        ({"StatusCallback": "https://my_host.example/status"}, 400, 21609),
        ({"ValidityPeriod": "36001"}, 400, 21624),
        ({"ValidityPeriod": "²"}, 400, 21624),
    ],
)
def test_twilio__refuses_in_its_shape(inbox: Any, changes: dict[str, Any], status: int, code: int) -> None:
    response = send_text(inbox, **changes)
    content = response.json()
    assert (response.status_code, content["code"], content["status"]) == (status, code, status)
    assert content["more_info"].endswith(str(code))
    assert inbox.messages() == []


def test_twilio__fails_on_command_with_its_rate_code(inbox: Any) -> None:
    inbox.fail(channel="sms", status=429, retry_after=3)
    response = send_text(inbox)
    assert (response.status_code, response.json()["code"]) == (429, 20429)
    assert response.headers["retry-after"] == "3"


def test_providers__without_credentials_refuse(open_inbox: Any) -> None:
    assert send_mail(open_inbox, mail(), "").status_code == 401
    assert send_text(open_inbox, ("", "")).status_code == 401

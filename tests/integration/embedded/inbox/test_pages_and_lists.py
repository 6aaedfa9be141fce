"""PagerDuty's contract, Twilio's list, SendGrid's substitutions and batches, and an older file."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
SID = "AC" + "0" * 32
TOKEN = "twilio-token-of-the-tests"
INBOX_TOKEN = "inbox-token-of-the-tests"
MAIL_HEADERS = {"authorization": "Bearer SG.key-of-the-tests"}


def event(action: str = "trigger", key: str | None = "margin:acc-1:mep_1", **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"routing_key": ROUTING_KEY, "event_action": action, "dedup_key": key}
    if action == "trigger":
        details = {"margin_event_id": "mev_1", "notification_id": "ntf_1", "account_id": "acc-1", "health": "29.5"}
        content["payload"] = {
            "summary": "acc-1: margin call",
            "source": "ballast",
            "severity": "critical",
            "custom_details": {**details, "severity": "margin_call"},
        }
    return {name: value for name, value in (content | changes).items() if value is not None}


def enqueue(inbox: Any, content: Any) -> httpx.Response:
    response: httpx.Response = inbox.request("POST", "/v2/enqueue", json=content)
    return response


def incidents(inbox: Any) -> list[tuple[str, str, int]]:
    found = inbox.read("/api/incidents")["incidents"]
    return [(each["dedup_key"], each["state"], each["events"]) for each in found]


def test_pagerduty__a_trigger_opens_an_incident(inbox: Any) -> None:
    response = enqueue(inbox, event())
    answer = {"status": "success", "message": "Event processed", "dedup_key": "margin:acc-1:mep_1"}
    assert (response.status_code, response.json()) == (202, answer)
    assert incidents(inbox) == [("margin:acc-1:mep_1", "triggered", 1)]
    [message] = inbox.messages()
    wanted = {
        "channel": "pagerduty",
        "event_id": "mev_1",
        "notification_id": "ntf_1",
        "account_id": "acc-1",
        "severity": "margin_call",
        "title": "trigger: acc-1: margin call",
        "incident_state": "triggered",
    }
    assert {name: message[name] for name in wanted} == wanted
    assert ROUTING_KEY not in json.dumps(inbox.read("/api/messages"))


def test_pagerduty__the_same_key_joins_the_open_alert_and_opens_a_new_one_after_resolve(inbox: Any) -> None:
    worse = event(payload=event()["payload"] | {"summary": "acc-1: liquidation"})
    for content in (event(), worse, event("acknowledge"), event("resolve"), event()):
        assert enqueue(inbox, content).status_code == 202
    assert incidents(inbox) == [("margin:acc-1:mep_1", "triggered", 1), ("margin:acc-1:mep_1", "resolved", 4)]


def test_pagerduty__the_same_event_again_is_a_duplicate(inbox: Any) -> None:
    for _ in range(2):
        enqueue(inbox, event())
    assert [m["duplicates"] for m in inbox.messages()] == [1]
    assert incidents(inbox) == [("margin:acc-1:mep_1", "triggered", 2)]


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_pagerduty__without_an_open_alert_it_is_accepted_and_dropped(inbox: Any, action: str) -> None:
    assert enqueue(inbox, event(action, "margin:other:1")).status_code == 202
    assert (inbox.messages(), incidents(inbox)) == ([], [])
    [dropped] = inbox.rejected()
    assert dropped["status"] == 202
    assert "no alert of this dedup_key is open" in dropped["reason"]


def test_pagerduty__makes_a_key_where_none_is_given(inbox: Any) -> None:
    key = enqueue(inbox, event(key=None)).json()["dedup_key"]
    assert incidents(inbox) == [(key, "triggered", 1)]


PAYLOAD = event()["payload"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (event(routing_key="f" * 32), "routing_key"),
        (event(routing_key="short"), "Length of 'routing_key'"),
        (event(routing_key=7), "Length of 'routing_key'"),
        (event("close"), "event_action"),
        (event(event_action=["trigger"]), "event_action"),
        (event("resolve", None), "dedup_key"),
        (event(key="k" * 256), "dedup_key"),
        (event(payload=None), "payload"),
        (event(payload={**PAYLOAD, "summary": " "}), "payload.summary"),
        (event(payload={**PAYLOAD, "summary": "s" * 1025}), "payload.summary"),
        (event(payload={**PAYLOAD, "source": None}), "payload.source"),
        (event(payload={**PAYLOAD, "severity": "margin_call"}), "payload.severity"),
        (event(payload={**PAYLOAD, "severity": ["error"]}), "payload.severity"),
        (event(payload={**PAYLOAD, "timestamp": "soon"}), "payload.timestamp"),
        ([], "not a JSON object"),
    ],
)
def test_pagerduty__refuses_in_its_shape(inbox: Any, content: Any, error: str) -> None:
    response = enqueue(inbox, content)
    answer = response.json()
    assert (response.status_code, answer["status"], answer["message"]) == (
        400,
        "invalid event",
        "Event object is invalid",
    )
    assert any(error in each for each in answer["errors"]), answer
    assert inbox.messages() == []


def test_pagerduty__a_body_over_512_kilobytes_is_refused(inbox: Any) -> None:
    large = event(payload=PAYLOAD | {"custom_details": {"x": "y" * 512 * 1024}})
    assert enqueue(inbox, large).status_code == 413


def test_pagerduty__fails_on_command(inbox: Any) -> None:
    inbox.fail(channel="pagerduty", status=429, retry_after=2)
    response = enqueue(inbox, event())
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert enqueue(inbox, event()).status_code == 202


def test_pagerduty__without_a_routing_key_refuses(open_inbox: Any) -> None:
    assert enqueue(open_inbox, event()).status_code == 400


def send_text(inbox: Any, to: str = "+12025550100", body: str = "Margin call", **more: str) -> dict[str, Any]:
    form = {"To": to, "From": "+15005550006", "Body": body, **more}
    response = inbox.request("POST", f"/2010-04-01/Accounts/{SID}/Messages.json", data=form, auth=(SID, TOKEN))
    assert response.status_code == 201, response.text
    content: dict[str, Any] = response.json()
    return content


def list_texts(inbox: Any, auth: tuple[str, str] = (SID, TOKEN), sid: str = SID, **query: Any) -> httpx.Response:
    path = f"/2010-04-01/Accounts/{sid}/Messages.json"
    response: httpx.Response = inbox.request("GET", path, params=query, auth=auth)
    return response


def test_twilio_list__shows_a_number_newest_first_page_by_page(inbox: Any) -> None:
    for number in range(3):
        send_text(inbox, body=f"text {number}")
    send_text(inbox, "+12025550199")
    first = list_texts(inbox, To="+12025550100", PageSize=2).json()
    assert [message["body"] for message in first["messages"]] == ["text 2", "text 1"]
    assert (first["page"], first["page_size"], first["start"], first["end"]) == (0, 2, 0, 1)
    assert first["previous_page_uri"] is None
    second = inbox.request("GET", first["next_page_uri"], auth=(SID, TOKEN)).json()
    assert [message["body"] for message in second["messages"]] == ["text 0"]
    assert (second["page"], second["next_page_uri"]) == (1, None)
    assert len(list_texts(inbox).json()["messages"]) == 4


def test_twilio_list__a_message_is_the_one_that_was_created(inbox: Any) -> None:
    created = send_text(inbox)
    [found] = list_texts(inbox, To="+12025550100").json()["messages"]
    same = ("sid", "to", "from", "body", "direction", "account_sid", "num_segments", "uri")
    assert {name: found[name] for name in same} == {name: created[name] for name in same}
    gap = parsedate_to_datetime(found["date_created"]) - parsedate_to_datetime(created["date_created"])
    assert abs(gap) <= timedelta(seconds=1)


@pytest.mark.parametrize(
    ("name", "days", "found"),
    [
        ("DateSent", 0, 1),
        ("DateSent", -1, 0),
        ("DateSent", 1, 0),
        ("DateSent>", 0, 1),
        ("DateSent>", 1, 0),
        ("DateSent<", 0, 1),
        ("DateSent<", -1, 0),
    ],
)
def test_twilio_list__by_day(inbox: Any, name: str, days: int, found: int) -> None:
    created = parsedate_to_datetime(send_text(inbox)["date_created"])
    day = (created.astimezone(UTC) + timedelta(seconds=0.1, days=days)).date().isoformat()
    assert len(list_texts(inbox, **{name: day}).json()["messages"]) == found


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"DateSent": "today"}, 400, 20001),
        ({"PageSize": "many"}, 400, 20001),
        ({"auth": (SID, "wrong")}, 401, 20003),
        ({"sid": "AC" + "1" * 32}, 404, 20404),
    ],
)
def test_twilio_list__refuses_in_its_shape(inbox: Any, query: dict[str, Any], status: int, code: int) -> None:
    response = list_texts(inbox, **query)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_twilio_list__answers_while_sending_fails_on_command(inbox: Any) -> None:
    inbox.fail(channel="sms", status=500, count=5)
    assert list_texts(inbox).json()["messages"] == []
    inbox.fail(channel="sms", count=0)


def batch(people: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "personalizations": people,
        "from": {"email": "alerts@example.com"},
        "subject": "%kind% of %account%",
        "content": [
            {"type": "text/plain", "value": "Text: %words%"},
            {"type": "text/html", "value": "<p>Text: %words%</p>"},
        ],
        **changes,
    }


def test_sendgrid__substitutions_replace_tags_once(inbox: Any) -> None:
    people = [
        {
            "to": [{"email": f"{name}@example.com"}],
            "substitutions": {"%kind%": "Margin call", "%account%": name, "%words%": "%kind% .* \\1 <b>"},
        }
        for name in ("a", "b")
    ]
    response = inbox.request("POST", "/v3/mail/send", json=batch(people), headers=MAIL_HEADERS)
    assert response.status_code == 202
    first, second = inbox.messages()
    assert (first["title"], second["title"]) == ("Margin call of a", "Margin call of b")
    assert first["content"] == "Text: %kind% .* \\1 <b>"
    html = inbox.request("GET", f"/messages/{first['id']}/html", auth=("ballast", INBOX_TOKEN))
    assert html.text == "<p>Text: %kind% .* \\1 <b></p>"
    assert html.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert inbox.request("GET", f"/messages/{first['id']}/html").status_code == 401


def test_sendgrid__longer_tags_win_and_a_person_may_have_an_own_subject(inbox: Any) -> None:
    person = {
        "to": [{"email": "a@b.co"}],
        "subject": "-n- -name-",
        "substitutions": {"-n": "1", "-n-": "2", "-name-": "3"},
    }
    assert inbox.request("POST", "/v3/mail/send", json=batch([person]), headers=MAIL_HEADERS).status_code == 202
    assert [m["title"] for m in inbox.messages()] == ["2 3"]


@pytest.mark.parametrize("values", [[], {"%x%": 1}, {"%x%": "y" * 10_000}])
def test_sendgrid__substitutions_that_are_none_are_refused(inbox: Any, values: Any) -> None:
    content = batch([{"to": [{"email": "a@b.co"}], "substitutions": values}])
    response = inbox.request("POST", "/v3/mail/send", json=content, headers=MAIL_HEADERS)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "personalizations.0.substitutions"


def test_sendgrid__each_recipient_is_one_message(inbox: Any) -> None:
    people = [
        {"to": [{"email": "a@b.co"}, {"email": "c@b.co"}], "cc": [{"email": "d@b.co"}]},
        {"to": [{"email": "e@b.co"}]},
    ]
    response = inbox.request("POST", "/v3/mail/send", json=batch(people), headers=MAIL_HEADERS)
    message_id = response.headers["x-message-id"]
    assert [(m["message_key"], m["recipient"]) for m in inbox.messages()] == [
        (f"{message_id}.{number}", f"{name}@b.co") for number, name in enumerate("acde")
    ]


def test_sendgrid__a_batch_of_a_thousand_arrives_whole(inbox: Any) -> None:
    people = [
        {
            "to": [{"email": f"acct-{number}@example.com"}],
            "substitutions": {"%words%": "w" * 3000},
            "custom_args": {"notification_id": f"ntf_{number}", "is_simulated": "true"},
        }
        for number in range(1000)
    ]
    response = inbox.request("POST", "/v3/mail/send", json=batch(people), headers=MAIL_HEADERS)
    assert response.status_code == 202
    messages = inbox.messages()
    assert [m["notification_id"] for m in messages] == [f"ntf_{number}" for number in range(1000)]
    assert len({m["received_at"] for m in messages}) == 1
    assert all(m["is_simulated"] for m in messages)


def test_sendgrid__a_mail_of_html_alone_is_shown_as_text(inbox: Any) -> None:
    html = (
        "<html><head><title>no</title><style>p {}</style></head><body><h1>Margin&nbsp;call</h1>"
        "<p>Health\n is 29.5&nbsp;%</p> <table> <tr><td>a</td><td>b</td></tr> <tr><td>c</td></tr> </table>"
        "<a href='https://a.example/x'>Open</a><script>no()</script></body></html>"
    )
    content = batch([{"to": [{"email": "a@b.co"}]}], content=[{"type": "text/html", "value": html}])
    inbox.request("POST", "/v3/mail/send", json=content, headers=MAIL_HEADERS)
    [message] = inbox.messages()
    assert (
        message["content"].replace("\xa0", " ")
        == "Margin call\n\nHealth is 29.5 %\n\na  b\nc\n\nOpen <https://a.example/x>"
    )


def test_page__tells_the_four_kinds_apart_and_shows_one_alone(inbox: Any) -> None:
    inbox.post_webhook()
    enqueue(inbox, event())
    send_text(inbox, StatusCallback="http://127.0.0.1:9/cb?notification_id=ntf_sms")
    person = {"to": [{"email": "b@bounce.example"}]}
    inbox.request("POST", "/v3/mail/send", json=batch([person]), headers=MAIL_HEADERS)
    page = inbox.request("GET", "/", auth=("ballast", INBOX_TOKEN)).text
    for kind, word, recipient in (
        ("email", "Email", "b@bounce.example"),
        ("sms", "SMS", "+12025550100"),
        ("webhook", "Webhook", "margin"),
        ("pagerduty", "Page", "margin:acc-1:mep_1"),
    ):
        assert f'<li class="kind-{kind}' in page
        assert f"</svg>{word}</span>" in page
        assert f'<span class="recipient">{recipient}</span>' in page
    for shown in ("notification ntf_sms", "incident 1 is triggered", "<b>bounce</b>", "as HTML"):
        assert shown in page
    texts = inbox.request("GET", "/?channel=sms", auth=("ballast", INBOX_TOKEN)).text
    assert '<li class="kind-sms' in texts
    assert '<li class="kind-email' not in texts


def test_file__of_an_older_version_is_completed(own_inbox: Any) -> None:
    own_inbox.post_webhook("ntf_old")
    own_inbox.stop()
    with closing(sqlite3.connect(own_inbox.folder / "inbox" / "inbox.sqlite3")) as connection:
        connection.execute("drop view listed_messages")
        for name in ("notification_id", "sender", "outcome", "incident_id", "html"):
            connection.execute(f"alter table messages drop column {name}")
        connection.execute("drop table incidents")
        connection.execute("drop table callbacks")
        connection.commit()
    own_inbox.start()
    enqueue(own_inbox, event())
    assert [m["message_key"][:8] for m in own_inbox.messages()] == ["ntf_old", "margin:a"]
    assert datetime.fromisoformat(own_inbox.messages()[0]["received_at"]).tzinfo is UTC

"""The webhook receiver: what it verifies, keeps, counts and refuses."""

from __future__ import annotations

from typing import Any

import pytest


def test_webhook__a_signed_message_is_kept_with_its_event(inbox: Any) -> None:
    assert inbox.post_webhook().status_code == 204
    [message] = inbox.messages()
    wanted = {
        "channel": "webhook",
        "endpoint": "margin",
        "message_key": "ntf_1",
        "event_id": "mev_1",
        "severity": "margin_call",
        "account_id": "acc-1",
        "health": "29.5",
        "verified": True,
        "duplicates": 0,
    }
    assert {name: message[name] for name in wanted} == wanted
    assert message["seconds_since_event"] >= 2


def test_webhook__duplicates_are_counted_by_id(inbox: Any) -> None:
    for key in ("ntf_1", "ntf_2", "ntf_1", "ntf_1"):
        assert inbox.post_webhook(key).status_code == 204
    assert {m["message_key"]: m["duplicates"] for m in inbox.messages()} == {"ntf_1": 2, "ntf_2": 0}
    assert inbox.read("/api/messages")["counts"] == {"messages": 2, "duplicates": 2, "rejected": 0}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"webhook-signature": "v1,AAAA"}, id="wrong"),
        pytest.param({"webhook-signature": "nonsense"}, id="malformed"),
        pytest.param({"webhook-signature": "v1,a"}, id="bad base64"),
        pytest.param({"webhook-signature": "v1a,AAAA"}, id="other scheme"),
        pytest.param({"webhook-timestamp": "1614265330"}, id="old"),
        pytest.param({"webhook-timestamp": "soon"}, id="no time"),
        pytest.param({"webhook-id": "other"}, id="other id"),
        pytest.param({"webhook-id": ""}, id="no id"),
    ],
)
def test_webhook__a_bad_signature_is_refused_and_kept_apart(inbox: Any, headers: dict[str, str]) -> None:
    assert inbox.post_webhook(**headers).status_code == 401
    assert inbox.messages() == []
    [rejected] = inbox.rejected()
    assert (rejected["verified"], rejected["status"]) == (False, 401)
    assert "acc-1" in rejected["content"]


def test_webhook__a_changed_body_is_refused(inbox: Any) -> None:
    signed = inbox.post_webhook().request
    headers = {name: value for name, value in signed.headers.items() if name.startswith("webhook-")}
    response = inbox.request("POST", "/webhooks/margin", content=signed.content + b" ", headers=headers)
    assert response.status_code == 401


def test_webhook__a_body_that_is_no_utf8_is_refused(inbox: Any) -> None:
    signed = inbox.post_webhook().request
    headers = {name: value for name, value in signed.headers.items() if name.startswith("webhook-")}
    assert inbox.request("POST", "/webhooks/margin", content=b"\xff", headers=headers).status_code == 401


@pytest.mark.parametrize("body", [b"", b"text", b"[]", b'{"data": 1}', b'{"data": {"detected_at": "later"}}'])
def test_webhook__a_signed_body_of_another_shape_is_kept(inbox: Any, body: bytes) -> None:
    assert inbox.post_webhook(body=body).status_code == 204
    [message] = inbox.messages()
    assert (message["severity"], message["seconds_since_event"]) == (None, None)


def test_webhook__a_large_body_is_refused(inbox: Any) -> None:
    assert inbox.post_webhook(body=b"x" * (1024**2 + 1)).status_code == 413
    assert inbox.messages() == []


def test_webhook__names_are_plain(inbox: Any) -> None:
    assert inbox.request("POST", "/webhooks/Bad%20Name", content=b"{}").status_code == 422


def test_webhook__without_a_secret_nothing_is_accepted(open_inbox: Any) -> None:
    assert open_inbox.post_webhook().status_code == 401


def test_failure__the_next_requests_fail_and_then_it_works(inbox: Any) -> None:
    inbox.fail(channel="webhook", status=429, count=2, retry_after=7)
    answers = [inbox.post_webhook() for _ in range(3)]
    assert [a.status_code for a in answers] == [429, 429, 204]
    assert [a.headers.get("retry-after") for a in answers] == ["7", "7", None]
    assert [r["reason"] for r in inbox.rejected()] == ["failure on command"] * 2
    assert [m["duplicates"] for m in inbox.messages()] == [0]


def test_failure__count_zero_ends_it(inbox: Any) -> None:
    inbox.fail(channel="webhook", status=500, count=100)
    inbox.fail(channel="webhook", count=0)
    assert inbox.post_webhook().status_code == 204


def test_failure__a_delay_stores_before_it_answers(inbox: Any) -> None:
    inbox.fail(channel="webhook", delay_s=300)
    with pytest.raises(TimeoutError, match="no answer"):
        inbox.impatient_webhook()
    assert [m["message_key"] for m in inbox.messages()] == ["ntf_1"]
    # Nobody else waits for the open request.
    assert inbox.post_webhook("ntf_2").status_code == 204


def test_failure__of_another_channel_does_not_matter(inbox: Any) -> None:
    inbox.fail(channel="sms", status=500)
    assert inbox.post_webhook().status_code == 204


def test_failure__survives_a_restart(own_inbox: Any) -> None:
    own_inbox.fail(channel="webhook", status=503, count=1)
    own_inbox.kill()
    own_inbox.start()
    assert [own_inbox.post_webhook().status_code for _ in range(2)] == [503, 204]


def test_kill__acknowledged_messages_survive(own_inbox: Any) -> None:
    for round_number in range(3):
        for number in range(20):
            assert own_inbox.post_webhook(f"ntf_{round_number}_{number}").status_code == 204
        own_inbox.kill()
        own_inbox.start()
    assert len(own_inbox.messages()) == 60
    assert own_inbox.post_webhook("ntf_0_0").status_code == 204
    assert own_inbox.messages()[0]["duplicates"] == 1


def test_messages__are_read_on_from_an_id(inbox: Any) -> None:
    for number in range(4):
        inbox.post_webhook(f"ntf_{number}")
    first = inbox.read("/api/messages?limit=3")
    assert [m["message_key"] for m in first["messages"]] == ["ntf_0", "ntf_1", "ntf_2"]
    assert [m["message_key"] for m in inbox.messages(first["last_id"])] == ["ntf_3"]
    assert inbox.read("/api/messages?since_id=99")["last_id"] == 99

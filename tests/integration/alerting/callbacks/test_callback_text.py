"""Twilio's status callbacks over HTTP, and what they leave in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alerting.callbacks import twilio

Make = Callable[..., dict[str, str]]

# Statuses in the order in which they come, state after, rows of history.
MOVES: list[tuple[list[str], str | None, list[str]]] = [
    (["queued"], "accepted", ["accepted"]),
    (["accepted", "sending", "sent"], "accepted", ["accepted"]),
    (["sent", "delivered"], "delivered", ["accepted", "delivered"]),
    (["delivered", "sent", "queued"], "delivered", ["accepted", "delivered"]),
    (["delivered", "undelivered"], "delivered", ["accepted", "delivered"]),
    (["undelivered", "sent"], "failed", ["failed"]),
    (["sent", "failed"], "failed", ["accepted", "failed"]),
    (["canceled"], "failed", ["failed"]),
    (["failed", "delivered"], "delivered", ["failed", "accepted", "delivered"]),
    (["read"], None, []),
    (["invented"], None, []),
]


def test_text_status__moves_a_notification_in_any_order(api: Any, book: Any, status_form: Make) -> None:
    for number, (statuses, after, appended) in enumerate(MOVES):
        key = f"ntf_{number}"
        book.plan(key, channel="sms")
        for status in statuses + statuses:
            assert api.text(status_form(status, f"SM{number}"), f"?notification_id={key}").status_code == 204
        assert (statuses, book.state(key), book.history(key)) == (statuses, after, appended)
        assert sorted(kind for of, kind in book.kinds() if of == key) == sorted(statuses)
    assert sorted(book.pending()) == sorted(f"ntf_{n}" for n, (_, after, _) in enumerate(MOVES) if after is None)


def test_text_status__that_is_not_proven_leaves_nothing(api: Any, book: Any, status_form: Make) -> None:
    book.plan("ntf_1", "ntf_2", channel="sms")
    before = book.everything()
    for options in (
        {"headers": {twilio.SIGNATURE_HEADER: ""}},
        {"headers": {twilio.SIGNATURE_HEADER: "RSOYDt4T1cUTdK1PDd93/VVr8B8="}},
        {"token": "other"},
        {"query": "?notification_id=ntf_2", "signed_query": "?notification_id=ntf_1"},
        {"query": "?notification_id=ntf_1&more=1", "signed_query": "?notification_id=ntf_1"},
        {"query": "", "signed_query": "?notification_id=ntf_1"},
    ):
        response = api.text(status_form("delivered"), **options)
        assert (options, response.status_code) == (options, 403)
        assert response.json()["error"]["code"] == "callback_refused"
    assert book.everything() == before


def test_text_status__without_a_token_is_not_served(serve: Callable[..., Any], book: Any, status_form: Make) -> None:
    response = serve(twilio_auth_token=None).text(status_form("delivered"))
    assert (response.status_code, response.json()["error"]["code"]) == (503, "callback_not_configured")
    assert book.kinds() == []


def test_text_status__signed_but_of_another_shape_or_type_is_invalid(api: Any, book: Any, status_form: Make) -> None:
    wrong = [
        api.text({"MessageStatus": "delivered"}),
        api.text(status_form("delivered", "S\x00M")),
        api.text([*status_form("delivered").items(), ("MessageSid", "SM2")]),
        api.text(status_form("delivered"), headers={"content-type": ""}),
        api.text(status_form("delivered"), headers={"content-type": "application/json"}),
    ]
    for response in wrong:
        assert (response.status_code, response.json()["error"]["code"]) == (400, "callback_invalid")
    assert book.kinds() == []


def test_text_status__a_failure_tells_the_code_and_no_number(api: Any, book: Any, status_form: Make) -> None:
    book.plan("ntf_1", channel="sms", state="accepted")
    assert api.text(status_form("undelivered", ErrorCode="30003", ErrorMessage="to +12025550100")).status_code == 204
    sql = "select detail, provider_message_id from alerting.notification_states where state = 'failed'"
    assert book.rows(sql) == [("Twilio: undelivered; ErrorCode 30003", "SM1")]
    assert "2025550100" not in str(book.everything())


def test_text_status__with_repeated_keys_is_proven_and_read(api: Any, book: Any, status_form: Make) -> None:
    book.plan("ntf_1", channel="sms")
    form = [*status_form("delivered").items(), ("Extra", "b"), ("Extra", "a"), ("MessageStatus", "delivered")]
    assert api.text(form).status_code == 204
    assert book.state() == "delivered"


@pytest.mark.parametrize("signed", ["https://ballast.example:443", "https://ballast.example"])
@pytest.mark.parametrize("public", ["https://ballast.example/", "https://ballast.example:443"])
def test_text_status__is_proven_with_and_without_the_port(
    serve: Callable[..., Any], book: Any, status_form: Make, signed: str, public: str
) -> None:
    book.plan("ntf_1", channel="sms")
    api = serve(public_url=public)
    api.url = signed
    assert api.text(status_form("delivered")).status_code == 204
    assert book.state() == "delivered"


def test_text_status__of_no_notification_of_ours_is_kept_and_ignored(api: Any, book: Any, status_form: Make) -> None:
    book.plan("ntf_1", channel="sms")
    queries = ("", "?notification_id=", "?notification_id=ntf%00", "?notification_id=ntf_none")
    for number, query in enumerate(queries):
        assert api.text(status_form("delivered", f"SM{number}"), query).status_code == 204
    assert book.kinds() == [(None, "delivered"), (None, "delivered"), (None, "delivered"), ("ntf_none", "delivered")]
    assert (book.state(), book.pending()) == (None, ["ntf_1"])


@pytest.mark.parametrize("status", ["verified", "pending", "removed", "disabled"])
def test_text_status__a_number_that_opted_out_disables_its_contact_with_a_trace(
    api: Any, book: Any, status_form: Make, start: Any, status: str
) -> None:
    book.plan("ntf_1", "ntf_2", channel="sms", state="accepted")
    contact = (
        "insert into alerting.contacts (contact_id, owner, channel, origin, role, position, address_sealed,"
        " address_hint, fingerprint, status, created_at, updated_at) values (:id, 'acc-1', 'sms', 'preference',"
        " 'primary', 0, '\\x01', '+1*******00', 'f', :status, :at, :at)"
    )
    book.execute(contact, id="ct_ntf_1", status=status, at=start)
    book.execute(contact, id="ct_ntf_2", status="verified", at=start)
    for form in (status_form("failed", ErrorCode="21610"), status_form("undelivered", "SM2", ErrorCode="21610")):
        assert api.text(form).status_code == 204
    is_changed = status in ("verified", "pending")
    found = book.rows("select contact_id, status, status_reason from alerting.contacts order by 1")
    changed = ("ct_ntf_1", "disabled", "opted_out") if is_changed else ("ct_ntf_1", status, None)
    assert found == [changed, ("ct_ntf_2", "verified", None)]
    trace = book.rows("select owner, action, changed_by, before ->> 'status', after from alerting.preference_changes")
    after = {"contact_id": "ct_ntf_1", "channel": "sms", "status": "disabled", "status_reason": "opted_out"}
    assert trace == ([("acc-1", "contact_disabled", "twilio", status, after)] if is_changed else [])
    assert book.state() == "failed"

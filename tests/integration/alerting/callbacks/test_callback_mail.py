"""SendGrid's events over HTTP, and what they leave in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from alerting.callbacks import sendgrid
from infra.runtime.clock import FixedClock

Make = Callable[..., dict[str, Any]]

# State before, kind of event, state after, rows of history.
MOVES: list[tuple[str | None, str, str | None, list[str]]] = [
    (None, "processed", "accepted", ["accepted"]),
    (None, "delivered", "delivered", ["accepted", "delivered"]),
    (None, "bounce", "failed", ["failed"]),
    (None, "dropped", "failed", ["failed"]),
    (None, "deferred", None, []),
    (None, "open", None, []),
    (None, "invented", None, []),
    ("accepted", "processed", "accepted", []),
    ("accepted", "delivered", "delivered", ["delivered"]),
    ("accepted", "blocked", "failed", ["failed"]),
    ("accepted", "unsubscribe", "accepted", []),
    ("accepted", "spamreport", "accepted", []),
    ("delivered", "processed", "delivered", []),
    ("delivered", "bounce", "failed", ["failed"]),
    ("failed", "delivered", "delivered", ["accepted", "delivered"]),
    ("failed", "processed", "accepted", ["accepted"]),
    ("failed", "bounce", "failed", []),
    ("suppressed", "delivered", "suppressed", []),
    ("suppressed", "bounce", "suppressed", []),
]


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_mail_event__moves_a_notification_by_the_table(
    api: Any, book: Any, mail_event: Make, is_one_batch: bool
) -> None:
    keys = [f"ntf_{number:02}" for number in range(len(MOVES))]
    for key, (before, _, _, _) in zip(keys, MOVES, strict=True):
        book.plan(key, state=before)
    body = [mail_event(kind, key) for key, (_, kind, _, _) in zip(keys, MOVES, strict=True)]
    for batch in [body] if is_one_batch else [[each] for each in body]:
        response = api.mail(batch)
        assert (response.status_code, response.content) == (204, b"")
    for key, (before, kind, after, appended) in zip(keys, MOVES, strict=True):
        found = (before, kind, book.state(key), book.history(key))
        assert found == (before, kind, after, [*([before] if before else []), *appended])
    assert book.kinds() == [(key, kind) for key, (_, kind, _, _) in zip(keys, MOVES, strict=True)]
    waiting = [key for key, (before, _, after, _) in zip(keys, MOVES, strict=True) if before is None and after is None]
    assert book.pending() == waiting


def test_mail_event__tells_time_and_message_of_the_state(api: Any, book: Any, mail_event: Make, start: Any) -> None:
    book.plan("ntf_1", "ntf_2")
    book.execute("update alerting.notifications set provider_message_id = 'first' where notification_id = 'ntf_2'")
    assert api.mail([mail_event("processed"), mail_event("processed", "ntf_2")]).status_code == 204
    columns = "notification_id, at, seconds_since_detected, detail, provider_message_id"
    assert book.rows(f"select {columns} from alerting.notification_states order by 1") == [
        (key, start, pytest.approx(2.5), "SendGrid: processed", f"mail-{key}") for key in ("ntf_1", "ntf_2")
    ]
    told = book.rows("select notification_id, provider_message_id from alerting.notifications order by 1")
    assert told == [("ntf_1", "mail-ntf_1"), ("ntf_2", "first")]


def test_mail_event__before_the_ledger_recorded_acceptance_is_never_sent_again(
    api: Any, book: Any, mail_event: Make
) -> None:
    book.plan("ntf_1")
    book.execute("update alerting.pending set claim_token = gen_random_uuid(), claimed_until = now() + interval '6 s'")
    assert api.mail([mail_event("delivered")]).status_code == 204
    assert (book.pending(), book.state()) == ([], "delivered")
    assert api.mail([mail_event("processed")]).status_code == 204
    assert (book.state(), book.history()) == ("delivered", ["accepted", "delivered"])


def test_mail_event__sent_again_changes_nothing(api: Any, book: Any, mail_event: Make, clock: FixedClock) -> None:
    book.plan("ntf_1", "ntf_2", state="accepted")
    body = [mail_event("delivered"), mail_event("bounce", "ntf_2", reason="550 unknown"), mail_event("open", None)]
    del body[2]["sg_event_id"]
    assert api.mail(body).status_code == 204
    before = book.everything()
    assert len(before["callbacks"]) == 3
    clock.advance(timedelta(seconds=200))
    assert api.mail(body + body, age_s=200).status_code == 204
    assert api.mail(body[::-1]).status_code == 204
    assert book.everything() == before
    clock.advance(timedelta(seconds=101))
    refused = api.mail(body, age_s=301)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "callback_refused")
    assert book.everything() == before


def test_mail_event__that_is_not_proven_leaves_nothing(api: Any, book: Any, mail_event: Make) -> None:
    book.plan("ntf_1", "ntf_2")
    before = book.everything()
    raw = b'[{"event": "delivered", "notification_id": "ntf_1", "sg_event_id": "1"}]\r\n'
    for options in (
        {"headers": {sendgrid.SIGNATURE_HEADER: ""}},
        {"headers": {sendgrid.TIMESTAMP_HEADER: ""}},
        {"headers": {sendgrid.SIGNATURE_HEADER: "bm90IERFUg=="}},
        {"headers": {sendgrid.TIMESTAMP_HEADER: "1769860799"}},
        {"headers": {sendgrid.TIMESTAMP_HEADER: "now"}},
        {"content": raw.replace(b": ", b":")},
        {"content": raw.strip()},
        {"content": raw.replace(b"ntf_1", b"ntf_2")},
        {"content": b""},
        {"age_s": 301},
        {"age_s": -301},
    ):
        response = api.mail(raw, **options)
        assert (options, response.status_code) == (options, 403)
        assert response.json()["error"]["code"] == "callback_refused"
    assert book.everything() == before
    assert api.mail(raw).status_code == 204
    assert book.state() == "delivered"


@pytest.mark.parametrize("missing", [{"sendgrid_webhook_key": None}, {"sendgrid_webhook_key": "bm90IERFUg=="}])
def test_mail_event__without_a_usable_key_is_not_served(
    serve: Callable[..., Any], book: Any, mail_event: Make, missing: dict[str, Any]
) -> None:
    response = serve(**missing).mail([mail_event("delivered")])
    assert (response.status_code, response.json()["error"]["code"]) == (503, "callback_not_configured")
    assert book.kinds() == []


def test_mail_event__signed_but_of_another_shape_or_type_is_invalid(api: Any, book: Any, mail_event: Make) -> None:
    wrong = [api.mail(body) for body in (b"{}", b"", b"[1]", b"[", b'[{"event": "delivered"}, null]')]
    for content_type in ("", "text/plain", "application/jsonx"):
        wrong.append(api.mail([mail_event("delivered")], headers={"content-type": content_type}))
    for response in wrong:
        assert (response.status_code, response.json()["error"]["code"]) == (400, "callback_invalid")
    assert book.kinds() == []
    right = api.mail([mail_event("delivered")], headers={"content-type": "Application/JSON; charset=utf-8"})
    assert right.status_code == 204


def test_callback__above_a_megabyte_is_refused_whether_its_length_is_told_or_not(api: Any, book: Any) -> None:
    huge = b"[" + b" " * 1_000_000 + b"]"
    assert api.mail(huge).status_code == 413
    for path in ("sendgrid", "twilio"):
        parts = (huge[start : start + 10_000] for start in range(0, len(huge), 10_000))
        response = api.client.post(f"/v1/callbacks/{path}", content=parts)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert api.mail(b"[" + b" " * 999_998 + b"]").status_code == 204
    assert book.kinds() == []


def test_callback__other_methods_and_addresses_are_not_there(api: Any) -> None:
    assert api.client.get("/v1/callbacks/sendgrid").status_code == 405
    assert api.client.post("/v1/callbacks/other").status_code == 404


def test_callback__without_clients_is_not_ready(serve: Callable[..., Any], mail_event: Make) -> None:
    response = serve(is_ready=False).mail([mail_event("delivered")])
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")


def test_callback__with_the_ledger_away_is_not_taken_so_that_it_comes_again(
    api: Any, book: Any, mail_event: Make
) -> None:
    book.plan("ntf_1")
    book.execute("alter table alerting.callbacks rename to gone")
    with pytest.raises(Exception, match="callbacks"):
        book.kinds()
    assert api.mail([mail_event("delivered")]).status_code >= 500
    assert (book.state(), book.history(), book.pending()) == (None, [], ["ntf_1"])


def test_mail_event__odd_fields_spoil_neither_the_batch_nor_the_database(api: Any, book: Any, mail_event: Make) -> None:
    book.plan("ntf_1")
    body = [
        mail_event("bounce\x00", sg_event_id="1\x00"),
        mail_event("bounce", "ntf\x001", sg_event_id="2"),
        mail_event("dropped", "ntf_2", sg_event_id="3", reason="no\x00such\x00user \ud800"),
        mail_event("bounce", "n" * 500, sg_event_id="4", timestamp=1e300),
        {"event": {"a": 1}, "sg_event_id": "5"},
        mail_event("delivered", sg_event_id="6"),
    ]
    assert api.mail(body).status_code == 204
    assert book.state() == "delivered"
    assert book.kinds() == [
        (None, "bounce"),
        ("ntf_2", "dropped"),
        (None, "bounce"),
        (None, "unknown"),
        ("ntf_1", "delivered"),
        ("ntf_1", "unknown"),
    ]
    told = book.rows("select detail from alerting.callbacks where callback_id = '3'")
    assert told == [("SendGrid: dropped; no such user",)]


def test_mail_event__of_nobody_of_ours_is_kept_and_ignored(api: Any, book: Any, mail_event: Make) -> None:
    book.plan("ntf_1")
    book.plan("ntf_sms", channel="sms")
    body = [mail_event("delivered", None), mail_event("bounce", "ntf_none"), mail_event("delivered", "ntf_sms")]
    before = book.everything()
    assert api.mail(body).status_code == 204
    assert set(book.kinds()) == {(None, "delivered"), ("ntf_none", "bounce"), ("ntf_sms", "delivered")}
    assert {**book.everything(), "callbacks": []} == before


def test_mail_event__the_reason_tells_no_address(api: Any, book: Any, mail_event: Make) -> None:
    book.plan("ntf_1", state="accepted")
    said = "550 5.1.1 <jane.doe@example.com> or other@example.net: Jane.Doe unknown; call +1 202 555 0100"
    assert api.mail([mail_event("bounce", reason=said, status="5.1.1", type="bounce")]).status_code == 204
    told = str(book.everything()).lower()
    assert "unknown; call" in told
    for private in ("jane", "example.com", "example.net", "0100"):
        assert private not in told


def test_mail_event__a_failure_has_the_next_contact_tried_at_once(
    api: Any, book: Any, mail_event: Make, clock: FixedClock, start: Any
) -> None:
    late, now = start + timedelta(minutes=9), start + timedelta(minutes=1)
    done, waits, due = (start, start, "accepted"), (late, None, None), (now, None, None)
    acknowledged = (start, start, "acknowledged")
    # State before, kind, the escalation before and after: due at, closed at, outcome.
    cases = [
        ("accepted", "bounce", done, due),
        ("delivered", "bounce", done, due),
        ("accepted", "dropped", acknowledged, acknowledged),
        ("accepted", "delivered", done, done),
        (None, "bounce", done, done),
        (None, "bounce", waits, due),
        (None, "dropped", (start, None, None), (start, None, None)),
        (None, "processed", waits, waits),
        ("accepted", "bounce", waits, due),
        ("suppressed", "bounce", done, done),
    ]
    keys = [f"ntf_{number}" for number in range(len(cases))]
    insert = (
        "insert into alerting.escalations (event_id, episode_id, step, due_at, closed_at, outcome)"
        " values ('evt_' || :key, 'mep', 1, :due, :closed, :outcome)"
    )
    for key, (before, _, escalation, _) in zip(keys, cases, strict=True):
        book.plan(key, state=before)
        book.execute(insert, key=key, **dict(zip(("due", "closed", "outcome"), escalation, strict=True)))
    book.plan("digest", state="accepted")
    book.plan("member", state="suppressed", digest="digest")
    for key in ("member", "other"):
        book.execute(insert, key=key, due=start, closed=start, outcome="accepted")
    clock.advance(timedelta(minutes=1))
    body = [mail_event(kind, key) for key, (_, kind, _, _) in zip(keys, cases, strict=True)]
    assert api.mail([*body, mail_event("bounce", "digest")]).status_code == 204
    rows = book.rows("select event_id, due_at, closed_at, outcome from alerting.escalations where step = 1")
    found = {row[0].removeprefix("evt_"): row[1:] for row in rows}
    expected = {key: after for key, (_, _, _, after) in zip(keys, cases, strict=True)}
    assert found == {**expected, "member": due, "other": done}

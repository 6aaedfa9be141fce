"""A client that comes back with its token misses no alert, and sees none twice unless that cannot be told."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from api.stream.errors import MistakeError
from api.stream.policy import StreamPolicy
from api.stream.resume import MAX_DIGESTS, Place, ResumeTokens, digest_of
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError

EVERY = {"accounts": "*", "alerts": True}


def _ids(client: Any) -> list[str]:
    return [each["margin_event_id"] for each in client.of("alert")]


def _leave(client: Any, event_id: str) -> str:
    """Read up to an alert, leave, and give the token that came with it."""
    token = client.until("alert", margin_event_id=event_id)["resume"]
    client.socket.close()
    assert isinstance(token, str)
    return token


def test_resume__in_the_same_process_gives_each_missed_alert_once(
    host: str, dial: Callable[..., Any], book: Any, clock: FixedClock
) -> None:
    first = dial(host)
    first.subscribe(**EVERY)
    book.put_alert("event-1")
    token = _leave(first, "event-1")
    for number in (2, 3):
        book.put_alert(f"event-{number}")
    book.put_alert("late", at=clock.now() - timedelta(minutes=3))
    second = dial(host)
    second.subscribe(**EVERY, resume=token)
    book.put_alert("event-4")
    second.until("alert", margin_event_id="event-4")
    assert sorted(_ids(second)) == ["event-2", "event-3", "event-4", "late"]


@pytest.mark.parametrize("page", [1, 2, 1_000])
def test_resume__in_another_process_gives_each_missed_alert_once(
    make_stream_app: Callable[..., FastAPI],
    serving: Callable[..., Any],
    dial: Callable[..., Any],
    quick: StreamPolicy,
    book: Any,
    clock: FixedClock,
    page: int,
) -> None:
    app = make_stream_app(replace(quick, alert_page=page))
    with serving(app) as host:
        first = dial(host)
        first.subscribe(**EVERY)
        for number in (1, 2, 3):
            book.put_alert(f"before-{number}")
        first.until("alert", margin_event_id="before-1")
        token = _leave(first, "before-3") if "before-3" not in _ids(first) else first.of("alert")[-1]["resume"]
    clock.advance(timedelta(hours=2))
    long_ago = clock.now() - timedelta(hours=1)
    for number in (1, 2, 3):
        # A look of the sensor gives many events one time.
        book.put_alert(f"old-{number}", at=long_ago)
        book.put_alert(f"new-{number}", at=clock.now())
    with serving(make_stream_app(replace(quick, alert_page=page))) as host:
        second = dial(host)
        found = second.subscribe(**EVERY, resume=token)
        assert found["resume"]
        second.until("alert", margin_event_id="new-3")
        second.until("heartbeat", is_replaying=False)
        book.put_alert("live", at=clock.now())
        second.until("alert", margin_event_id="live")
    assert _ids(second) == ["old-1", "old-2", "old-3", "new-1", "new-2", "new-3", "live"]


def test_resume__that_breaks_off_goes_on_where_it_was(
    make_stream_app: Callable[..., FastAPI],
    serving: Callable[..., Any],
    dial: Callable[..., Any],
    quick: StreamPolicy,
    book: Any,
    clock: FixedClock,
) -> None:
    with serving(make_stream_app()) as host:
        client = dial(host)
        token = client.subscribe(**EVERY)["resume"]
    wanted = [f"event-{number}" for number in range(4)]
    for number, event_id in enumerate(wanted):
        # Two that no later row can precede, two that one still may.
        book.put_alert(event_id, at=clock.now() + timedelta(seconds=number // 2))
    clock.advance(timedelta(minutes=15, seconds=1))
    seen: list[str] = []
    for _ in wanted:
        with serving(make_stream_app(replace(quick, alert_page=2))) as host:
            client = dial(host)
            client.subscribe(**EVERY, resume=token)
            sent = client.until("alert")
            seen.append(sent["margin_event_id"])
            token = sent["resume"]
    assert seen == wanted


def test_resume__goes_on_after_the_warehouse_was_away(
    host: str, dial: Callable[..., Any], make_stream_app: Callable[..., FastAPI], serving: Callable[..., Any], book: Any
) -> None:
    with serving(make_stream_app()) as other:
        token = dial(other).subscribe(**EVERY)["resume"]
    book.put_alert("missed")
    book.error = NotReadyError("away")
    client = dial(host)
    client.send({"type": "subscribe", "resume": token} | EVERY)
    assert client.until("heartbeat", reason="not_ready")["resume"] == token
    with book.lock:
        book.error = None
    client.until("alert", margin_event_id="missed")


def test_resume__that_is_too_old_is_told_and_begins_anew(
    host: str, dial: Callable[..., Any], book: Any, clock: FixedClock
) -> None:
    first = dial(host)
    token = first.subscribe(accounts=["acct-1"], alerts=True)["resume"]
    first.socket.close()
    book.put_alert("missed")
    clock.advance(timedelta(hours=24, minutes=1))
    second = dial(host)
    found = second.subscribe(accounts=["acct-1"], alerts=True, resume=token)
    assert [each["oldest"] for each in second.of("resume_expired")] == ["2026-01-31T12:01:00Z"]
    assert found["accounts"]
    book.put_alert("live", at=clock.now())
    second.until("alert", margin_event_id="live")
    assert _ids(second) == ["live"]


def test_resume__of_a_day_ago_is_not_too_old(
    make_stream_app: Callable[..., FastAPI],
    serving: Callable[..., Any],
    dial: Callable[..., Any],
    book: Any,
    clock: Any,
) -> None:
    with serving(make_stream_app()) as host:
        token = dial(host).subscribe(**EVERY)["resume"]
    book.put_alert("missed", at=clock.now() + timedelta(seconds=1))
    clock.advance(timedelta(hours=23, minutes=59))
    with serving(make_stream_app()) as host:
        client = dial(host)
        client.subscribe(**EVERY, resume=token)
        client.until("alert", margin_event_id="missed")
        assert client.of("resume_expired") == []


def test_resume__belongs_to_the_first_subscription(client: Any) -> None:
    token = client.subscribe(**EVERY)["resume"]
    client.send({"type": "subscribe", "resume": token} | EVERY)
    assert client.until("error")["code"] == "resume_late"


def test_token__is_read_back(clock: FixedClock) -> None:
    tokens = ResumeTokens(b"secret")
    digests = tuple(digest_of(f"event-{number}") for number in range(MAX_DIGESTS))
    place = Place(s=clock.now(), a="event-1", d=digests, e="epoch", n=7)
    assert tokens.read(tokens.write(place)) == place
    assert len(tokens.write(place)) < 2_000


def test_token__of_another_secret_or_changed_is_refused(clock: FixedClock) -> None:
    tokens = ResumeTokens(b"secret")
    token = tokens.write(Place(s=clock.now()))
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    changed = []
    for index in range(len(raw)):
        copy = bytearray(raw)
        copy[index] ^= 1
        changed.append(base64.urlsafe_b64encode(bytes(copy)).decode().rstrip("="))
    other = ResumeTokens(b"another").write(Place(s=clock.now()))
    for bad in [other, *changed, "", "x", "é", token[:-4], token + "AAAA", "A" * 4_096]:
        with pytest.raises(MistakeError) as refused:
            tokens.read(bad)
        assert refused.value.code == "resume_invalid"

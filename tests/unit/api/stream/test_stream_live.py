"""What a client sees: snapshots, changes, alerts, heartbeats, and answers to what it does wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from google.api_core import exceptions as google_exceptions

from api.stream.errors import MistakeError
from api.stream.messages import parse_client_message
from api.stream.policy import StreamPolicy
from infra.runtime.clock import FixedClock
from infra.runtime.errors import NotReadyError, WarehouseError

SECRET = "postgresql://ballast:hunter2@db.internal"


def test_snapshot__holds_what_was_subscribed_and_names_what_is_unknown(client: Any, book: Any) -> None:
    book.put_price("price-2", "ETH", "3000.000000001")
    found = client.subscribe(accounts=["acct-1", "acct-nobody"], prices=["ETH", "SOL"], alerts=True)
    assert [each["account_id"] for each in found["accounts"]] == ["acct-1"]
    assert found["accounts"][0]["health_pct"] == "60.000000001"
    assert found["unknown_accounts"] == ["acct-nobody"]
    assert [(each["asset"], each["price_usd"]) for each in found["prices"]] == [("ETH", "3000.000000001")]
    assert found["prices"][0]["sources"] == [{"name": "pyth", "price_usd": "80000.10"}]
    assert found["unknown_assets"] == ["SOL"]
    assert (found["seq"], found["part"], found["parts"]) == (1, 1, 1)
    assert found["resume"]


def test_snapshot__of_many_accounts_comes_in_parts(
    make_stream_app: Callable[..., FastAPI],
    serving: Callable[..., Any],
    dial: Callable[..., Any],
    quick: StreamPolicy,
    book: Any,
) -> None:
    wanted = [f"acct-{number}" for number in range(1, 6)]
    for account in wanted:
        book.put_health(account)
    with serving(make_stream_app(replace(quick, snapshot_accounts=2))) as host:
        client = dial(host)
        client.subscribe(accounts=wanted)
        client.until("snapshot", part=3, parts=3)
    found = [each["account_id"] for part in client.of("snapshot") for each in part["accounts"]]
    assert found == wanted
    assert [part["seq"] for part in client.of("snapshot")] == [1, 2, 3]


def test_health__is_sent_when_it_changed_and_only_then(client: Any, book: Any) -> None:
    client.subscribe(accounts=["acct-1"])
    book.put_health("acct-1", oldest_price_age_seconds=99)
    book.put_health("acct-2", health_pct=Decimal("1"))
    for _ in range(3):
        client.until("heartbeat")
    book.put_health("acct-1", health_pct=Decimal("29.5"), status="margin_call")
    changed = client.until("health")
    assert (changed["account_id"], changed["health"]["health_pct"]) == ("acct-1", "29.5")
    assert changed["health"]["status"] == "margin_call"
    assert len(client.of("health")) == 1
    assert changed["seq"] == 2
    assert changed["resume"] is None


def test_health__of_an_account_that_is_gone_is_null(client: Any, book: Any) -> None:
    client.subscribe(accounts=["acct-1"])
    with book.lock:
        del book.health["acct-1"]
    assert client.until("health")["health"] is None


def test_price__is_sent_when_a_later_one_arrived(client: Any, book: Any, clock: FixedClock) -> None:
    assert [each["price_id"] for each in client.subscribe(prices="*")["prices"]] == ["price-1"]
    book.put_price("price-3", price_usd="81000.5", at=clock.now())
    assert client.until("price")["price"]["price_usd"] == "81000.5"
    book.put_price("price-2", at=clock.now() - timedelta(seconds=5))
    book.put_price("price-4", "ETH", at=clock.now())
    assert client.until("price")["price"]["asset"] == "ETH"
    assert [each["price"]["price_id"] for each in client.of("price")] == ["price-3", "price-4"]


def test_alert__is_sent_once_as_it_was_published(client: Any, book: Any, clock: FixedClock) -> None:
    book.put_alert("before", at=clock.now())
    client.subscribe(accounts=["acct-1"], alerts=True)
    message = book.put_alert("event-1", at=clock.now())
    book.put_alert("of-another", "acct-2", at=clock.now())
    sent = client.until("alert")
    assert (sent["margin_event_id"], sent["account_id"]) == ("event-1", "acct-1")
    assert sent["alert"] == message
    book.put_alert("event-1", at=clock.now())
    book.put_alert("event-2", at=clock.now())
    client.until("alert", margin_event_id="event-2")
    assert [each["margin_event_id"] for each in client.of("alert")] == ["event-1", "event-2"]


def test_alert__of_every_account_needs_a_star(client: Any, book: Any) -> None:
    assert client.subscribe(accounts="*", alerts=True)["accounts"] == []
    for number in (1, 2):
        book.put_alert(f"event-{number}", f"acct-{number}")
    assert {client.until("alert")["account_id"], client.until("alert")["account_id"]} == {"acct-1", "acct-2"}


def test_alert__that_becomes_visible_late_is_sent(client: Any, book: Any, clock: FixedClock) -> None:
    client.subscribe(accounts="*", alerts=True)
    book.put_alert("newer", at=clock.now())
    client.until("alert", margin_event_id="newer")
    book.put_alert("late", at=clock.now() - timedelta(seconds=20))
    client.until("alert", margin_event_id="late")
    book.put_alert("very-late", at=clock.now() - timedelta(minutes=14))
    client.until("alert", margin_event_id="very-late")
    assert len(client.of("alert")) == 3


def test_alert__whose_message_is_unreadable_is_not_hidden(client: Any, book: Any) -> None:
    client.subscribe(accounts="*", alerts=True)
    book.put_alert("event-1")
    with book.lock:
        book.alerts.append(book.alerts.pop() | {"message": "{", "margin_event_id": "broken"})
    sent = client.until("alert", margin_event_id="broken")
    assert sent["alert"] is None


def test_resubscribe__replaces_what_was_wanted(client: Any, book: Any) -> None:
    book.put_health("acct-2")
    client.subscribe(accounts=["acct-1"], prices="*", alerts=True)
    found = client.subscribe(accounts=["acct-2"], alerts=True)
    assert [each["account_id"] for each in found["accounts"]] == ["acct-2"]
    assert found["prices"] == []
    book.put_health("acct-1", health_pct=Decimal("1"))
    book.put_price("price-2")
    book.put_alert("event-1", "acct-1")
    book.put_alert("event-2", "acct-2")
    book.put_health("acct-2", health_pct=Decimal("2"))
    assert client.until("health")["account_id"] == "acct-2"
    if not client.of("alert"):
        client.until("alert")
    assert [each["margin_event_id"] for each in client.of("alert")] == ["event-2"]
    assert client.of("price") == []


def test_seq__rises_by_one_for_every_connection(host: str, dial: Callable[..., Any], book: Any) -> None:
    clients = [dial(host), dial(host)]
    for client in clients:
        client.subscribe(accounts="*", prices="*", alerts=True)
    for number in range(5):
        book.put_alert(f"event-{number}")
    for client in clients:
        client.until("alert", margin_event_id="event-4")
        numbers = [each["seq"] for each in client.seen if each["type"] in ("snapshot", "health", "price", "alert")]
        assert numbers == list(range(1, len(numbers) + 1))


def test_polls__are_shared_and_end_with_the_last_client(host: str, dial: Callable[..., Any], book: Any) -> None:
    assert book.asked == []
    book.put_health("acct-2")
    first, second = dial(host), dial(host)
    first.subscribe(accounts=["acct-1"])
    second.subscribe(accounts=["acct-2"])
    asked = {tuple(given["account_ids"]) for _, given in book.asked}
    assert asked == {("acct-1",), ("acct-1", "acct-2")}
    first.socket.close()
    while book.asked[-1][1]["account_ids"] != ["acct-2"]:
        second.until("heartbeat")
    second.socket.close()
    before = -1
    while len(book.asked) != before:
        before = len(book.asked)
        time.sleep(0.1)


def test_heartbeat__is_stale_while_the_warehouse_is_away_and_says_why(client: Any, book: Any) -> None:
    client.subscribe(accounts=["acct-1"], prices="*", alerts=True)
    good = client.until("heartbeat", status="ok")
    assert good["reason"] is None
    assert good["data_age_seconds"] >= 0
    assert set(good["feeds"]) == {"health", "prices", "alerts"}
    with book.lock:
        book.error = NotReadyError(SECRET)
    bad = client.until("heartbeat", status="stale")
    assert bad["reason"] == "not_ready"
    assert bad["data_age_seconds"] is not None
    assert bad["resume"]
    assert "hunter2" not in str(client.seen)
    with book.lock:
        book.error = None
    assert client.until("heartbeat", status="ok")["reason"] is None


def test_heartbeat__before_the_first_read_has_no_age(client: Any, book: Any) -> None:
    error = WarehouseError("no table")
    error.__cause__ = google_exceptions.NotFound("no table")
    book.error = error
    client.send({"type": "subscribe", "accounts": ["acct-1"]})
    beat = client.until("heartbeat", reason="marts_not_built")
    assert (beat["status"], beat["data_age_seconds"]) == ("stale", None)
    with book.lock:
        book.error = None
    assert client.until("snapshot")["accounts"]


def test_heartbeat__before_a_subscription_is_not_ok(client: Any) -> None:
    beat = client.until("heartbeat")
    assert (beat["status"], beat["reason"], beat["data_age_seconds"]) == ("stale", "not_subscribed", None)


def test_heartbeat__says_timeout_while_a_read_hangs_and_starts_no_second(
    make_stream_app: Callable[..., FastAPI],
    serving: Callable[..., Any],
    dial: Callable[..., Any],
    quick: StreamPolicy,
    book: Any,
) -> None:
    with serving(make_stream_app(replace(quick, read_timeout_s=0.05))) as host:
        client = dial(host)
        client.subscribe(accounts=["acct-1"])
        with book.lock:
            before = len(book.asked)
            client.until("heartbeat", reason="timeout")
            for _ in range(3):
                client.until("heartbeat", status="stale")
            assert len(book.asked) == before
        client.until("heartbeat", status="ok")


MISTAKES: dict[str, str] = {
    "no json": "hello",
    "no object": "[]",
    "no type": "{}",
    "unknown type": '{"type": "hunter2"}',
    "unknown version": '{"type": "ping", "schema_version": 2}',
    "bad account": '{"type": "subscribe", "accounts": ["hunter2 hunter2"]}',
    "other star": '{"type": "subscribe", "accounts": "hunter2"}',
    "alerts of nobody": '{"type": "subscribe", "alerts": true}',
    "resume without alerts": '{"type": "subscribe", "accounts": ["a"], "resume": "x"}',
    "deep": "[" * 60_000,
}


@pytest.mark.parametrize("case", MISTAKES)
def test_message__that_is_wrong_is_refused_without_its_values(case: str) -> None:
    with pytest.raises(MistakeError) as refused:
        parse_client_message(MISTAKES[case])
    assert refused.value.code == "message_invalid"
    assert "hunter2" not in refused.value.message
    assert len(refused.value.message) < 1_000


def test_mistake__is_answered_and_the_connection_stays(client: Any) -> None:
    client.send("hello")
    assert client.until("error")["code"] == "message_invalid"
    client.send(b"\x00")
    assert client.until("error")["code"] == "frame_not_text"
    client.send({"type": "subscribe", "accounts": "*", "alerts": True, "resume": "hunter2"})
    assert client.until("error")["code"] == "resume_invalid"
    assert client.subscribe(accounts=["acct-1"])["accounts"]


def test_mistake__repeated_closes_with_1008(client: Any) -> None:
    for _ in range(4):
        client.send("{}")
    assert client.closing() == (1008, "too_many_mistakes")
    assert len(client.of("error")) <= 3


def test_frame__that_is_too_large_closes_with_1009(client: Any) -> None:
    client.send("x" * 140_000)
    assert client.closing()[0] == 1009


def test_messages__that_come_too_fast_close_with_1008(client: Any) -> None:
    for _ in range(51):
        client.send({"type": "pong"})
    assert client.closing() == (1008, "too_many_messages")


def test_client__that_subscribes_to_nothing_is_closed(
    make_stream_app: Callable[..., FastAPI], serving: Callable[..., Any], dial: Callable[..., Any], quick: StreamPolicy
) -> None:
    with serving(make_stream_app(replace(quick, subscribe_within_s=0.05))) as host:
        assert dial(host).closing() == (1008, "not_subscribed")


def test_subscription__is_bounded(
    make_stream_app: Callable[..., FastAPI], serving: Callable[..., Any], dial: Callable[..., Any], quick: StreamPolicy
) -> None:
    policy = replace(quick, max_accounts=2, max_accounts_together=3, max_assets=1)
    with serving(make_stream_app(policy)) as host:
        first, second = dial(host), dial(host)
        first.send({"type": "subscribe", "accounts": ["a1", "a2", "a3"]})
        assert first.until("error")["code"] == "accounts_too_many"
        first.send({"type": "subscribe", "prices": ["BTC", "ETH"]})
        assert first.until("error")["code"] == "assets_too_many"
        first.subscribe(accounts=["a1", "a2"])
        second.send({"type": "subscribe", "accounts": ["a3", "a4"]})
        assert second.until("error")["code"] == "accounts_full"
        assert second.subscribe(accounts=["a2", "a3"])["unknown_accounts"] == ["a2", "a3"]


def test_shutdown__closes_with_1012(
    make_stream_app: Callable[..., FastAPI], serving: Callable[..., Any], dial: Callable[..., Any]
) -> None:
    with serving(make_stream_app()) as host:
        client = dial(host)
        client.subscribe(accounts=["acct-1"])
    assert client.closing()[0] == 1012

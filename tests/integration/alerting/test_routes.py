"""The ledger over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Engine, text

from alerting.errors import NotificationNotFoundError
from alerting.events import MarginEvent
from alerting.ledger import AlertEvent, PlannedNotification, notification_id, store
from alerting.notices import Kind
from alerting.routes import router
from infra.runtime.clock import FixedClock
from infra.runtime.cursors import CursorInvalidError
from infra.runtime.errors import BallastError

Make = Callable[..., MarginEvent]
Record = Callable[..., set[str]]
STATUS = {NotificationNotFoundError: 404, CursorInvalidError: 422}


class Client:
    """Asks the application without a server."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, params=params))

    def post(self, path: str, body: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, json=body))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=30) as client:
            return await client.request(method, path, **more)


@pytest.fixture
def client(engine: Engine, clock: FixedClock) -> Client:
    app = FastAPI()
    app.include_router(router)
    app.state.postgres_engine = engine
    app.state.clock = clock

    @app.exception_handler(BallastError)
    def on_error(_request: Request, error: BallastError) -> JSONResponse:
        return JSONResponse({"code": error.code, "message": error.message}, STATUS.get(type(error), 503))

    return Client(app)


def ok(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.json()
    return content


def step(engine: Engine, key: str, state: str, at: datetime, seconds: float, provider_id: str | None = None) -> None:
    """Append a step to a notification's history, as workers do."""
    statement = text(
        "insert into alerting.notification_states (notification_id, state, at, seconds_since_detected,"
        " provider_message_id) values (:key, :state, :at, :seconds, :provider_id)"
    )
    with engine.begin() as connection:
        connection.execute(
            statement, {"key": key, "state": state, "at": at, "seconds": seconds, "provider_id": provider_id}
        )


def change(engine: Engine, sql: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(sql), values)


def listed(client: Client, **query: Any) -> list[str]:
    rows = ok(client.get("/v1/notifications", query))["notifications"]
    return [row["event_id"] for row in rows]


def test_routes__show_a_notification_that_is_under_way(
    client: Client, record: Record, make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    [key] = record(make_event())
    due = clock.now() + timedelta(seconds=3)
    change(engine, "update alerting.pending set attempts = 2, due_at = :due", due=due)
    found = ok(client.get(f"/v1/notifications/{key}"))
    assert (found["attempts"], found["next_attempt_at"]) == (2, due.isoformat().replace("+00:00", "Z"))
    assert (found["kind"], found["event_id"], found["margin_event_id"]) == ("margin", "mev_1", "mev_1")
    assert (found["terminal_state"], found["acknowledged_at"], found["digest_id"]) == (None, None, None)
    assert [each["state"] for each in found["states"]] == ["planned"]
    assert found["event"]["health"] == "29.5"


def test_routes__show_a_notification_that_has_ended_with_its_history(
    client: Client, record: Record, make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    [key] = record(make_event())
    for number, state in enumerate(["sent", "failed", "sent", "accepted", "delivered"], start=1):
        step(engine, key, state, clock.now(), number * 1.25, "SM1" if state == "delivered" else None)
    change(engine, "delete from alerting.pending")
    change(engine, "update alerting.notifications set terminal_state = 'delivered', provider_message_id = 'SM1'")
    found = ok(client.get(f"/v1/notifications/{key}"))
    assert (found["terminal_state"], found["attempts"], found["next_attempt_at"]) == ("delivered", 2, None)
    assert found["provider_message_id"] == "SM1"
    assert [each["state"] for each in found["states"]] == ["planned", "sent", "failed", "sent", "accepted", "delivered"]
    assert found["states"][-1]["seconds_since_detected"] == 6.25
    assert "claim_token" not in found
    assert "fingerprint" not in found


def test_routes__list_newest_first_by_account_within_a_limit(
    client: Client, record: Record, make_event: Make, clock: FixedClock
) -> None:
    for number, account in enumerate(["acc-1", "acc-2", "acc-1", "acc-1"], start=1):
        record(make_event(number, account_id=account))
        clock.advance(timedelta(seconds=1))
    assert listed(client) == ["mev_4", "mev_3", "mev_2", "mev_1"]
    assert listed(client, account_id="acc-1", limit=2) == ["mev_4", "mev_3"]
    assert listed(client, account_id="nobody") == []


def test_routes__filter_by_everything_at_once(
    client: Client, record: Record, make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    record(make_event(1), channel="email", recipient="con_1")
    record(make_event(2, severity="liquidation"), channel="sms", recipient="con_2")
    record(make_event(3), channel="sms", recipient="con_2", suppressed_reason="silenced")
    clock.advance(timedelta(minutes=1))
    record(make_event(4), channel="sms", recipient="con_2")
    change(engine, "update alerting.notifications set terminal_state = 'accepted' where event_id = 'mev_1'")
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({"channel": "email"}, ["mev_1"]),
        ({"severity": "liquidation"}, ["mev_2"]),
        ({"severity": "doom"}, []),
        ({"state": "accepted"}, ["mev_1"]),
        ({"state": "suppressed"}, ["mev_3"]),
        ({"state": "delivered"}, []),
        ({"state": "pending"}, ["mev_4", "mev_2"]),
        ({"since": clock.now().isoformat()}, ["mev_4"]),
        ({"event_id": "mev_2"}, ["mev_2"]),
        ({"margin_event_id": "mev_2"}, ["mev_2"]),
        ({"margin_event_id": "mev_2", "event_id": "mev_1"}, []),
        ({"channel": "sms", "severity": "margin_call", "state": "pending", "account_id": "acc-1"}, ["mev_4"]),
    ]
    for query, expected in cases:
        assert listed(client, **query) == expected, query


def test_routes__pages_miss_nothing_where_many_were_recorded_at_once(
    client: Client, record: Record, make_event: Make, clock: FixedClock
) -> None:
    record(*(make_event(number) for number in range(1, 6)))
    clock.advance(timedelta(seconds=1))
    record(*(make_event(number) for number in range(6, 8)))
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(4):
        page = ok(client.get("/v1/notifications", query))
        seen += [row["event_id"] for row in page["notifications"]]
        query["cursor"] = page["next_cursor"]
        # What comes later is on no further page.
        clock.advance(timedelta(seconds=1))
        record(make_event(100 + len(seen)))
    assert page["next_cursor"] is None
    assert sorted(seen) == [f"mev_{number}" for number in range(1, 8)]
    assert set(seen[:2]) == {"mev_6", "mev_7"}


def test_routes__show_events_of_other_kinds_as_such(client: Client, engine: Engine, clock: FixedClock) -> None:
    event = AlertEvent(
        event_id="cev_1",
        topic="compliance.events.v1",
        kind=Kind.COMPLIANCE,
        rule="screening",
        account_id=None,
        owner="team:compliance",
        severity="critical",
        episode_id="case_1",
        sequence=1,
        payload={"case_id": "case_1"},
        detected_at=clock.now(),
    )
    with engine.begin() as connection:
        store(connection, [event], [PlannedNotification("cev_1", "email", "con_1")], clock.now())
    [found] = ok(client.get("/v1/notifications"))["notifications"]
    assert (found["kind"], found["margin_event_id"], found["account_id"]) == ("compliance", None, None)
    assert (found["severity"], found["event"]) == ("critical", {"case_id": "case_1"})


def test_routes__a_notification_whose_event_is_gone_has_an_unknown_kind(
    client: Client, record: Record, make_event: Make, engine: Engine
) -> None:
    record(make_event())
    change(engine, "delete from alerting.events")
    [found] = ok(client.get("/v1/notifications"))["notifications"]
    assert (found["kind"], found["event"], found["margin_event_id"]) == ("unknown", None, None)


@pytest.mark.parametrize(
    "query",
    [
        *("?limit=0", "?limit=201", "?limit=x", "?account_id=", "?state=ok", "?since=yesterday", "?account_id=a%00b"),
        *("?since=2026-01-31T12:00:00", "?cursor=nonsense", "?cursor=", "?cursor=eyJ2IjoxfQ", "?event_id="),
    ],
)
def test_routes__refuse_bad_queries(client: Client, query: str) -> None:
    assert client.get(f"/v1/notifications{query}").status_code == 422


def test_routes__an_unknown_notification_has_a_code(client: Client) -> None:
    for path in ("ntf_none", "a%00b"):
        response = client.get(f"/v1/notifications/{path}")
        assert (response.status_code, response.json()["code"]) == (404, "notification_not_found")
    response = client.post("/v1/notifications/ntf_none/acknowledge", {"acknowledged_by": "ann"})
    assert (response.status_code, response.json()["code"]) == (404, "notification_not_found")


def test_acknowledgement__is_kept_once_and_ends_the_escalation(
    client: Client, record: Record, make_event: Make, engine: Engine, clock: FixedClock
) -> None:
    record(make_event(1), channel="email", recipient="con_1")
    record(make_event(1), channel="sms", recipient="con_2")
    record(make_event(2), channel="sms", recipient="con_2")
    change(
        engine,
        "insert into alerting.escalations (event_id, account_id, episode_id, due_at)"
        " select event_id, account_id, episode_id, received_at from alerting.events",
    )
    key = notification_id("mev_1", "email", "con_1")
    address = f"/v1/notifications/{key}/acknowledge"
    first = ok(client.post(address, {"acknowledged_by": "ann", "note": "calling the client"}))
    assert (first["acknowledged_at"], first["acknowledged_by"]) == ("2026-01-31T12:00:00Z", "ann")
    clock.advance(timedelta(minutes=5))
    assert ok(client.post(address, {"acknowledged_by": "bob"})) == first
    with engine.connect() as connection:
        rows = connection.execute(text("select * from alerting.acknowledgements")).all()
        closed = connection.execute(
            text("select event_id, closed_at is not null as is_closed, outcome from alerting.escalations order by 1")
        ).all()
    assert [(row.notification_id, row.event_id, row.note) for row in rows] == [(key, "mev_1", "calling the client")]
    assert [tuple(row) for row in closed] == [("mev_1", True, "acknowledged"), ("mev_2", False, None)]
    with engine.connect() as connection:
        kept = connection.execute(text("select action, changed_by, reason, after from alerting.preference_changes"))
        [(action, by, reason, after)] = kept.all()
    assert (action, by, reason) == ("notification_acknowledged", "ann", "calling the client")
    assert after == {"notification_id": key, "event_id": "mev_1"}
    assert ok(client.get(f"/v1/notifications/{key}")) == first


@pytest.mark.parametrize(
    "body", [{}, {"acknowledged_by": ""}, {"acknowledged_by": "a\x00"}, {"acknowledged_by": "a", "x": 1}, []]
)
def test_acknowledgement__by_nobody_is_refused(client: Client, record: Record, make_event: Make, body: Any) -> None:
    [key] = record(make_event())
    assert client.post(f"/v1/notifications/{key}/acknowledge", body).status_code == 422
    assert ok(client.get(f"/v1/notifications/{key}"))["acknowledged_at"] is None


def test_routes__without_an_engine_are_not_ready() -> None:
    app = FastAPI()
    app.include_router(router)
    with pytest.raises(BallastError, match="postgres_engine"):
        Client(app).get("/v1/notifications")

"""The stream on embedded servers and built marts: rows of the warehouse arrive at a client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from alerting.events import MarginEvent, Severity
from alerting.margin.store import write_events
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import SystemClock
from infra.runtime.settings import Settings

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("built_warehouse")]

ACCOUNT = "acct-00001"
LIMIT_S = 60.0


@pytest.fixture
def dial(live_api: tuple[str, str]) -> Callable[[], Any]:
    """Opens a connection to the API process."""
    url, token = live_api
    address = url.replace("http://", "ws://") + "/v1/stream"
    return lambda: connect(address, proxy=None, subprotocols=["ballast.v1", f"bearer.{token}"])  # type: ignore[list-item]


@pytest.fixture
def event(built_warehouse: Settings) -> Iterator[MarginEvent]:
    """A margin event to write, which is gone afterwards: others share the warehouse."""
    now = SystemClock().now()
    made = MarginEvent(
        margin_event_id=f"stream-test-{now.timestamp():.6f}",
        account_id=ACCOUNT,
        severity=Severity.MARGIN_CALL,
        episode_id="stream-test",
        transition_number=1,
        health_pct=Decimal("29.100000000"),
        collateral_usd=Decimal("64550"),
        borrow_usd=Decimal("50000"),
        detected_at=now,
    )
    yield made
    Warehouse(built_warehouse).query(
        "delete from risk.margin_events where margin_event_id = @id", {"id": made.margin_event_id}
    )


def _until(socket: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(socket.recv(timeout=LIMIT_S))
        assert message["type"] != "error", message
        if message["type"] == kind:
            return message


def _subscribe(socket: ClientConnection, resume: str | None = None) -> dict[str, Any]:
    wants = {"type": "subscribe", "accounts": [ACCOUNT], "prices": ["BTC"], "alerts": True, "resume": resume}
    socket.send(json.dumps(wants))
    return _until(socket, "snapshot")


def test_stream__shows_rows_of_the_warehouse_and_resumes(
    built_warehouse: Settings,
    deliver_prices: Callable[..., None],
    dial: Callable[[], Any],
    event: MarginEvent,
) -> None:
    with dial() as socket:
        snapshot = _subscribe(socket)
        assert [each["account_id"] for each in snapshot["accounts"]] == [ACCOUNT]
        price = snapshot["prices"][0]
        assert price["asset"] == "BTC"
        at = SystemClock().now() + timedelta(milliseconds=1)
        deliver_prices(built_warehouse, {"BTC": Decimal(price["price_usd"])}, at)
        update = _until(socket, "price")
        arrived = update["price"]
        assert Decimal(arrived["price_usd"]) == Decimal(price["price_usd"])
        assert arrived["price_id"] != price["price_id"]
        assert arrived["is_simulated"] is True
    write_events(Warehouse(built_warehouse), [event])
    with dial() as socket:
        _subscribe(socket, update["resume"])
        alert = _until(socket, "alert")
    assert alert["margin_event_id"] == event.margin_event_id
    assert alert["alert"] == json.loads(event.to_wire())

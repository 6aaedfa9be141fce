"""The reads of prices: what a caller sees for given rows of `raw`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from infra.runtime.settings import Settings
from ingest.prices import reads
from ingest.prices.feeds import AssetFeeds, ChainlinkFeed, FeedTable, PythFeed, render_feeds

Serve = Callable[..., httpx.Client]

BTC = AssetFeeds(
    chainlink=ChainlinkFeed(
        proxy="0x" + "1" * 40, description="BTC / USD", decimals=8, heartbeat_s=3600, grace_s=600, deviation_bp=50
    ),
    pyth=PythFeed(feed_id="a" * 64, max_age_s=30),
)


@pytest.fixture
def settings(tmp_path: Path, token: str) -> Settings:
    """Settings whose feed table knows BTC and USDC."""
    table = FeedTable(chain_id=1, read_on="2026-01-31", assets={"BTC": BTC, "USDC": BTC})
    path = tmp_path / "feeds.toml"
    path.write_text(render_feeds(table), encoding="utf-8")
    return Settings(api_token=SecretStr(token), price_feeds=path)


@pytest.fixture
def price(now: datetime) -> dict[str, Any]:
    """A good price of BTC, published ten seconds ago on a reading of an hour ago."""
    source = {
        "name": "chainlink",
        "price_usd": "65000.000000001",
        "observed_at": "2026-01-31T11:00:00Z",
        "reference": "round 7",
        "note": "unknown fields are left out",
    }
    return {
        "price_id": "px_1",
        "asset": "BTC",
        "price_usd": Decimal("65000.000000001"),
        "confidence_usd": Decimal("0.000000001"),
        "sources": json.dumps([source]),
        "observed_at": now - timedelta(hours=1),
        "published_at": now - timedelta(seconds=10),
        "quality": "ok",
        "degraded_reason": None,
        "is_simulated": False,
    }


@pytest.fixture
def state(now: datetime) -> dict[str, Any]:
    """A closed source, told a second ago."""
    return {
        "source": "pyth",
        "state": "closed",
        "since": now - timedelta(hours=1),
        "failures": 0,
        "last_error_code": "rate_limited",
        "last_error_reason": "too many requests",
        "last_error_at": now - timedelta(hours=2),
        "last_answered_at": now - timedelta(seconds=1),
        "last_tick_at": now - timedelta(seconds=1),
        "stated_at": now - timedelta(seconds=1),
    }


def test_prices__give_each_digit_and_list_what_is_missing(client: httpx.Client, reader: Any, price: Any) -> None:
    reader.answers[reads.LATEST_PRICES_SQL] = [price]
    btc, usdc = client.get("/v1/prices").json()["prices"]
    assert btc == {
        "asset": "BTC",
        "status": "ok",
        "price_usd": "65000.000000001",
        "confidence_usd": "0.000000001",
        "quality": "ok",
        "reason": None,
        "price_id": "px_1",
        "observed_at": "2026-01-31T11:00:00Z",
        "published_at": "2026-01-31T11:59:50Z",
        "age_seconds": 3600,
        "is_simulated": False,
        "sources": [
            {
                "name": "chainlink",
                "price_usd": "65000.000000001",
                "observed_at": "2026-01-31T11:00:00Z",
                "reference": "round 7",
                "is_simulated": False,
            }
        ],
    }
    assert (usdc["asset"], usdc["status"], usdc["price_usd"]) == ("USDC", "missing", None)
    assert usdc["reason"]


def test_prices__list_an_asset_that_only_arrived(client: httpx.Client, reader: Any, price: Any) -> None:
    reader.answers[reads.LATEST_PRICES_SQL] = [price | {"asset": "DOGE"}]
    assert [each["asset"] for each in client.get("/v1/prices").json()["prices"]] == ["BTC", "DOGE", "USDC"]


@pytest.mark.parametrize(
    ("changes", "ages_s", "status", "reason"),
    [
        ({}, (4200, 10), "ok", None),
        ({}, (4201, 10), "stale", "observed 4201 s ago"),
        ({}, (60, 300), "ok", None),
        ({}, (60, 301), "stale", "published 301 s ago"),
        ({"quality": "degraded", "degraded_reason": "only pyth"}, (60, 10), "degraded", "only pyth"),
        ({"quality": "degraded", "degraded_reason": "only pyth"}, (60, 500), "stale", "published 500 s ago"),
        (
            {"price_usd": None, "quality": "degraded", "degraded_reason": "no usable source"},
            (60, 10),
            "missing",
            "no usable source",
        ),
    ],
)
def test_price__status_follows_from_quality_and_age(
    client: httpx.Client,
    reader: Any,
    price: Any,
    now: datetime,
    changes: dict[str, Any],
    ages_s: tuple[int, int],
    status: str,
    reason: str | None,
) -> None:
    observed, published = (now - timedelta(seconds=age) for age in ages_s)
    row = price | changes | {"observed_at": observed, "published_at": published}
    reader.answers[reads.LATEST_PRICE_SQL] = [row]
    body = client.get("/v1/prices/BTC").json()
    assert body["status"] == status
    assert reason is None if body["reason"] is None else str(reason) in body["reason"]


def test_price__shows_every_reading_that_was_looked_at(
    client: httpx.Client, reader: Any, price: Any, now: datetime
) -> None:
    used = {
        "source": "pyth",
        "tick_id": "tick_1",
        "price_usd": Decimal("1E-18"),
        "confidence_usd": None,
        "observed_at": now,
        "received_at": now,
        "reference": "7",
        "used": True,
        "exclusion_code": None,
        "exclusion_reason": None,
    }
    empty = dict.fromkeys(("tick_id", "price_usd", "observed_at"))
    rejected = used | empty | {"used": False, "exclusion_code": "zero_answer", "exclusion_reason": "the answer is 0"}
    reader.answers |= {reads.LATEST_PRICE_SQL: [price], reads.PRICE_INPUTS_SQL: [used, rejected]}
    first, second = client.get("/v1/prices/BTC").json()["inputs"]
    assert (first["price_usd"], first["used"]) == ("0.000000000000000001", True)
    assert (second["tick_id"], second["exclusion_code"]) == (None, "zero_answer")
    assert dict(reader.asked)[reads.PRICE_INPUTS_SQL]["price_id"] == "px_1"


def test_price__without_any_is_missing_and_an_unknown_asset_is_unknown(client: httpx.Client) -> None:
    body = client.get("/v1/prices/USDC").json()
    assert (body["status"], body["price_usd"], body["inputs"]) == ("missing", None, [])
    for path in ("/v1/prices/NONE", "/v1/prices/NONE/history"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "asset_unknown")
    assert client.get("/v1/prices/btc").status_code == 422


def test_history__pages_without_gap_or_repeat(client: httpx.Client, reader: Any, price: Any, now: datetime) -> None:
    rows = [price | {"price_id": f"px_{n}", "published_at": now - timedelta(seconds=n)} for n in range(3)]
    reader.answers[reads.PRICE_HISTORY_SQL] = rows
    page = client.get("/v1/prices/BTC/history", params={"limit": 2}).json()
    assert [each["price_id"] for each in page["prices"]] == ["px_0", "px_1"]
    asked = dict(reader.asked)[reads.PRICE_HISTORY_SQL]
    assert (asked["max_rows"], asked["price_id"], asked["published_to"]) == (3, "", now)
    assert asked["published_from"] == now - timedelta(days=1)
    reader.asked.clear()
    reader.answers[reads.PRICE_HISTORY_SQL] = rows[2:]
    last = client.get("/v1/prices/BTC/history", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    asked = dict(reader.asked)[reads.PRICE_HISTORY_SQL]
    assert (asked["published_to"], asked["price_id"]) == (now - timedelta(seconds=1), "px_1")
    assert [each["price_id"] for each in last["prices"]] == ["px_2"]
    assert last["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"from": "2026-01-31T12:00:01Z"}, "request_invalid"),
        ({"from": "2025-12-31T11:59:59Z"}, "request_invalid"),
        ({"from": "2026-01-31T11:00:00"}, "request_invalid"),
        ({"limit": "1001"}, "request_invalid"),
        ({"cursor": "nonsense"}, "cursor_invalid"),
        ({"cursor": "\u00e9"}, "cursor_invalid"),
        ({"cursor": "e30"}, "cursor_invalid"),
    ],
)
def test_history__refuses_a_range_or_cursor_that_it_cannot_read(
    client: httpx.Client, query: dict[str, str], code: str
) -> None:
    answer = client.get("/v1/prices/BTC/history", params=query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


@pytest.mark.parametrize(("age_s", "state_now"), [(45, "closed"), (46, "unknown")])
def test_sources__a_state_that_is_not_repeated_is_unknown(
    client: httpx.Client, reader: Any, state: Any, now: datetime, age_s: int, state_now: str
) -> None:
    reader.answers[reads.SOURCE_STATES_SQL] = [state | {"stated_at": now - timedelta(seconds=age_s)}]
    chainlink, pyth = client.get("/v1/oracle/sources").json()["sources"]
    assert (pyth["source"], pyth["state"], pyth["last_known_state"], pyth["age_seconds"]) == (
        *("pyth", state_now, "closed"),
        age_s,
    )
    assert (pyth["since"] is None) is (state_now == "unknown")
    assert pyth["last_error_code"] == "rate_limited"
    assert (chainlink["source"], chainlink["state"], chainlink["age_seconds"]) == ("chainlink", "unknown", None)


@pytest.mark.parametrize("path", ["/v1/prices", "/v1/prices/BTC", "/v1/prices/BTC/history", "/v1/oracle/sources"])
def test_price_routes__want_the_token(make_app: Callable[..., FastAPI], serve: Serve, path: str) -> None:
    assert serve(make_app(), token=None).get(path).status_code == 401


def test_prices__say_that_the_feed_table_cannot_be_used(
    make_app: Callable[..., FastAPI], serve: Serve, settings: Settings
) -> None:
    assert settings.price_feeds is not None
    settings.price_feeds.write_text("chain_id = 'x'", encoding="utf-8")
    answer = serve(make_app()).get("/v1/prices")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "invalid_feed_table")
    assert str(settings.price_feeds) not in answer.text

"""Wire forms of one valid message of each topic, to be changed field by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.runtime.pubsub import Received

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

PRICE = {
    "schema_version": 1,
    "price_id": "px_1",
    "asset": "BTC",
    "price_usd": "65000.5",
    "confidence_usd": "12.25",
    "sources": [
        {"name": "chainlink", "price_usd": "65000.5", "observed_at": "2026-01-31T11:59:58Z", "reference": "round 7"}
    ],
    "observed_at": "2026-01-31T11:59:58Z",
    "published_at": "2026-01-31T11:59:59Z",
    "quality": "ok",
}
SETTLEMENT = {
    "schema_version": 1,
    "event_id": "ev_1",
    "account_id": "acct-0001",
    "asset": "BTC",
    "side": "collateral",
    "kind": "deposit",
    "quantity": "1.5",
    "occurred_at": "2026-01-31T11:59:58Z",
    "chain": "bitcoin",
    "tx_hash": "0xabc",
    "counterparty_address": "bc1q",
    "counterparty_country": "DE",
}
PRICE_TICKS = {
    "schema_version": 1,
    "price_id": "px_1",
    "asset": "BTC",
    "published_at": "2026-01-31T11:59:59Z",
    "inputs": [
        {
            "tick_id": "tick_1",
            "source": "pyth",
            "price_usd": "65000.000000000000000001",
            "confidence_usd": "1e-18",
            "observed_at": "2026-01-31T11:59:58Z",
            "received_at": "2026-01-31T11:59:58.5Z",
            "reference": "7",
            "used": True,
        },
        {
            "tick_id": "tick_2",
            "source": "chainlink",
            "price_usd": "64000",
            "observed_at": "2026-01-31T18:59:58Z",
            "received_at": "2026-01-31T11:59:58Z",
            "reference": "8",
            "used": False,
            "exclusion_code": "from_future",
            "exclusion_reason": "dated 25200 s after our clock",
        },
    ],
    "rejections": [
        {
            "source": "chainlink",
            "code": "zero_answer",
            "reason": "the answer is 0",
            "received_at": "2026-01-31T11:59:50Z",
            "reference": "9",
        }
    ],
}
ORACLE_SOURCE = {
    "schema_version": 1,
    "state_id": "src_1",
    "source": "pyth",
    "state": "open",
    "since": "2026-01-31T11:58:00Z",
    "failures": 5,
    "last_error_code": "rate_limited",
    "last_error_reason": "too many requests",
    "last_error_at": "2026-01-31T11:59:00Z",
    "last_answered_at": "2026-01-31T11:57:00Z",
    "last_tick_at": None,
    "stated_at": "2026-01-31T11:59:59Z",
}
DROPPED = object()


def _wire(base: dict[str, Any], changes: dict[str, Any]) -> bytes:
    content = {name: value for name, value in (base | changes).items() if value is not DROPPED}
    return json.dumps(content).encode()


@pytest.fixture
def now() -> datetime:
    """Noon, when all tests of this folder happen."""
    return NOW


@pytest.fixture
def dropped() -> object:
    """Given as a field's value: the field is left out."""
    return DROPPED


@pytest.fixture
def price_json() -> Callable[..., bytes]:
    """A valid price with some fields changed."""
    return lambda **changes: _wire(PRICE, changes)


@pytest.fixture
def price_ticks_json() -> Callable[..., bytes]:
    """A valid trace of a price with a used, an unused and a rejected reading, with some fields changed."""
    return lambda **changes: _wire(PRICE_TICKS, changes)


@pytest.fixture
def oracle_source_json() -> Callable[..., bytes]:
    """A valid state of a source with some fields changed."""
    return lambda **changes: _wire(ORACLE_SOURCE, changes)


@pytest.fixture
def settlement_json() -> Callable[..., bytes]:
    """A valid settlement with some fields changed."""
    return lambda **changes: _wire(SETTLEMENT, changes)


@pytest.fixture
def received() -> Callable[..., Received]:
    """A delivery of some bytes."""
    return lambda data, message_id="m1": Received(data, {}, message_id, NOW, "")

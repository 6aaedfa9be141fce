"""What compliance does where something is missing or fails: an unknown amount, no key ring, a fault of its own."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError
from sqlalchemy import create_engine

from api.app import create_app
from compliance.api.dependencies import refuse_future, refuse_unborn
from compliance.api.schemas import Country, Name, Why, countries
from compliance.api.services import Services
from compliance.api.transaction_schemas import SettlementInput
from compliance.api.valuation import LatestPrices
from compliance.errors import ComplianceInputError, ComplianceNotReadyError
from compliance.model import Direction
from infra.runtime.clock import FixedClock
from infra.runtime.errors import SettingsError, WarehouseError
from infra.runtime.sealing import UnsealError
from infra.runtime.settings import Settings
from ingest.prices.feeds import PINNED_FEEDS, load_feeds

FEW = examples(max_examples=30, deadline=None)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PRICE: dict[str, Any] = {
    "price_id": "px-1",
    "asset": "BTC",
    "price_usd": Decimal("60000.1"),
    "confidence_usd": None,
    "sources": "[]",
    "observed_at": NOW,
    "published_at": NOW,
    "quality": "ok",
    "degraded_reason": None,
    "is_simulated": True,
}


# Controls, formats, surrogates, line and paragraph separators.
REFUSED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Rows:
    """Answers with rows, or fails."""

    def __init__(self, *rows: dict[str, Any], error: Exception | None = None) -> None:
        self.rows, self.error, self.asked = list(rows), error, 0

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.rows


def prices(rows: Rows, clock: FixedClock | None = None) -> LatestPrices:
    return LatestPrices(rows, clock or FixedClock(NOW), lambda: load_feeds(PINNED_FEEDS))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Decimal("60000.1")),
        ({"quality": "degraded", "degraded_reason": "one source"}, Decimal("60000.1")),
        ({"published_at": NOW - timedelta(minutes=6)}, None),
        ({"observed_at": NOW - timedelta(days=1)}, None),
        ({"price_usd": None, "quality": "degraded", "degraded_reason": "no source"}, None),
        ({"asset": "ETH"}, None),
    ],
)
def test_price__is_used_only_where_it_may_be_relied_upon(change: dict[str, Any], expected: Decimal | None) -> None:
    assert prices(Rows(PRICE | change)).price_usd("BTC") == expected


def test_price__that_cannot_be_read_is_unknown_and_asked_for_again() -> None:
    rows, clock = Rows(PRICE, error=WarehouseError("away")), FixedClock(NOW)
    latest = prices(rows, clock)
    assert latest.price_usd("BTC") is None
    rows.error = None
    clock.advance(timedelta(seconds=2))
    assert latest.price_usd("BTC") == Decimal("60000.1")
    assert [latest.price_usd("BTC"), latest.price_usd("ETH"), rows.asked] == [Decimal("60000.1"), None, 2]
    clock.advance(timedelta(seconds=-60))
    latest.price_usd("BTC")
    assert rows.asked == 3, "a clock that was set back keeps no price"


SETTLEMENT: dict[str, Any] = {
    "event_id": "evt-1",
    "account_id": "acct-0001",
    "asset": "BTC",
    "quantity": "0.5",
    "occurred_at": NOW,
    "chain": "bitcoin",
    "tx_hash": "aa",
    "has_travel_rule_data": True,
}


@pytest.mark.parametrize(
    ("side", "kind", "needs_counterparty", "direction"),
    [
        ("collateral", "deposit", True, Direction.IN),
        ("collateral", "withdrawal", True, Direction.OUT),
        ("borrow", "draw", True, Direction.OUT),
        ("borrow", "repayment", True, Direction.IN),
        ("collateral", "seizure", False, Direction.OUT),
        ("collateral", "interest", False, Direction.IN),
        ("borrow", "interest", False, Direction.OUT),
    ],
)
def test_settlement__names_its_counterparty_where_value_moves_between_two(
    side: str, kind: str, needs_counterparty: bool, direction: Direction
) -> None:
    given_fields = SETTLEMENT | {"side": side, "kind": kind}
    if needs_counterparty:
        with pytest.raises(ValidationError, match="counterparty_address"):
            SettlementInput(**given_fields)
        given_fields |= {"counterparty_address": "bc1qsomebody"}
    settlement = SettlementInput(**given_fields)
    transaction = settlement.transaction()
    assert (transaction.direction, transaction.amount_usd) == (direction, None)
    assert settlement.event().unknown_fields() is None


def test_countries__are_those_in_use() -> None:
    assert {"DE", "US", "HK", "XK", "KP", "GB", "TW", "PS"} <= countries()
    assert countries().isdisjoint({"XX", "ZZ", "EU", "UN", "SU", "AN", "UK", "YU"})
    assert len(countries()) > 240


@pytest.mark.parametrize("kind", [Name, Why])
@FEW
@given(text=st.text(max_size=20))
def test_text__is_kept_stripped_or_refused(kind: Any, text: str) -> None:
    try:
        kept = TypeAdapter(kind).validate_python(text)
    except ValidationError:
        assert not text.strip() or any(unicodedata.category(each) in REFUSED for each in text)
    else:
        assert kept == text.strip()
        assert kept.encode()
        assert not any("\u202a" <= each <= "\u202e" or unicodedata.category(each) == "Cs" for each in kept)


@FEW
@given(st.text(max_size=3))
def test_country__is_in_use_or_refused(text: str) -> None:
    with contextlib.suppress(ValidationError):
        assert TypeAdapter(Country).validate_python(text) in countries()


def test_future__is_two_minutes_away() -> None:
    refuse_future("occurred_at", NOW + timedelta(minutes=2), NOW)
    with pytest.raises(ComplianceInputError, match="occurred_at"):
        refuse_future("occurred_at", NOW + timedelta(minutes=2, seconds=1), NOW)
    refuse_unborn(date(2026, 1, 31), NOW)
    refuse_unborn(None, NOW)
    with pytest.raises(ComplianceInputError, match="birth_date"):
        refuse_unborn(date(2026, 2, 1), NOW)


def test_services__without_a_usable_key_ring_are_not_ready(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open.json"
    open_to_all.write_text("{}")
    open_to_all.chmod(0o644)
    engine = create_engine("sqlite://")
    for settings in (
        Settings(),
        Settings(pii_key_file=tmp_path / "none.json"),
        Settings(pii_key_file=open_to_all),
        Settings(pii_kms_key="projects/p/locations/l/keyRings/r/cryptoKeys/k"),
    ):
        with pytest.raises(ComplianceNotReadyError, match="key ring") as caught:
            _ = Services(settings, engine, FixedClock(NOW)).envelope
        assert str(tmp_path) not in caught.value.message
    engine.dispose()


def test_services__that_cannot_be_warmed_are_left_for_the_first_who_asks() -> None:
    engine = create_engine("sqlite://")
    with structlog.testing.capture_logs() as lines:
        Services(Settings(), engine, FixedClock(NOW)).warm()
    engine.dispose()
    assert [line["event"] for line in lines] == ["screening_not_warmed"]


@pytest.mark.parametrize(
    ("error", "status", "code", "logged"),
    [
        (RuntimeError("Erika Musterfrau, born 1980-02-29"), 500, "internal_error", "request_failed"),
        (SettingsError("the key file is gone"), 503, "compliance_not_ready", "key_ring_unusable"),
        (UnsealError("the ring lacks key k1"), 503, "compliance_not_ready", "key_ring_unusable"),
    ],
)
def test_fault__at_compliance_is_answered_and_logged_without_what_it_was_about(
    error: Exception, status: int, code: str, logged: str
) -> None:
    token = "token-of-otto-0123456789"
    settings = Settings(compliance_users=SecretStr(f"otto:officer:{token}"))
    engine = create_engine("sqlite://")
    app = create_app(settings, warehouse=Rows(), engine=engine, clock=FixedClock(NOW))

    async def ask() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.get("/v1/compliance/fault", headers=headers)

    @app.get("/v1/compliance/fault")
    def fault() -> None:
        raise error

    with anyio.from_thread.start_blocking_portal() as portal, structlog.testing.capture_logs() as lines:
        response = portal.call(ask)
    engine.dispose()
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    failed = next(line for line in lines if line["event"] == logged)
    assert failed["reason"] == ("RuntimeError" if status == 500 else str(error))
    assert status == 503 or any("fault" in frame for frame in failed["frames"])
    assert "Erika" not in response.text + str(lines)

"""The margin event: what is read, what is refused, what goes over the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from alerting.errors import EventInvalidError, EventVersionError
from alerting.events import LiquidationPrice, MarginEvent, Severity, parse_margin_event

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def event(**changes: Any) -> MarginEvent:
    values = {
        "margin_event_id": "mev_1",
        "account_id": "acc-1",
        "severity": Severity.MARGIN_CALL,
        "episode_id": "mep_1",
        "transition_number": 1,
        "health_pct": Decimal("29.5"),
        "collateral_usd": Decimal("64750.00"),
        "borrow_usd": Decimal("50000"),
        "liquidation_prices": (
            LiquidationPrice(asset="BTC", threshold_pct=Decimal(15), price_usd=Decimal("57500")),
            LiquidationPrice(asset="USDC", threshold_pct=Decimal(15), reason="no positive price exists"),
        ),
        "threshold_pct": Decimal(30),
        "detected_at": AT,
    }
    return MarginEvent.model_validate(values | changes)


def wire(**changes: Any) -> bytes:
    return json.dumps(json.loads(event().to_wire()) | changes).encode()


def test_to_wire__uses_contract_names_and_string_decimals() -> None:
    content = json.loads(event().to_wire())
    assert (content["schema_version"], content["health"], content["threshold"]) == (1, "29.5", "30")
    assert (content["collateral_usd"], content["borrow_usd"]) == ("64750.00", "50000")
    assert content["liquidation_prices"][0] == {
        "asset": "BTC",
        "threshold_pct": "15",
        "price_usd": "57500",
        "reason": None,
    }
    assert content["detected_at"] == "2026-01-31T12:00:00Z"
    assert "health_pct" not in content
    assert "threshold_pct" not in content


def test_to_wire__writes_decimals_without_exponent() -> None:
    content = json.loads(event(borrow_usd=Decimal("1E+6"), health_pct=Decimal("1E-8")).to_wire())
    assert (content["borrow_usd"], content["health"]) == ("1000000", "0.00000001")


def test_parse__gives_back_what_was_written() -> None:
    assert parse_margin_event(event().to_wire()) == event()


def test_parse__keeps_unknown_fields() -> None:
    parsed = parse_margin_event(wire(desk="ny", nested={"ratio": 1.25}))
    assert json.loads(parsed.to_wire())["desk"] == "ny"
    assert json.loads(parsed.to_wire())["nested"] == {"ratio": "1.25"}


def test_parse__reads_number_decimals_exactly() -> None:
    data = wire().replace(b'"50000"', b"0.1234567890123456789012")
    assert parse_margin_event(data).borrow_usd == Decimal("0.1234567890123456789012")


def test_parse__turns_times_into_utc() -> None:
    local = AT.astimezone(timezone(timedelta(hours=-5)))
    parsed = parse_margin_event(wire(detected_at=local.isoformat()))
    assert (parsed.detected_at, parsed.detected_at.utcoffset()) == (AT, timedelta(0))


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.0])
def test_parse__refuses_other_versions(version: object) -> None:
    with pytest.raises(EventVersionError, match="schema_version") as raised:
        parse_margin_event(wire(schema_version=version))
    assert raised.value.code == "margin_event_version_unknown"


def test_parse__refuses_a_missing_version() -> None:
    content = json.loads(wire())
    del content["schema_version"]
    with pytest.raises(EventVersionError):
        parse_margin_event(json.dumps(content).encode())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(b"\xff\xfe", id="not utf-8"),
        pytest.param(b"[" * 200_000, id="too deep"),
        pytest.param(wire(severity="panic"), id="severity"),
        pytest.param(wire(transition_number=0), id="number"),
        pytest.param(wire(account_id=""), id="account"),
        pytest.param(wire(detected_at="2026-01-31T12:00:00"), id="naive time"),
        pytest.param(wire(borrow_usd="NaN"), id="not finite"),
        pytest.param(wire().replace(b'"50000"', b"NaN"), id="constant"),
        pytest.param(wire(note="\ud800"), id="lone surrogate"),
    ],
)
def test_parse__refuses_what_is_no_event(data: bytes) -> None:
    with pytest.raises(EventInvalidError) as raised:
        parse_margin_event(data)
    assert raised.value.code == "margin_event_invalid"


def test_event__is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        event().severity = Severity.RECOVERED  # type: ignore[misc]

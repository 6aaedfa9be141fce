"""What the two contracts accept, what they refuse, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import FromFutureError, InvalidMessageError, UnknownVersionError
from ingest.messages import (
    ALLOWED_SKEW,
    DECREASES,
    KINDS_OF_SIDE,
    SIMULATED,
    Kind,
    OracleSourceMessage,
    PriceMessage,
    PriceSource,
    PriceTicksMessage,
    Quality,
    SettlementEvent,
    Side,
    parse_message,
    price_id,
)

Make = Callable[..., bytes]
SECRET = "SECRET-9"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("quantity", 1.5, "loses digits"),
        ("quantity", "-1", "greater than 0"),
        ("quantity", "0", "greater than 0"),
        ("quantity", "0.0000000000000000001", "18 decimal places"),
        ("quantity", "100000000000000000000", "less than"),
        ("quantity", "NaN", "plain decimal"),
        ("quantity", "Infinity", "plain decimal"),
        ("quantity", "1_000", "plain decimal"),
        ("quantity", "\uff11", "plain decimal"),
        ("quantity", " 1", "plain decimal"),
        ("quantity", "", "plain decimal"),
        ("quantity", True, "Decimal"),
        ("quantity", None, "Decimal"),
        ("occurred_at", "2026-01-31T11:00:00", "timezone"),
        ("occurred_at", "2026-01-31", "timezone"),
        ("occurred_at", SECRET, "datetime"),
        ("side", SECRET, "'collateral' or 'borrow'"),
        ("kind", SECRET, "deposit"),
        ("kind", "draw", "does not exist on side collateral"),
        ("asset", "btc", "pattern"),
        ("asset", "B", "pattern"),
        ("asset", "BTC\n", "pattern"),
        ("account_id", "a b", "pattern"),
        ("account_id", "", "pattern"),
        ("account_id", "a" * 65, "pattern"),
        ("event_id", "x" * 129, "pattern"),
        ("chain", "", "at least 1"),
        ("tx_hash", "\ud800", "unicode"),
        ("counterparty_country", "de", "pattern"),
    ],
)
def test_settlement__refuses_a_bad_field_by_name(
    settlement_json: Make, now: datetime, field: str, value: object, told: str
) -> None:
    with pytest.raises(InvalidMessageError) as refused:
        parse_message(SettlementEvent, settlement_json(**{field: value}), now)
    message = refused.value.message
    assert told in message
    assert field in message
    assert SECRET not in message
    assert refused.value.code == "invalid_message"


@pytest.mark.parametrize("field", ["event_id", "account_id", "asset", "side", "kind", "quantity", "occurred_at"])
def test_settlement__names_a_missing_field(settlement_json: Make, now: datetime, dropped: object, field: str) -> None:
    with pytest.raises(InvalidMessageError, match=f"{field}: Field required"):
        parse_message(SettlementEvent, settlement_json(**{field: dropped}), now)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("kind", list(Kind))
def test_settlement__takes_exactly_the_kinds_of_its_side(
    settlement_json: Make, now: datetime, side: Side, kind: Kind
) -> None:
    data = settlement_json(side=side, kind=kind)
    if kind in KINDS_OF_SIDE[side]:
        sign = -1 if kind in DECREASES else 1
        assert parse_message(SettlementEvent, data, now).signed_quantity == sign * Decimal("1.5")
    else:
        with pytest.raises(InvalidMessageError, match="does not exist on side"):
            parse_message(SettlementEvent, data, now)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0.000000000000000001", Decimal("1E-18")),
        ("1e-18", Decimal("1E-18")),
        ("99999999999999999999.999999999999999999", Decimal("99999999999999999999.999999999999999999")),
        ("99999999999999999999", Decimal(10) ** 20 - 1),
        ("0.1", Decimal("0.1")),
    ],
)
def test_settlement__keeps_extreme_quantities_exactly(
    settlement_json: Make, now: datetime, text: str, kept: Decimal
) -> None:
    event = parse_message(SettlementEvent, settlement_json(quantity=text), now)
    assert event.quantity == kept
    assert parse_message(SettlementEvent, event.to_json(), now).quantity == kept


def test_settlement__takes_a_whole_json_number(settlement_json: Make, now: datetime) -> None:
    assert parse_message(SettlementEvent, settlement_json(quantity=3), now).quantity == 3


@pytest.mark.parametrize("version", [2, 0, "1", None, True, 1.0, [1]])
def test_version__other_than_one_is_refused_with_its_own_code(
    settlement_json: Make, now: datetime, version: object
) -> None:
    with pytest.raises(UnknownVersionError) as refused:
        parse_message(SettlementEvent, settlement_json(schema_version=version), now)
    assert refused.value.code == "unknown_version"


def test_version__missing_is_refused(settlement_json: Make, now: datetime, dropped: object) -> None:
    with pytest.raises(UnknownVersionError):
        parse_message(SettlementEvent, settlement_json(schema_version=dropped), now)


def test_version__is_told_in_few_characters(settlement_json: Make, now: datetime) -> None:
    with pytest.raises(UnknownVersionError) as refused:
        parse_message(SettlementEvent, settlement_json(schema_version="x" * 10_000), now)
    assert len(refused.value.message) < 120


def test_unknown_fields__are_kept(settlement_json: Make, now: datetime) -> None:
    event = parse_message(SettlementEvent, settlement_json(memo={"b": 1}, fee="0.10"), now)
    assert json.loads(event.unknown_fields() or "") == {"memo": {"b": 1}, "fee": "0.10"}
    assert json.loads(event.to_json())["memo"] == {"b": 1}


def test_unknown_fields__are_none_where_there_are_none(settlement_json: Make, now: datetime) -> None:
    assert parse_message(SettlementEvent, settlement_json(), now).unknown_fields() is None


def test_future__beyond_the_skew_is_refused(settlement_json: Make, price_json: Make, now: datetime) -> None:
    late = (now + ALLOWED_SKEW + timedelta(seconds=1)).isoformat()
    with pytest.raises(FromFutureError, match="occurred_at") as refused:
        parse_message(SettlementEvent, settlement_json(occurred_at=late), now)
    assert refused.value.code == "from_future"
    with pytest.raises(FromFutureError, match="observed_at"):
        parse_message(PriceMessage, price_json(observed_at=late), now)


def test_future__within_the_skew_is_taken(settlement_json: Make, now: datetime) -> None:
    at = now + ALLOWED_SKEW
    assert parse_message(SettlementEvent, settlement_json(occurred_at=at.isoformat()), now).occurred_at == at


def test_times__are_turned_into_utc(settlement_json: Make, now: datetime) -> None:
    event = parse_message(SettlementEvent, settlement_json(occurred_at="2026-01-31T12:00:00+05:30"), now)
    assert event.occurred_at.isoformat() == "2026-01-31T06:30:00+00:00"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe\xfd",
        b"[]",
        b'"text"',
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
        b'{"schema_version": 1, "x": NaN}',
    ],
    ids=["empty", "cut", "bytes", "list", "text", "null", "deep list", "deep object", "long number", "NaN"],
)
def test_parse__what_is_no_json_object_is_refused(data: bytes, now: datetime) -> None:
    with pytest.raises(InvalidMessageError, match=r"not JSON|not a JSON object"):
        parse_message(SettlementEvent, data, now)


def test_parse__refuses_half_a_surrogate_pair_in_an_unknown_field(
    settlement_json: Make, price_json: Make, now: datetime
) -> None:
    source = {"name": "a", "price_usd": "1", "observed_at": "2026-01-31T11:00:00Z", "reference": "r", "x": "\ud800"}
    with pytest.raises(InvalidMessageError, match="surrogate"):
        parse_message(SettlementEvent, settlement_json(memo="\ud800"), now)
    with pytest.raises(InvalidMessageError, match="surrogate"):
        parse_message(PriceMessage, price_json(sources=[source]), now)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"price_usd": 65000.5}, "loses digits"),
        ({"price_usd": "0"}, "greater than 0"),
        ({"price_usd": "-1"}, "greater than 0"),
        ({"price_usd": "0.0000000001"}, "9 decimal places"),
        ({"price_usd": "1000000000000000"}, "less than"),
        ({"price_usd": None}, "quality ok needs a price_usd"),
        ({"quality": "degraded"}, "needs a degraded_reason"),
        ({"quality": "degraded", "degraded_reason": ""}, "needs a degraded_reason"),
        ({"confidence_usd": "-0.1"}, "greater than or equal to 0"),
        ({"confidence_usd": 0.1}, "loses digits"),
        ({"sources": []}, "at least 1"),
        ({"asset": "eth"}, "pattern"),
        ({"observed_at": "2026-01-31T11:00:00"}, "timezone"),
        (
            {"sources": [{"name": "x", "price_usd": 1.5, "observed_at": "2026-01-31T11:00:00Z", "reference": ""}]},
            "loses",
        ),
    ],
)
def test_price__refuses(price_json: Make, now: datetime, changes: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidMessageError, match=told):
        parse_message(PriceMessage, price_json(**changes), now)


def test_price__may_be_missing_where_the_reason_is_told(price_json: Make, now: datetime) -> None:
    price = parse_message(
        PriceMessage, price_json(price_usd=None, quality="degraded", degraded_reason="no source answered"), now
    )
    assert price.price_usd is None
    assert price.quality is Quality.DEGRADED


@pytest.mark.parametrize(("name", "is_simulated"), [(SIMULATED, True), ("pyth", False)])
def test_price__says_whether_it_was_made_up(price_json: Make, now: datetime, name: str, is_simulated: bool) -> None:
    source = {"name": name, "price_usd": "1", "observed_at": "2026-01-31T11:00:00Z", "reference": "r"}
    assert parse_message(PriceMessage, price_json(sources=[source]), now).is_simulated is is_simulated


def test_price_id__depends_on_every_input(now: datetime) -> None:
    ids = {
        price_id("BTC", now, Decimal(1), ["r1"]),
        price_id("ETH", now, Decimal(1), ["r1"]),
        price_id("BTC", now + timedelta(seconds=1), Decimal(1), ["r1"]),
        price_id("BTC", now, Decimal(2), ["r1"]),
        price_id("BTC", now, None, ["r1"]),
        price_id("BTC", now, Decimal(1), ["r1", "r2"]),
    }
    assert len(ids) == 6
    assert price_id("BTC", now, Decimal(1), ["r1"]) in ids


_quantities = st.decimals(min_value="1e-18", max_value="99999999999999999999", places=18, allow_nan=False)
_prices = st.decimals(min_value="1e-9", max_value="999999999999999", places=9, allow_nan=False)
_FIRST, _LAST = datetime(2020, 1, 1), datetime(2026, 1, 31)  # noqa: DTZ001 -- hypothesis adds the zone
_times = st.datetimes(min_value=_FIRST, max_value=_LAST, timezones=st.timezones())
_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=32)


@given(
    side_and_kind=st.sampled_from([(side, kind) for side in Side for kind in sorted(KINDS_OF_SIDE[side])]),
    quantity=_quantities,
    occurred_at=_times,
    chain=_texts,
    country=st.none() | st.from_regex(r"\A[A-Z]{2}\Z"),
    extra=st.dictionaries(
        _texts.map(lambda name: f"x_{name}"), st.none() | st.integers(-(2**53), 2**53) | _texts, max_size=3
    ),
)
def test_settlement__survives_the_wire(
    side_and_kind: tuple[Side, Kind],
    quantity: Decimal,
    occurred_at: datetime,
    chain: str,
    country: str | None,
    extra: dict[str, object],
) -> None:
    event = SettlementEvent.model_validate(
        {
            "event_id": "ev_1",
            "account_id": "acct-1",
            "asset": "ETH",
            "side": side_and_kind[0],
            "kind": side_and_kind[1],
            "quantity": quantity,
            "occurred_at": occurred_at,
            "chain": chain,
            "tx_hash": "0x",
            "counterparty_country": country,
            **extra,
        }
    )
    back = parse_message(SettlementEvent, event.to_json(), datetime(2026, 2, 2, tzinfo=UTC))
    assert back == event
    assert back.quantity.compare_total(event.quantity) == 0


@given(price_usd=_prices, confidence=st.none() | _prices, observed_at=_times, reference=_texts)
def test_price__survives_the_wire(
    price_usd: Decimal, confidence: Decimal | None, observed_at: datetime, reference: str
) -> None:
    price = PriceMessage(
        price_id="px_1",
        asset="ETH",
        price_usd=price_usd,
        confidence_usd=confidence,
        sources=[PriceSource(name="pyth", price_usd=price_usd, observed_at=observed_at, reference=reference)],
        observed_at=observed_at,
        published_at=observed_at,
    )
    assert parse_message(PriceMessage, price.to_json(), datetime(2026, 2, 2, tzinfo=UTC)) == price


def test_price__of_a_source_that_serves_made_up_prices_is_simulated(price_json: Make, now: datetime) -> None:
    source = {"name": "pyth", "price_usd": "1", "observed_at": "2026-01-31T11:59:58Z", "reference": "slot 7"}
    for told, expected in (({}, False), ({"is_simulated": False}, False), ({"is_simulated": True}, True)):
        assert parse_message(PriceMessage, price_json(sources=[source | told]), now).is_simulated is expected


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"used": True, "exclusion_code": "stale"}, "exclusion_code stands where"),
        ({"used": False, "exclusion_code": None}, "exclusion_code stands where"),
        ({"price_usd": 1.5}, "loses digits"),
        ({"price_usd": "0"}, "greater than 0"),
        ({"price_usd": "1e-39"}, "38 decimal places"),
    ],
)
def test_price_ticks__refuse_an_input_that_contradicts_itself(
    price_ticks_json: Make, now: datetime, changes: dict[str, object], told: str
) -> None:
    [used, *_] = json.loads(price_ticks_json())["inputs"]
    with pytest.raises(InvalidMessageError, match=told):
        parse_message(PriceTicksMessage, price_ticks_json(inputs=[used | changes]), now)


def test_price_ticks__may_trace_a_reading_from_the_future(price_ticks_json: Make, now: datetime) -> None:
    assert parse_message(PriceTicksMessage, price_ticks_json(), now).inputs[1].observed_at > now
    with pytest.raises(FromFutureError, match="published_at"):
        parse_message(PriceTicksMessage, price_ticks_json(published_at="2026-01-31T12:03:00Z"), now)


def test_oracle_source__knows_three_states(oracle_source_json: Make, now: datetime) -> None:
    with pytest.raises(InvalidMessageError, match="state: Input should be 'closed', 'open' or 'half_open'"):
        parse_message(OracleSourceMessage, oracle_source_json(state="unknown"), now)

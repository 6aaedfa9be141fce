"""The local Hermes follows the contract of the real one, asked without a network."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.embedded.errors import EmbeddedError
from infra.embedded.hermes.app import create_app
from infra.embedded.hermes.board import Board
from infra.embedded.hermes.failures import Failures
from infra.embedded.hermes.history import History
from infra.embedded.hermes.hub import Hub
from infra.embedded.hermes.models import FailureRequest, PriceRequest
from infra.runtime.clock import FixedClock
from infra.runtime.settings import Settings
from ingest.closes import Close
from ingest.prices.pyth.accumulator import decode_update

NOW = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
FEEDS = {"BTC": "e6" * 32, "ETH": "ff" * 32, "NEW": "aa" * 32}
FIRST = {"BTC": Decimal(65000), "ETH": Decimal("2400.5"), "XRP": Decimal(1)}
LATEST = "/v2/updates/price/latest"
Call = Callable[..., httpx.Response]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def hub(tmp_path: Path, clock: FixedClock) -> Hub:
    return Hub(Board(tmp_path, FEEDS, FIRST, clock), Failures(lambda: clock.now().timestamp()), 1.0)


@pytest.fixture
def call(hub: Hub, tmp_path: Path) -> Call:
    settings = Settings(state_dir=tmp_path, market_token=SecretStr("market"), pyth_token=SecretStr("pyth"))
    closes = [Close("BTC", date(2026, 10, 3), Decimal("1.5"), "x"), Close("BTC", date(2026, 10, 4), Decimal(2), "x")]
    app = create_app(settings, hub, History(closes))

    def send(method: str, path: str, token: str | None = "market", **more: Any) -> httpx.Response:
        async def request() -> httpx.Response:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hermes") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(request())

    return send


def test_health__is_open(call: Call) -> None:
    assert [call("GET", path, token=None).status_code for path in ("/live", "/ready", "/healthz")] == [200] * 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{LATEST}?ids[]={FEEDS['BTC']}"),
        ("GET", f"/v2/updates/price/1?ids[]={FEEDS['BTC']}"),
        ("GET", "/v2/updates/price/stream"),
        ("GET", "/v2/price_feeds"),
        ("GET", "/v1/shims/tradingview/history?symbol=Crypto.BTC/USD&resolution=1D&from=0&to=1"),
        ("GET", "/control/state"),
        ("POST", "/control/prices"),
        ("POST", "/control/failures"),
        ("DELETE", "/control/failures"),
    ],
)
def test_everything_else__needs_a_token(call: Call, method: str, path: str) -> None:
    assert call(method, path, token=None).status_code == 401
    assert call(method, path, token="wrong").status_code == 401
    # The key of the data does not move prices.
    is_control = path.startswith("/control")
    assert (call(method, path, token="pyth").status_code == 401) is is_control


def test_everything__is_refused_where_no_token_is_configured(hub: Hub, tmp_path: Path) -> None:
    app = create_app(Settings(state_dir=tmp_path, market_token=None, pyth_token=None), hub, History([]))

    async def status() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hermes") as client:
            return (await client.get("/control/state", headers={"authorization": "Bearer "})).status_code

    assert asyncio.run(status()) == 401


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_latest__says_the_same_in_both_forms(call: Call, encoding: str) -> None:
    ids = ["0x" + FEEDS["ETH"].upper(), FEEDS["BTC"]]
    body = call("GET", LATEST, params={"ids[]": ids, "encoding": encoding}).json()
    [text] = body["binary"]["data"]
    data = bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text)
    eth, btc = decode_update(data).messages
    assert (eth.price, eth.expo, eth.publish_time) == (240050000000, -8, SECONDS)
    assert btc.feed_id == FEEDS["BTC"]
    assert body["parsed"][0] == {
        "id": FEEDS["ETH"],
        "price": {"price": "240050000000", "conf": "120025000", "expo": -8, "publish_time": SECONDS},
        "ema_price": {"price": "240050000000", "conf": "120025000", "expo": -8, "publish_time": SECONDS},
        "metadata": {"slot": int(SECONDS * 2.5), "proof_available_time": SECONDS, "prev_publish_time": SECONDS},
    }


def test_latest__leaves_parsed_out_where_nobody_wants_it(call: Call) -> None:
    body = call("GET", LATEST, params={"ids[]": FEEDS["BTC"], "parsed": "false"}).json()
    assert set(body) == {"binary"}
    assert body["binary"]["encoding"] == "hex"


def test_latest__names_the_feeds_that_it_does_not_know(call: Call) -> None:
    # NEW has a feed but no price yet.
    wanted = {"ids[]": [FEEDS["BTC"], "12" * 32, FEEDS["NEW"]]}
    answer = call("GET", LATEST, params=wanted)
    assert (answer.status_code, answer.text) == (404, f"Price ids not found: 0x{'12' * 32}, 0x{FEEDS['NEW']}")
    lenient = call("GET", LATEST, params=wanted | {"ignore_invalid_price_ids": "true"}).json()
    assert [each["id"] for each in lenient["parsed"]] == [FEEDS["BTC"]]


@pytest.mark.parametrize("query", [{}, {"ids[]": "xyz"}, {"ids[]": "ab"}])
def test_latest__refuses_malformed_ids(call: Call, query: dict[str, str]) -> None:
    assert call("GET", LATEST, params=query).status_code == 400


def test_since__gives_the_first_update_at_or_after_a_time(call: Call, hub: Hub, clock: FixedClock) -> None:
    for price in (66000, 67000):
        clock.advance(timedelta(seconds=10))
        hub.set_prices(PriceRequest(prices={"BTC": Decimal(price)}))

    def price_at(seconds: int) -> Any:
        answer = call("GET", f"/v2/updates/price/{seconds}", params={"ids[]": FEEDS["BTC"]})
        return json.loads(answer.text)["parsed"][0]["price"]["price"] if answer.status_code == 200 else answer.text

    assert price_at(SECONDS) == "6500000000000"
    assert price_at(SECONDS + 1) == "6600000000000"
    assert price_at(SECONDS + 20) == "6700000000000"
    assert price_at(SECONDS + 21) == price_at(SECONDS - 1) == "Update data not found"


def test_price_feeds__can_be_searched(call: Call) -> None:
    assert len(call("GET", "/v2/price_feeds").json()) == 3
    [row] = call("GET", "/v2/price_feeds", params={"query": "eth", "asset_type": "crypto"}).json()
    assert (row["id"], row["attributes"]["symbol"]) == (FEEDS["ETH"], "Crypto.ETH/USD")
    assert call("GET", "/v2/price_feeds", params={"asset_type": "equity"}).json() == []


def test_history__gives_bars_within_the_times(call: Call) -> None:
    def ask(symbol: str, begins: int, resolution: str = "1D") -> Any:
        query: dict[str, Any] = {"symbol": symbol, "resolution": resolution, "from": begins, "to": SECONDS}
        return call("GET", "/v1/shims/tradingview/history", params=query).json()

    day = int(datetime(2026, 10, 4, tzinfo=UTC).timestamp())
    assert ask("Crypto.BTC/USD", day) == {"s": "ok", "t": [day], "o": [1.5], "h": [2], "l": [1.5], "c": [2], "v": [0]}
    assert len(ask("crypto.btc/usd", 0)["t"]) == 2
    assert ask("Crypto.BTC/USD", SECONDS) == {"s": "no_data"}
    assert ask("Crypto.DOGE/USD", 0)["s"] == ask("Crypto.BTC/USD", 0, "5")["s"] == "error"


def test_control__moves_prices_and_shows_them(call: Call) -> None:
    state = call("POST", "/control/prices", json={"prices": {"BTC": "65000.12"}, "confidence_bp": 10}).json()
    assert state["prices"]["BTC"] == {
        "price_usd": "65000.12000000",
        "confidence_usd": "65.00012000",
        "expo": -8,
        "publish_time": SECONDS,
    }
    call("GET", f"{LATEST}?ids[]={FEEDS['BTC']}")
    assert call("GET", "/control/state").json()["requests"] == {LATEST: 1}


@pytest.mark.parametrize(
    "wanted",
    [
        {"prices": {"DOGE": "1"}},
        {"prices": {"BTC": "0"}},
        {"prices": {"BTC": "1.123"}, "expo": -2},
        {"prices": {"BTC": "999999999999999"}, "expo": -8},
        {"prices": {}},
        {"prices": {"BTC": "1"}, "typo": 1},
    ],
)
def test_control__refuses_prices_that_cannot_be(call: Call, wanted: dict[str, Any]) -> None:
    assert call("POST", "/control/prices", json=wanted).status_code == 422


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_failures__answer_as_often_as_wanted(call: Call, status: int) -> None:
    wanted = {"mode": f"http_{status}", "count": 2, "retry_after": 7}
    assert call("POST", "/control/failures", json=wanted).json()["failure"]["count"] == 2
    answers = [call("GET", LATEST, params={"ids[]": FEEDS["BTC"]}) for _ in range(3)]
    assert [each.status_code for each in answers] == [status, status, 200]
    assert answers[0].headers["retry-after"] == "7"


def test_failures__end_in_time_or_on_demand(hub: Hub, clock: FixedClock) -> None:
    hub.fail(FailureRequest(mode="silent", seconds=5))
    clock.advance(timedelta(seconds=4))
    assert hub.state().failure is not None
    clock.advance(timedelta(seconds=1))
    assert hub.state().failure is None
    hub.fail(FailureRequest(mode="reset"))
    hub.heal()
    assert hub.state().failure is None


def test_frozen__shows_the_last_update_until_healed(hub: Hub, clock: FixedClock) -> None:
    before = hub.shown
    hub.fail(FailureRequest(mode="frozen"))
    clock.advance(timedelta(seconds=9))
    hub.set_prices(PriceRequest(prices={"BTC": Decimal(1)}))
    assert hub.shown is before
    hub.heal()
    assert hub.shown.messages[FEEDS["BTC"]].price == 10**8


def test_board__keeps_prices_and_slots_across_restarts(tmp_path: Path, hub: Hub, clock: FixedClock) -> None:
    hub.set_prices(PriceRequest(prices={"BTC": Decimal("1.25"), "NEW": Decimal(3)}, expo=-2))
    slot = hub.shown.slot
    again = Board(tmp_path, {"BTC": FEEDS["BTC"], "NEW": FEEDS["NEW"]}, FIRST, clock).current
    assert again.slot > slot
    assert {each.price for each in again.messages.values()} == {125, 300}
    assert not list(tmp_path.glob("*.tmp"))


def test_board__says_which_file_is_broken(tmp_path: Path, clock: FixedClock) -> None:
    (tmp_path / "prices.json").write_text("{", encoding="utf-8")
    with pytest.raises(EmbeddedError, match=r"prices\.json is not readable"):
        Board(tmp_path, FEEDS, FIRST, clock)

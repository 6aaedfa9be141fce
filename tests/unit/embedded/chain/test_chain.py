"""The local chain: its access, its control, what it keeps, and its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import httpx
import pytest
from pydantic import SecretStr

from infra.embedded.chain.addresses import local_feed_table
from infra.embedded.chain.compiler import compiled
from infra.embedded.chain.control import ChainControl
from infra.embedded.chain.market import Market
from infra.embedded.chain.models import FailureMode, RawRound
from infra.embedded.chain.server import ChainServer
from infra.embedded.errors import EmbeddedError
from infra.embedded.ports import free_ports
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.errors import NotReadyError, SettingsError
from infra.runtime.settings import PROJECT_ROOT, Settings
from ingest.errors import FeedTableError
from ingest.prices.chainlink.rounds import RoundId
from ingest.prices.feeds import load_feeds, render_feeds

TOKEN = "token-of-the-market"
TABLE = local_feed_table(["BTC"], load_feeds())
GOOD = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    server = ChainServer(0, Market(TABLE, tmp_path_factory.mktemp("chain"), SystemClock()), SecretStr(TOKEN))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(address) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, trust_env=False, timeout=20) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/", {}),
        ("POST", "/wrong", {}),
        ("POST", f"/x{TOKEN}", {}),
        ("POST", "/wrong/main", GOOD),
        ("POST", "/control/prices", {}),
        ("POST", "/control/prices", {"authorization": "Bearer wrong"}),
        ("POST", "/control/failures", {"authorization": f"Basic {TOKEN}"}),
        ("DELETE", "/control/failures", {}),
        ("GET", "/control/state", {}),
        ("GET", f"/{TOKEN}", {}),
    ],
)
def test_server__refuses_who_lacks_the_token(client, method, path, headers):
    assert client.request(method, path, headers=headers).status_code == 401


def test_server__without_a_configured_token_admits_nobody(tmp_path):
    server = ChainServer(0, Market(TABLE, tmp_path, SystemClock()), None)
    with server:
        assert not server.admits("")


def test_server__health_is_open(client):
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("prices", {"prices": {"BTC": 65000.1}}, "must be a string"),
        ("prices", {"prices": {}}, "at least 1"),
        ("prices", {"prices": {"BTC": "-1"}}, "greater than 0"),
        ("prices", {"prices": {"BTC": "1"}, "updated_at": "2026-01-01T00:00:00"}, "timezone"),
        ("failures", {"mode": "burn"}, "Input should be"),
        ("failures", {"mode": "drop", "share": 2}, "less than or equal to 1"),
        ("rounds", {"asset": "BTC"}, "Field required"),
    ],
)
def test_control__says_what_is_wrong(client, path, body, said):
    answer = client.post(f"/control/{path}", json=body, headers=GOOD)
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_control__names_unknown_assets_and_paths(client):
    answer = client.post("/control/prices", json={"prices": {"DOGE": "1"}}, headers=GOOD)
    assert (answer.status_code, answer.json()["error"]) == (404, "The local chain has no feed for DOGE: it has BTC.")
    assert client.post("/control/nothing", json={}, headers=GOOD).status_code == 404


def test_control__writes_one_raw_round_and_rounds_to_the_decimals(client):
    one = {"asset": "BTC", "answer": -7, "updated_at": 5}
    assert client.post("/control/rounds", json=one, headers=GOOD).status_code == 200
    state = client.get("/control/state", headers=GOOD).json()["assets"]["BTC"]
    assert (state["answer"], state["updated_at"]) == ("-7", 5)
    prices = {"prices": {"BTC": "1.000000005"}, "updated_at": "2026-01-31T12:00:00Z"}
    assert client.post("/control/prices", json=prices, headers=GOOD).status_code == 200
    state = client.get("/control/state", headers=GOOD).json()["assets"]["BTC"]
    assert (state["price_usd"], state["updated_at"]) == ("1.00000000", 1769860800)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"id": 1, "method": "eth_sendRawTransaction", "params": []}, -32601),
        ({"id": 1, "method": "eth_call", "params": []}, -32602),
        ({"id": 1, "method": "eth_call", "params": [{"to": "0x12", "data": "0x"}, "latest"]}, -32602),
        ({"id": 1, "method": "eth_getBlockByNumber", "params": ["0x1", False]}, -32602),
        ({"id": 1, "method": "eth_chainId", "params": {}}, -32600),
        ([], -32600),
        (5, -32600),
    ],
)
def test_rpc__answers_wrong_requests_as_the_standard_says(client, body, code):
    answer = client.post(f"/{TOKEN}", content=json.dumps(body)).json()
    assert answer["error"]["code"] == code


def test_rpc__answers_each_request_of_a_batch(client):
    asked = [{"id": n, "method": name, "params": []} for n, name in enumerate(["eth_chainId", "no", "eth_blockNumber"])]
    answers = client.post(f"/{TOKEN}/main", json=asked).json()
    assert [each["id"] for each in answers] == [0, 1, 2]
    assert (answers[0]["result"], answers[1]["error"]["code"]) == (hex(131277322940537), -32601)
    for broken in (b"{", b"[" * 100_000):
        assert client.post(f"/{TOKEN}", content=broken).status_code == 400


def test_market__keeps_its_head_at_the_clock(tmp_path):
    clock = FixedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
    market = Market(TABLE, tmp_path, clock)
    clock.advance(timedelta(minutes=5))
    number, head_at, _, _ = market.head()
    assert head_at == int(clock.now().timestamp())
    assert market.head()[0] == number
    assert market.head(is_stale=True)[1] < head_at - 7000


def test_market__begins_a_new_chain_and_phase_when_the_old_one_grew_long(tmp_path):
    market = Market(TABLE, tmp_path, SystemClock(), max_blocks=8)
    written = [market.set_prices({"BTC": Decimal(65_000 + n)})["BTC"] for n in range(8)]
    ids = [RoundId.from_int(int(each)) for each in written]

    assert ids == sorted(ids)
    assert {each.phase for each in ids} == {1, 2}
    assert market.state()[0] <= 8
    # The new phase begins with the last price of the old one.
    assert next(each for each in ids if each.phase == 2).aggregator_round == 2


def test_market__never_uses_a_phase_twice(tmp_path):
    market = Market(TABLE, tmp_path, SystemClock())
    market.set_prices({"BTC": Decimal(65_000)})
    assert market.change_phase("BTC") == 2
    market.write([RawRound(asset="BTC", answer=0, updated_at=5)])

    again = Market(TABLE, tmp_path, SystemClock()).state()[2]["BTC"]
    assert (again.phase, again.price_usd) == (3, Decimal(65_000))


@pytest.mark.parametrize("damage", ["{", '{"digest": "x", "codes": {}}'])
def test_compiled__does_not_rest_on_a_damaged_copy(tmp_path, damage):
    codes = compiled(tmp_path)
    copy = tmp_path / "contracts.json"
    whole = copy.read_text()
    copy.write_text(damage)
    assert compiled(tmp_path) == codes
    assert copy.read_text() == whole
    assert compiled(tmp_path) == codes


def test_compiled__leaves_decimals_as_they_are(tmp_path):
    compiled(tmp_path)
    assert "vyper" not in sys.modules
    with localcontext(prec=5):
        assert Decimal(1) / 3 == Decimal("0.33333")


def test_market__refuses_a_table_of_another_chain_and_a_damaged_ledger(tmp_path):
    with pytest.raises(FeedTableError, match="not of the local chain"):
        Market(load_feeds(), tmp_path, SystemClock())
    (tmp_path / "chain.json").write_text("{")
    with pytest.raises(EmbeddedError, match="damaged"):
        Market(TABLE, tmp_path, SystemClock())


def test_control__needs_its_settings_and_says_when_the_chain_is_away(tmp_path):
    with pytest.raises(SettingsError, match="BALLAST_ETHEREUM_CONTROL_URL"):
        ChainControl(Settings(state_dir=tmp_path))
    away = f"http://127.0.0.1:{free_ports(1)[0]}"
    settings = Settings(state_dir=tmp_path, ethereum_control_url=away, market_token=SecretStr(TOKEN))
    with ChainControl(settings) as control, pytest.raises(NotReadyError):
        control.state()


def test_process__serves_and_leaves_a_ledger_that_a_kill_does_not_damage(tmp_path):
    (port,) = free_ports(1)
    (tmp_path / "feeds.toml").write_text(render_feeds(TABLE))
    argv = ["--data-dir", str(tmp_path / "data"), "--port", str(port), "--feeds", str(tmp_path / "feeds.toml")]
    environment = os.environ | {"BALLAST_MARKET_TOKEN": TOKEN, "BALLAST_STATE_DIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.embedded.chain", *argv], cwd=PROJECT_ROOT, env=environment, stderr=log
        )
    settings = Settings(
        state_dir=tmp_path, ethereum_control_url=f"http://127.0.0.1:{port}", market_token=SecretStr(TOKEN)
    )
    try:
        with ChainControl(settings) as control:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    control.state()
                    break
                except NotReadyError:
                    time.sleep(0.1)
            assert control.set_prices({"BTC": Decimal("64123.45")}) == {"BTC": str(RoundId(1, 1))}
            control.fail(FailureMode.HANG)
            assert control.state().failure.mode is FailureMode.HANG
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)

    assert TOKEN not in (tmp_path / "log").read_text()
    again = Market(TABLE, tmp_path / "data", SystemClock()).state()[2]["BTC"]
    assert (again.round_id, again.price_usd) == (str(RoundId(2, 1)), Decimal("64123.45"))

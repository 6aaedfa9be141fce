"""What the Chainlink source refuses before it asks anybody, and how it bounds answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from infra.runtime.clock import SystemClock
from infra.runtime.errors import SettingsError
from ingest.errors import FeedTableError
from ingest.prices.chainlink import rpc
from ingest.prices.chainlink.calls import EthCall
from ingest.prices.chainlink.source import ChainlinkSource
from ingest.prices.feeds import AssetFeeds, FeedTable, load_feeds

CALL = EthCall("0x" + "00" * 20, b"")


def test_source__takes_the_pinned_table():
    source = ChainlinkSource(load_feeds(), [SecretStr("https://rpc.example")], SystemClock(), is_simulated=False)
    assert source.name == "chainlink"
    source.close()


def test_source__needs_an_address():
    with pytest.raises(SettingsError, match="BALLAST_ETHEREUM_RPC_URLS is empty"):
        ChainlinkSource(load_feeds(), [], SystemClock(), is_simulated=False)


def test_source__names_a_wrong_address_by_its_number_only():
    addresses = [SecretStr("https://rpc.example"), SecretStr("wss://rpc.example/key")]
    with pytest.raises(SettingsError) as caught:
        ChainlinkSource(load_feeds(), addresses, SystemClock(), is_simulated=False)
    assert caught.value.message == "rpc 2 of BALLAST_ETHEREUM_RPC_URLS is no http(s) address: correct it."


def test_source__needs_a_feed():
    table = FeedTable(chain_id=1, read_on="2026-10-04", assets={"BTC": AssetFeeds()})
    with pytest.raises(FeedTableError, match="no Chainlink feed"):
        ChainlinkSource(table, [SecretStr("https://rpc.example")], SystemClock(), is_simulated=False)


@contextmanager
def _answering(*parts: bytes, pause_s: float = 0.0) -> Iterator[str]:
    """A server that answers one request with these bytes, pausing before each part."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                return
            with connection:
                connection.recv(65536)
                for part in parts:
                    if ended.wait(pause_s):
                        return
                    try:
                        connection.sendall(part)
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def _ask(address: str, timeout_s: float = 5.0) -> rpc.RpcError:
    client = rpc.JsonRpc("rpc 1", SecretStr(address), timeout_s)
    try:
        with pytest.raises(rpc.RpcError) as caught:
            client.call(CALL)
    finally:
        client.close()
    return caught.value


def _answer(body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n%s" % (status, len(body), more, body)


def test_rpc__ends_an_answer_that_drips():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    with _answering(head, *([b" "] * 1000), pause_s=0.05) as address:
        assert _ask(address, 0.3).fault is rpc.RpcFault.TIMEOUT


def test_rpc__ends_an_answer_that_grows(monkeypatch):
    monkeypatch.setattr(rpc, "MAX_BODY_BYTES", 1000)
    with _answering(_answer(b" " * 5000)) as address:
        assert _ask(address).fault is rpc.RpcFault.UNREACHABLE


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (_answer(b'{"jsonrpc": "2.0", "id": 0}'), rpc.RpcFault.MALFORMED),
        (_answer(b'{"jsonrpc": "2.0", "id": 0, "result": 5}'), rpc.RpcFault.MALFORMED),
        (_answer(b'{"jsonrpc": "2.0", "id": 0, "result": "0xzz"}'), rpc.RpcFault.MALFORMED),
        (_answer(b"[]"), rpc.RpcFault.MALFORMED),
        (_answer(b'"text"'), rpc.RpcFault.MALFORMED),
        (_answer(b"\xff\xfe"), rpc.RpcFault.MALFORMED),
        (_answer(b"[" * 100_000), rpc.RpcFault.MALFORMED),
        (_answer(b'{"id": 0, "error": {"code": -32005, "message": "limit"}}'), rpc.RpcFault.RATE_LIMITED),
        (_answer(b"", b"302 Found", b"location: http://127.0.0.1:9/elsewhere\r\n"), rpc.RpcFault.MALFORMED),
        (_answer(b"", b"403 Forbidden"), rpc.RpcFault.REFUSED),
        (_answer(b"", b"503 Busy"), rpc.RpcFault.SERVER_ERROR),
    ],
)
def test_rpc__names_what_is_wrong_with_an_answer(raw, fault):
    with _answering(raw) as address:
        error = _ask(address)
    assert error.fault is fault
    assert error.message.startswith("rpc 1 ")
    assert "127.0.0.1" not in error.message


def test_rpc__takes_no_proxy_from_the_environment(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with _answering(_answer(b"", b"503 Busy")) as address:
        assert _ask(address).fault is rpc.RpcFault.SERVER_ERROR


def test_rpc__heeds_how_long_it_shall_wait():
    with _answering(_answer(b"", b"429 Too Many", b"retry-after: 7\r\n")) as address:
        error = _ask(address)
    assert (error.fault, error.retry_after_s) == (rpc.RpcFault.RATE_LIMITED, 7.0)


@pytest.mark.filterwarnings("ignore:Received batch response with missing `id`:RuntimeWarning")
@pytest.mark.parametrize(
    "body",
    [
        b'[{"id": 0, "result": "0x"}]',
        b'[{"id": 0, "result": "0x"}, {"id": 2, "result": "0x"}]',
        b'[{"id": 0, "result": "0x"}, {"result": "0x"}]',
        b'[{"id": 0, "result": "0x"}, "x"]',
        b'[{"id": 0, "result": "0x"}, {"id": 1}]',
    ],
)
def test_rpc__refuses_a_batch_whose_answers_cannot_be_told_apart(body):
    with _answering(_answer(body)) as address:
        client = rpc.JsonRpc("rpc 1", SecretStr(address), 5.0)
        try:
            with pytest.raises(rpc.RpcError) as caught:
                client.calls([CALL, CALL])
        finally:
            client.close()
    assert caught.value.fault is rpc.RpcFault.MALFORMED


def test_rpc__puts_the_answers_of_a_batch_into_the_order_of_its_requests():
    with _answering(_answer(b'[{"id": 1, "result": "0x02"}, {"id": 0, "result": "0x01"}]')) as address:
        client = rpc.JsonRpc("rpc 1", SecretStr(address), 5.0)
        try:
            assert client.calls([CALL, CALL]) == [b"\x01", b"\x02"]
        finally:
            client.close()

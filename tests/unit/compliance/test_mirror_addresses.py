"""Addresses of wallets never leave, and figures and ids beside them stay as they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.mirror_addresses import without_addresses

FEW = settings(max_examples=30, deadline=None)
ETHEREUM = "0x52908400098527886E0F7030069857D2E4169EE7"
BECH32 = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
LEGACY = "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"
TRON = "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"
SOLANA = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
RIPPLE = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"
MADE_UP = "addr1vpu5vlrf4xkxv2qpwngf6cjhtw542ayty80v8dyr49rf5eg0yu80w"


def hashed(address: str) -> str:
    return f"<{address[-4:]}>"


@pytest.mark.parametrize("address", [ETHEREUM, ETHEREUM.lower(), BECH32, LEGACY, TRON, SOLANA, RIPPLE])
@pytest.mark.parametrize("words", ["{}", "from {}, which is listed", '{{"note": "seen: {}"}}', '{{"any": ["{}"]}}'])
def test_words__lose_what_looks_like_an_address(address: str, words: str) -> None:
    assert without_addresses(words.format(address), hashed) == words.format(f"address:<{address[-4:]}>")


@pytest.mark.parametrize("name", ["address", "counterparty_address", "wallet", "wallets", "senders", "counterparties"])
def test_words__lose_what_is_named_for_an_address(name: str) -> None:
    assert without_addresses(f'{{"{name}": "{MADE_UP}"}}', hashed) == f'{{"{name}": "address:<u80w>"}}'
    listed = without_addresses(f'{{"{name}": ["{MADE_UP}", "{ETHEREUM}"]}}', hashed)
    assert json.loads(listed) == {name: ["address:<u80w>", "address:<9EE7>"]}


@pytest.mark.parametrize(
    "words",
    [
        '{"senders": "12", "wallet": "unknown", "amount_usd": "12345678901234567.123456789"}',
        f'{{"wallet_hash": "{"0f" * 32}", "address_hash": "{"a1" * 32}"}}',
        '{"transaction": "txn_0123456789abcdef0123456789abcdef", "list": "lst_ffffffffffffffffffffffffffffffff"}',
        "4f9c1a7e-1b2d-4c3e-8f5a-6b7c8d9e0f1a was cleared until 2026-01-31T12:00:00+00:00",
        f"0x{'ab' * 32}",
        "",
    ],
)
def test_words__keep_figures_ids_and_hashes(words: str) -> None:
    assert without_addresses(words, hashed) == words


@FEW
@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from([ETHEREUM, BECH32, LEGACY, TRON, SOLANA]))
def test_json__stays_json_without_the_address(before: str, after: str, address: str) -> None:
    document = json.dumps({"note": f"{before} {address} {after}", "wallets": [address]}, ensure_ascii=False)
    hidden = without_addresses(document, hashed)
    assert json.loads(hidden)["wallets"] == [f"address:{hashed(address)}"]
    assert address not in hidden

"""One wallet has one hash in the warehouse, however callers write it: auditors join by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.aml.admission import admitted
from compliance.mirror_addresses import ADDRESS_KIND, address_hasher, without_addresses
from compliance.model import Direction, Transaction
from compliance.screening.addresses import checked_address, normalise_address
from infra.runtime.envelope import Envelope, LocalKeyRing

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVM, BECH32 = "0x67d40ee1a85bf4a4bb7ffae16de985e8427b6b45", "bc1qsmv6lkrw65l30yazdqpdjjtwzpvk9f8gfh0cy7"
CHAINS = ("ethereum", "base", "bitcoin", "tron", "solana", "bitcoin-cash", None)
SENT = Transaction(
    "tx", "acc", Direction.IN, "deposit", "collateral", "BTC", Decimal(1), Decimal(1), "ethereum", AT, EVM, "DE"
)
_HEX = st.text("0123456789abcdefABCDEF", min_size=40, max_size=40)
_BASE58 = st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", min_size=26, max_size=44)
_BECH32 = st.text("02356789acdeghjklmnpqrstuvwxyz", min_size=30, max_size=50)
ADDRESSES = st.one_of(
    _HEX,
    _HEX.map(lambda digits: f"0x{digits}"),
    _HEX.map(lambda digits: f"0X{digits}"),
    _HEX.map(lambda digits: f"41{digits}"),
    _HEX.map(lambda digits: f"0x41{digits}"),
    _BASE58,
    _BECH32.map(lambda data: f"bc1{data}"),
    _BECH32.map(lambda data: f"BC1{data.upper()}"),
    _BECH32.map(lambda data: f"bitcoincash:q{data}"[:54]),
)


@settings(max_examples=150)
@given(ADDRESSES, st.sampled_from(CHAINS))
def test_normal_form__needs_its_chain_no_more(address: str, chain: str | None) -> None:
    # The mirror hashes what the gate stored, and knows no chain.
    normal = normalise_address(address, chain)
    assert normalise_address(normal) == normal


@pytest.mark.parametrize(
    ("written", "chain", "same_as"),
    [
        (EVM, "ethereum", EVM),
        (EVM.upper().replace("X", "x"), "base", EVM),
        (EVM.removeprefix("0x").upper(), "polygon", EVM),
        (f" {EVM}\n", "ethereum", EVM),
        (BECH32.upper(), "bitcoin", BECH32),
        ("41A614F803B6FD780986A42C78EC9C7F77E6DED13C", "tron", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
        (
            "BITCOINCASH:QPM2QSZNHKS23Z7629MMS6S4CWEF74VCWVY22GDX6A",
            "bitcoin-cash",
            "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
        ),
    ],
)
def test_counterparty__has_the_hash_of_the_wallet_that_was_screened(
    written: str, chain: str, same_as: str, tmp_path: Path
) -> None:
    envelope = Envelope(LocalKeyRing.create(tmp_path / "keys.json"))
    hashed = address_hasher(envelope)
    stored = admitted(replace(SENT, counterparty_address=written, chain=chain), AT).counterparty_address
    assert stored == checked_address(written, chain) == same_as
    wanted = envelope.blind_hash(ADDRESS_KIND, same_as)
    assert hashed(stored) == wanted
    for words in (f'{{"counterparty_address": "{stored}"}}', f'{{"senders": ["{stored}"]}}'):
        assert f'"address:{wanted}"' in without_addresses(words, hashed)


def test_hash__of_a_name_is_of_another_kind(tmp_path: Path) -> None:
    envelope = Envelope(LocalKeyRing.create(tmp_path / "keys.json"))
    assert envelope.blind_hash("name", EVM) != envelope.blind_hash(ADDRESS_KIND, EVM)

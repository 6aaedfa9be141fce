"""Binary updates: one of the real network, and any that the local Hermes encodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.embedded.hermes.encoder import MerkleTree, SlotEncoder, encode_message
from ingest.prices.pyth.accumulator import (
    AccumulatorUpdate,
    PriceFeedMessage,
    decode_update,
    keccak160,
    leaf_hash,
    merkle_root,
)
from ingest.prices.pyth.errors import AccumulatorError, MerkleProofError

# BTC/USD as the guardians attested it on 2024-10-24, paid for on Kaia's main network in transaction
# 0x8b5e0b936a5ea94c87ec17b0a6d3d0c9db55cfca7e75d18e4fe95eaa45da3300.
REAL = bytes.fromhex(Path(__file__).with_name("btc_update.hex").read_text(encoding="ascii"))
BTC = "e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43"

int64 = st.integers(-(2**63), 2**63 - 1)
uint64 = st.integers(0, 2**64 - 1)
messages = st.builds(
    PriceFeedMessage,
    feed_id=st.binary(min_size=32, max_size=32).map(bytes.hex),
    price=int64,
    conf=uint64,
    expo=st.integers(-(2**31), 2**31 - 1),
    publish_time=int64,
    prev_publish_time=int64,
    ema_price=int64,
    ema_conf=uint64,
)
slots = st.dictionaries(st.integers(0, 2**256 - 1), messages, min_size=1, max_size=20).map(
    lambda found: {each.feed_id: each for each in found.values()}
)


def encoded(found: dict[str, PriceFeedMessage], slot: int = 7) -> bytes:
    return SlotEncoder(slot, 1_700_000_000, found).update(found)


def example() -> bytes:
    return encoded({"ab" * 32: PriceFeedMessage("ab" * 32, 5, 1, -2, 30, 29, 5, 1), "cd" * 32: _other()})


def _other() -> PriceFeedMessage:
    return PriceFeedMessage("cd" * 32, 7, 2, -3, 31, 30, 7, 2)


def test_decode_update__reads_and_proves_an_update_of_the_real_network() -> None:
    assert decode_update(REAL) == AccumulatorUpdate(
        slot=173357632,
        messages=(
            PriceFeedMessage(
                feed_id=BTC,
                price=6694292072563,
                conf=6737627122,
                expo=-8,
                publish_time=1729766814,
                prev_publish_time=1729766813,
                ema_price=6691626000000,
                ema_conf=6068903700,
            ),
        ),
    )


def test_keccak160__is_not_sha3() -> None:
    # Keccak-256 of nothing, as in Ethereum's yellow paper.
    assert keccak160(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653"


@given(slots, uint64)
def test_decode_update__gives_back_what_was_encoded(found: dict[str, PriceFeedMessage], slot: int) -> None:
    assert decode_update(encoded(found, slot)) == AccumulatorUpdate(slot, tuple(found.values()))


@given(slots, st.data())
def test_decode_update__proves_a_part_of_the_slot(found: dict[str, PriceFeedMessage], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(sorted(found)), unique=True))
    update = SlotEncoder(7, 0, found).update(wanted)
    assert [each.feed_id for each in decode_update(update).messages] == wanted


@given(st.integers(0, len(REAL) - 1))
def test_decode_update__refuses_every_truncation(length: int) -> None:
    with pytest.raises(AccumulatorError, match=r"too early|PNAU"):
        decode_update(REAL[:length])


@given(st.binary(max_size=200))
def test_decode_update__of_noise_raises_nothing_but_its_error(noise: bytes) -> None:
    for data in (noise, b"PNAU\x01\x00\x00\x00" + noise):
        with pytest.raises(AccumulatorError):
            decode_update(data)


@given(st.integers(REAL.index(bytes.fromhex(BTC)) - 1, len(REAL) - 1), st.integers(1, 255))
def test_decode_update__refuses_every_changed_byte_of_message_and_proof(position: int, change: int) -> None:
    tampered = bytearray(REAL)
    tampered[position] ^= change
    with pytest.raises(AccumulatorError):
        decode_update(bytes(tampered))


def test_decode_update__refuses_a_root_that_is_not_the_messages() -> None:
    good = example()
    root = merkle_root(encode_message(_other()), [leaf_hash(encode_message(_first()))])
    at = good.index(root)
    with pytest.raises(MerkleProofError):
        decode_update(good[:at] + bytes(20) + good[at + 20 :])


def _first() -> PriceFeedMessage:
    return PriceFeedMessage("ab" * 32, 5, 1, -2, 30, 29, 5, 1)


def test_decode_update__refuses_an_inner_node_that_poses_as_a_message() -> None:
    tree = MerkleTree([bytes([number]) * 40 for number in range(4)])
    left, right = tree.proof(2)[1], tree.proof(0)[1]
    assert merkle_root(b"".join(sorted((left, right))), []) != tree.root


@pytest.mark.parametrize(
    ("position", "value", "reason"),
    [(0, ord("Q"), "PNAU"), (4, 2, "major version 2"), (7, 1, "type 1"), (10, 2, "VAA has version 2")],
)
def test_decode_update__refuses_other_formats(position: int, value: int, reason: str) -> None:
    data = bytearray(example())
    data[position] = value
    with pytest.raises(AccumulatorError, match=reason):
        decode_update(bytes(data))


def test_decode_update__refuses_another_payload() -> None:
    with pytest.raises(AccumulatorError, match="AUWV"):
        decode_update(example().replace(b"AUWV", b"P2WH"))
    with pytest.raises(AccumulatorError, match="payload has type 9"):
        decode_update(example().replace(b"AUWV\x00", b"AUWV\x09"))


def test_decode_update__refuses_bytes_after_the_end() -> None:
    with pytest.raises(AccumulatorError, match="1 bytes follow"):
        decode_update(example() + b"\x00")


def test_decode_update__skips_later_minor_versions_additions() -> None:
    data = bytearray(example())
    data[5], data[6:7] = 9, b"\x03abc"
    assert len(decode_update(bytes(data)).messages) == 2


def test_decode_update__keeps_fields_that_a_later_version_appends_out() -> None:
    found = SlotEncoder(7, 0, {"ab" * 32: _first()})
    found._encoded = [encode_message(_first()) + b"more"]
    assert decode_update(found.update(["ab" * 32])).messages == (_first(),)


def test_decode_update__leaves_other_messages_out_and_refuses_short_ones() -> None:
    found = SlotEncoder(7, 0, {"ab" * 32: _first()})
    found._encoded = [b"\x01" + bytes(100)]
    assert decode_update(found.update(["ab" * 32])).messages == ()
    short = SlotEncoder(7, 0, {"ab" * 32: _first()})
    short._encoded = [encode_message(_first())[:-1]]
    with pytest.raises(AccumulatorError, match="84 of 85 bytes"):
        decode_update(short.update(["ab" * 32]))

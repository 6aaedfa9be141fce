"""Decodes Pyth's accumulator update: price messages, each with a Merkle proof to a root inside a Wormhole VAA.

Every proof is verified against the root. The guardians' signatures on the VAA are NOT: whoever controls Hermes or the
connection to it could sign a root of his own, so their quorum is trusted to Hermes and to TLS.

Layout, all integers big endian (pyth-network/pyth-crosschain: pythnet/pythnet_sdk/src/wire.rs, messages.rs,
accumulators/merkle.rs): `PNAU`, u8 major, u8 minor, u8 trailing size and as many bytes, u8 update type (0), u16 VAA
size and the VAA, u8 number of updates, each a u16 message size, the message, a u8 number of proof hashes of 20 bytes.
The VAA's payload is `AUWV`, u8 type (0), u64 slot, u32 ring size, 20 bytes of root.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from Crypto.Hash import keccak

from ingest.prices.pyth.errors import AccumulatorError, MerkleProofError

UPDATE_MAGIC = b"PNAU"
PAYLOAD_MAGIC = b"AUWV"
MAJOR_VERSION = 1
WORMHOLE_MERKLE = 0
PRICE_FEED_MESSAGE = 0
HASH_BYTES = 20
# Message type, feed id, price, confidence, exponent, publish and previous publish time, EMA price and confidence.
PRICE_FEED_LAYOUT = struct.Struct(">B32sqQiqqqQ")
_VAA_HEADER_BYTES = 5
_SIGNATURE_BYTES = 66
# Times, nonce, emitter and sequence of the VAA's body stand before the payload.
_VAA_BODY_BYTES = 51
_LEAF, _NODE = b"\x00", b"\x01"


@dataclass(frozen=True)
class PriceFeedMessage:
    """What the network attested of one feed; prices are `price` times 10 to the power of `expo`, times in s UTC."""

    feed_id: str
    price: int
    conf: int
    expo: int
    publish_time: int
    prev_publish_time: int
    ema_price: int
    ema_conf: int


@dataclass(frozen=True)
class AccumulatorUpdate:
    """The proven price messages of one slot of Pythnet."""

    slot: int
    messages: tuple[PriceFeedMessage, ...]


def decode_update(data: bytes) -> AccumulatorUpdate:
    """The price messages of `data`; messages of other types are proven and left out.

    Raises `AccumulatorError` where the layout is broken, `MerkleProofError` where a proof does not hold.
    """
    reader = _Reader(data)
    if reader.take(4) != UPDATE_MAGIC:
        raise AccumulatorError("The update does not begin with PNAU.")
    if (major := reader.integer(1)) != MAJOR_VERSION:
        raise AccumulatorError(f"The update has major version {major}; this reader knows {MAJOR_VERSION}.")
    reader.integer(1)
    reader.take(reader.integer(1))
    if (kind := reader.integer(1)) != WORMHOLE_MERKLE:
        raise AccumulatorError(f"The update has type {kind}; this reader knows {WORMHOLE_MERKLE}.")
    slot, root = _attested_root(reader.take(reader.integer(2)))
    messages = []
    for _ in range(reader.integer(1)):
        content = reader.take(reader.integer(2))
        proof = [reader.take(HASH_BYTES) for _ in range(reader.integer(1))]
        if merkle_root(content, proof) != root:
            raise MerkleProofError("A message's proof does not lead to the root in the VAA.")
        if content[:1] == bytes([PRICE_FEED_MESSAGE]):
            messages.append(_price_feed_message(content))
    if reader.rest():
        raise AccumulatorError(f"{reader.rest()} bytes follow the last update.")
    return AccumulatorUpdate(slot, tuple(messages))


def merkle_root(message: bytes, proof: list[bytes]) -> bytes:
    """The root to which the message and its siblings lead."""
    current = leaf_hash(message)
    for sibling in proof:
        current = node_hash(current, sibling)
    return current


def leaf_hash(message: bytes) -> bytes:
    """Hash of a message in the tree."""
    return keccak160(_LEAF + message)


def node_hash(one: bytes, other: bytes) -> bytes:
    """Hash of two siblings, the smaller one first."""
    return keccak160(_NODE + min(one, other) + max(one, other))


def keccak160(data: bytes) -> bytes:
    """The first 20 bytes of Keccak-256, which is not NIST's SHA-3."""
    return keccak.new(digest_bits=256, data=data).digest()[:HASH_BYTES]


def _attested_root(vaa: bytes) -> tuple[int, bytes]:
    reader = _Reader(vaa)
    if (version := reader.integer(1)) != 1:
        raise AccumulatorError(f"The VAA has version {version}; this reader knows 1.")
    reader.take(_VAA_HEADER_BYTES - 1)
    reader.take(reader.integer(1) * _SIGNATURE_BYTES)
    reader.take(_VAA_BODY_BYTES)
    if reader.take(4) != PAYLOAD_MAGIC:
        raise AccumulatorError("The VAA's payload does not begin with AUWV.")
    if (kind := reader.integer(1)) != 0:
        raise AccumulatorError(f"The VAA's payload has type {kind}; this reader knows 0.")
    slot = reader.integer(8)
    reader.integer(4)
    return slot, reader.take(HASH_BYTES)


def _price_feed_message(content: bytes) -> PriceFeedMessage:
    # Later versions may append fields.
    if len(content) < PRICE_FEED_LAYOUT.size:
        raise AccumulatorError(f"A price message has {len(content)} of {PRICE_FEED_LAYOUT.size} bytes.")
    _, feed_id, *numbers = PRICE_FEED_LAYOUT.unpack_from(content)
    return PriceFeedMessage(feed_id.hex(), *numbers)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise AccumulatorError(f"The data ends at byte {len(self._data)}, {count - len(found)} bytes too early.")
        self._at += count
        return found

    def integer(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def rest(self) -> int:
        return len(self._data) - self._at

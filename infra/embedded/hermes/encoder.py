"""Encodes accumulator updates, as the network does; the signatures are placeholders and sign nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from ingest.prices.pyth.accumulator import (
    PAYLOAD_MAGIC,
    PRICE_FEED_LAYOUT,
    PRICE_FEED_MESSAGE,
    UPDATE_MAGIC,
    WORMHOLE_MERKLE,
    PriceFeedMessage,
    keccak160,
    leaf_hash,
    node_hash,
)

GUARDIAN_SET = 4
SIGNATURES = 13
PYTHNET = 26
EMITTER = bytes.fromhex("e101faedac5851e32b9b23b5f9411a8c2bac4aae3ed4dd7b811dd1a72ea4aa71")
RING_SIZE = 10_000
_NOBODY = keccak160(b"\x02")


def encode_message(message: PriceFeedMessage) -> bytes:
    """A price feed message, 85 bytes."""
    return PRICE_FEED_LAYOUT.pack(
        PRICE_FEED_MESSAGE,
        bytes.fromhex(message.feed_id),
        message.price,
        message.conf,
        message.expo,
        message.publish_time,
        message.prev_publish_time,
        message.ema_price,
        message.ema_conf,
    )


class MerkleTree:
    """The tree over messages, filled up with empty leaves to a power of two; node 1 is the root."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        width = 1 << max(0, len(messages) - 1).bit_length()
        leaves = [leaf_hash(message) for message in messages] + [_NOBODY] * (width - len(messages))
        self._width = width
        self._nodes = [b""] * width + leaves
        for index in range(width - 1, 0, -1):
            self._nodes[index] = node_hash(self._nodes[2 * index], self._nodes[2 * index + 1])

    @property
    def root(self) -> bytes:
        """The hash over all messages."""
        return self._nodes[1]

    def proof(self, position: int) -> list[bytes]:
        """The siblings of the message at `position`, from the leaf upwards."""
        index, siblings = self._width + position, []
        while index > 1:
            siblings.append(self._nodes[index ^ 1])
            index //= 2
        return siblings


class SlotEncoder:
    """The messages of one slot, and updates that prove any of them; `time` is in seconds UTC."""

    def __init__(self, slot: int, time: int, messages: Mapping[str, PriceFeedMessage]) -> None:
        self._slot = slot
        self._time = time
        self._positions = {feed_id: position for position, feed_id in enumerate(messages)}
        self._encoded = [encode_message(message) for message in messages.values()]

    def update(self, feed_ids: Iterable[str]) -> bytes:
        """An update with the messages of the feeds; at most 255."""
        positions = [self._positions[feed_id] for feed_id in feed_ids]
        parts = [UPDATE_MAGIC, bytes([1, 0, 0, WORMHOLE_MERKLE]), _sized(self._vaa), bytes([len(positions)])]
        for position in positions:
            proof = self._tree.proof(position)
            parts += [_sized(self._encoded[position]), bytes([len(proof)]), *proof]
        return b"".join(parts)

    @cached_property
    def _tree(self) -> MerkleTree:
        return MerkleTree(self._encoded)

    @cached_property
    def _vaa(self) -> bytes:
        signatures = b"".join(bytes([guardian]) + bytes(65) for guardian in range(SIGNATURES))
        payload = PAYLOAD_MAGIC + b"\x00" + _big(self._slot, 8) + _big(RING_SIZE, 4) + self._tree.root
        body = _big(self._time, 4) + _big(0, 4) + _big(PYTHNET, 2) + EMITTER + _big(self._slot, 8) + b"\x01"
        return b"\x01" + _big(GUARDIAN_SET, 4) + bytes([SIGNATURES]) + signatures + body + payload


def _big(value: int, count: int) -> bytes:
    return value.to_bytes(count, "big")


def _sized(content: bytes) -> bytes:
    return _big(len(content), 2) + content

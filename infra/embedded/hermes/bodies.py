"""Bodies of Hermes' answers and events, right or spoiled."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from infra.embedded.hermes.board import Snapshot
from infra.embedded.hermes.encoder import SlotEncoder
from infra.embedded.hermes.models import FailureMode
from ingest.prices.pyth.accumulator import PriceFeedMessage
from ingest.prices.pyth.wire import Encoding

AHEAD_S = 3600


def update_body(
    snapshot: Snapshot, feed_ids: Sequence[str], encoding: Encoding, is_parsed: bool, spoiled: FailureMode | None = None
) -> str:
    """The update of the feeds as JSON, spoiled as the mode says."""
    shown, encoder = snapshot.messages, snapshot.encoder
    if spoiled in (FailureMode.FROM_FUTURE, FailureMode.NEGATIVE):
        shown = {feed_id: _spoiled(message, spoiled) for feed_id, message in shown.items()}
        encoder = SlotEncoder(snapshot.slot, snapshot.time, shown)
    binary = encoder.update(feed_ids)
    text = binary.hex() if encoding is Encoding.HEX else base64.b64encode(binary).decode()
    data = [] if spoiled is FailureMode.NO_BINARY else [text]
    body: dict[str, Any] = {"binary": {"encoding": encoding.value, "data": data}}
    if is_parsed:
        more = 1 if spoiled is FailureMode.PARSED_MISMATCH else 0
        body["parsed"] = [_parsed(shown[feed_id], snapshot, more) for feed_id in feed_ids]
    written = json.dumps(body, separators=(",", ":"))
    return written[: len(written) // 2] if spoiled is FailureMode.MALFORMED else written


def feed_metadata(asset: str, feed_id: str) -> dict[str, Any]:
    """One row of `/v2/price_feeds`."""
    return {
        "id": feed_id,
        "attributes": {
            "asset_type": "Crypto",
            "base": asset,
            "description": f"{asset} / US DOLLAR",
            "display_symbol": f"{asset}/USD",
            "generic_symbol": f"{asset}USD",
            "quote_currency": "USD",
            "symbol": f"Crypto.{asset}/USD",
        },
    }


def _spoiled(message: PriceFeedMessage, mode: FailureMode) -> PriceFeedMessage:
    if mode is FailureMode.NEGATIVE:
        return replace(message, price=-message.price)
    return replace(message, publish_time=message.publish_time + AHEAD_S)


def _parsed(message: PriceFeedMessage, snapshot: Snapshot, more: int) -> dict[str, Any]:
    times = {"expo": message.expo, "publish_time": message.publish_time}
    return {
        "id": message.feed_id,
        "price": {"price": str(message.price + more), "conf": str(message.conf), **times},
        "ema_price": {"price": str(message.ema_price), "conf": str(message.ema_conf), **times},
        "metadata": {
            "slot": snapshot.slot,
            "proof_available_time": snapshot.time,
            "prev_publish_time": message.prev_publish_time,
        },
    }

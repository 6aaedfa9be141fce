"""The prices that the local Hermes serves: published each period, kept across restarts."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.embedded.errors import EmbeddedError
from infra.embedded.hermes.encoder import SlotEncoder
from infra.embedded.hermes.models import PriceRequest
from infra.runtime.clock import Clock
from ingest.prices.pyth.accumulator import PriceFeedMessage

FILE_NAME = "prices.json"
KEPT_SNAPSHOTS = 1_000
SLOTS_PER_S = 2.5
_INT64 = 2**63
_BP = Decimal(10_000)


@dataclass(frozen=True)
class Snapshot:
    """All prices of one slot, by feed id."""

    slot: int
    time: int
    messages: Mapping[str, PriceFeedMessage]

    @cached_property
    def encoder(self) -> SlotEncoder:
        """Updates that prove these prices."""
        return SlotEncoder(self.slot, self.time, self.messages)


class Board:
    """Prices of the table's feeds; not for several threads. `feeds` maps assets to feed ids."""

    def __init__(self, data_dir: Path, feeds: Mapping[str, str], first: Mapping[str, Decimal], clock: Clock) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = data_dir / FILE_NAME
        self._clock = clock
        self.feeds = dict(feeds)
        self.assets = {feed_id: asset for asset, feed_id in feeds.items()}
        self._kept: deque[Snapshot] = deque(maxlen=KEPT_SNAPSHOTS)
        slot, messages = self._load()
        for asset, price in first.items():
            if asset in self.feeds and self.feeds[asset] not in messages:
                wanted = PriceRequest(prices={asset: price})
                messages[self.feeds[asset]] = _message(self.feeds[asset], price, wanted, 0, None)
        self._slot = slot
        self._messages = messages
        self.publish()

    @property
    def current(self) -> Snapshot:
        """The newest prices."""
        return self._kept[-1]

    def publish(self) -> Snapshot:
        """Publish every price again, dated now."""
        now = int(self._clock.now().timestamp())
        self._messages = {
            feed_id: replace(message, publish_time=now, prev_publish_time=message.publish_time or now)
            for feed_id, message in self._messages.items()
        }
        return self._keep(now)

    def set_prices(self, wanted: PriceRequest) -> Snapshot:
        """Take and publish new prices; `EmbeddedError` where an asset has no feed or a price does not fit."""
        unknown = sorted(set(wanted.prices) - set(self.feeds))
        if unknown:
            raise EmbeddedError(f"{', '.join(unknown)} has no Pyth feed in the feed table.")
        now = int(self._clock.now().timestamp())
        changed = {}
        for asset, price in wanted.prices.items():
            feed_id = self.feeds[asset]
            time = wanted.publish_time or now
            changed[feed_id] = _message(feed_id, price, wanted, time, self._messages.get(feed_id))
        self._messages = {**self._messages, **changed}
        if wanted.publish_time is None:
            for feed_id in self._messages.keys() - changed.keys():
                message = self._messages[feed_id]
                self._messages[feed_id] = replace(
                    message, publish_time=now, prev_publish_time=message.publish_time or now
                )
        found = self._keep(now)
        self._save()
        return found

    def since(self, publish_time: int, feed_ids: list[str]) -> Snapshot | None:
        """The first kept snapshot in which every feed has this publish time or a later one."""
        for snapshot in self._kept:
            if all(snapshot.messages[feed_id].publish_time >= publish_time for feed_id in feed_ids):
                oldest = snapshot is self._kept[0]
                exact = any(snapshot.messages[feed_id].publish_time == publish_time for feed_id in feed_ids)
                return None if oldest and not exact else snapshot
        return None

    def _keep(self, now: int) -> Snapshot:
        # Slots never go back, also where prices are set faster than slots pass.
        self._slot = max(self._slot + 1, int(self._clock.now().timestamp() * SLOTS_PER_S))
        snapshot = Snapshot(self._slot, now, self._messages)
        self._kept.append(snapshot)
        return snapshot

    def _load(self) -> tuple[int, dict[str, PriceFeedMessage]]:
        try:
            content: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            found = {feed_id: PriceFeedMessage(feed_id, **fields) for feed_id, fields in content["messages"].items()}
            return int(content["slot"]), {feed_id: each for feed_id, each in found.items() if feed_id in self.assets}
        except FileNotFoundError:
            return 0, {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EmbeddedError(f"{self._file} is not readable ({type(error).__name__}); remove it.") from None

    def _save(self) -> None:
        messages = {
            feed_id: {name: value for name, value in vars(message).items() if name != "feed_id"}
            for feed_id, message in self._messages.items()
        }
        temporary = self._file.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"slot": self._slot, "messages": messages}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file)


def _message(
    feed_id: str, price: Decimal, wanted: PriceRequest, time: int, last: PriceFeedMessage | None
) -> PriceFeedMessage:
    scaled = price.scaleb(-wanted.expo)
    if scaled != scaled.to_integral_value() or not 0 < scaled < _INT64:
        raise EmbeddedError(f"The price {price} does not fit exponent {wanted.expo}: it would lose digits.")
    number = int(scaled)
    conf = int(scaled * wanted.confidence_bp / _BP)
    return PriceFeedMessage(
        feed_id=feed_id,
        price=number,
        conf=conf,
        expo=wanted.expo,
        publish_time=time,
        prev_publish_time=last.publish_time if last else time,
        ema_price=number,
        ema_conf=conf,
    )

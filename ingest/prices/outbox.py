"""Publishes what the oracle decided; while Pub/Sub is away only the newest decision of each asset is kept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from infra.runtime.clock import Clock
from infra.runtime.errors import NotReadyError
from infra.runtime.logs import get_logger
from ingest import topics
from ingest.messages import OracleSourceMessage
from ingest.prices.metrics import OracleMetrics
from ingest.prices.publication import Publication

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
_log = get_logger(__name__)


class Publishes(Protocol):
    """What takes messages durably; `infra.runtime.pubsub.Publisher` is the real one."""

    def publish_all(self, topic: str, messages: Sequence[bytes]) -> list[str]:
        """Returns when all are durable; raises `NotReadyError` while Pub/Sub is away."""
        ...


@dataclass(frozen=True)
class _Batch:
    prices: dict[str, Publication]
    sources: dict[str, OracleSourceMessage]

    def __bool__(self) -> bool:
        return bool(self.prices or self.sources)


class Outbox:
    """Waiting publications, by asset, and source states, by source; newer ones replace older ones that still wait.

    A price is superseded by the next one, so that nothing is lost by replacing it. Safe to share between threads.
    """

    def __init__(self, publisher: Publishes, clock: Clock, metrics: OracleMetrics) -> None:
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._changed = threading.Condition()
        self._prices: dict[str, Publication] = {}
        self._sources: dict[str, OracleSourceMessage] = {}
        self._away_since: datetime | None = None
        self._last_published_at: datetime | None = None

    @property
    def away_since(self) -> datetime | None:
        """Since when Pub/Sub takes nothing; None while it does."""
        return self._away_since

    @property
    def last_published_at(self) -> datetime | None:
        """When Pub/Sub last took a price."""
        return self._last_published_at

    def waits(self, asset: str) -> bool:
        """Whether a publication of the asset waits: the newest decision should then stand in its place."""
        with self._changed:
            return asset in self._prices

    def put(self, publication: Publication) -> None:
        """Publish soon, instead of what waits for the same asset."""
        with self._changed:
            self._prices[publication.price.asset] = publication
            self._changed.notify()

    def put_source(self, message: OracleSourceMessage) -> None:
        """Publish soon, instead of what waits for the same source."""
        with self._changed:
            self._sources[message.source] = message
            self._changed.notify()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop`, and what waits then once more."""
        wait_s = FIRST_WAIT_S
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._prices or self._sources), timeout=0.25)
            if self.flush():
                wait_s = FIRST_WAIT_S
            else:
                stop.wait(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        self.flush()

    def flush(self) -> bool:
        """Send what waits; False if Pub/Sub did not take it, which then waits on unless newer ones came."""
        with self._changed:
            batch = _Batch(self._prices, self._sources)
            self._prices, self._sources = {}, {}
        if not batch:
            return True
        try:
            self._send(batch)
        except NotReadyError as error:
            with self._changed:
                self._prices = batch.prices | self._prices
                self._sources = batch.sources | self._sources
            if self._away_since is None:
                self._away_since = self._clock.now()
                _log.warning("pubsub_away", reason=error.message, kept="the newest decision of each asset")
            return False
        self._sent(batch)
        return True

    def _send(self, batch: _Batch) -> None:
        # The trace first: a price that is known has its trace, whenever the process ends.
        publications = list(batch.prices.values())
        for topic, messages in (
            (topics.PRICE_TICKS, [each.ticks.to_json() for each in publications]),
            (topics.PRICES, [each.price.to_json() for each in publications]),
            (topics.ORACLE_SOURCES, [each.to_json() for each in batch.sources.values()]),
        ):
            if messages:
                self._publisher.publish_all(topic.name, messages)

    def _sent(self, batch: _Batch) -> None:
        now = self._clock.now()
        for each in batch.prices.values():
            self._last_published_at = now
            self._metrics.published(each.price.asset, (now - each.price.published_at).total_seconds())
        if self._away_since is not None:
            _log.info("pubsub_back", away_since=self._away_since, prices=len(batch.prices))
            self._away_since = None

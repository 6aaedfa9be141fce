"""The oracle's Prometheus metrics, in a registry of their own; floats here, and only here."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ingest.messages import BreakerState, Quality

_DELAY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)


class OracleMetrics:
    """What a monitor reads; ages are measured when the decision is made."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._price = Gauge(
            "ballast_oracle_price_usd", "Price of one unit; NaN where there is none", ["asset"], registry=own
        )
        self._age = Gauge("ballast_oracle_price_age_seconds", "Age of the oldest input", ["asset"], registry=own)
        self._quality = Gauge(
            "ballast_oracle_quality", "1 for the quality that the price has now", ["asset", "quality"], registry=own
        )
        self._breaker = Gauge(
            "ballast_oracle_source_breaker_state",
            "1 for the state of the source now",
            ["source", "state"],
            registry=own,
        )
        self._ticks = Counter("ballast_oracle_ticks", "Readings", ["source"], registry=own)
        self._rejections = Counter(
            "ballast_oracle_rejections", "Readings that could not be used", ["source", "code"], registry=own
        )
        self._published = Counter("ballast_oracle_published", "Prices that Pub/Sub took", ["asset"], registry=own)
        self._delay = Histogram(
            "ballast_oracle_publish_delay_seconds",
            "From the decision until Pub/Sub took it",
            buckets=_DELAY_BUCKETS_S,
            registry=own,
        )

    def decided(
        self, asset: str, price_usd: Decimal | None, quality: Quality, observed_at: datetime, now: datetime
    ) -> None:
        """A decision was made."""
        self._price.labels(asset).set(float("nan") if price_usd is None else float(price_usd))
        age_s = float("nan") if price_usd is None else (now - observed_at).total_seconds()
        self._age.labels(asset).set(age_s)
        for each in Quality:
            self._quality.labels(asset, each).set(each is quality)

    def breaker(self, source: str, state: BreakerState) -> None:
        """The state of a source's breaker."""
        for each in BreakerState:
            self._breaker.labels(source, each).set(each is state)

    def ticked(self, source: str) -> None:
        """A reading came."""
        self._ticks.labels(source).inc()

    def rejected(self, source: str, code: str) -> None:
        """A reading could not be used."""
        self._rejections.labels(source, code).inc()

    def published(self, asset: str, delay_s: float) -> None:
        """Pub/Sub took a price `delay_s` after it was decided."""
        self._published.labels(asset).inc()
        self._delay.observe(delay_s)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)

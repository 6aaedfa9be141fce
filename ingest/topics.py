"""Topics that prices and settlements travel on."""

from __future__ import annotations

from infra.runtime.pubsub import TopicSpec

PRICES = TopicSpec("market.prices.v1", subscriptions=("market.prices.v1.raw",))
SETTLEMENTS = TopicSpec("settlement.events.v1", subscriptions=("settlement.events.v1.raw",))
TOPICS = (PRICES, SETTLEMENTS)

"""Topics that prices, their trace, states of sources, and settlements travel on."""

from __future__ import annotations

from infra.runtime.pubsub import TopicSpec

PRICES = TopicSpec("market.prices.v1", subscriptions=("market.prices.v1.raw",))
# Beside the warehouse, compliance looks at what settled.
SETTLEMENTS_JUDGED = "settlement.events.v1.compliance"
SETTLEMENTS = TopicSpec("settlement.events.v1", subscriptions=("settlement.events.v1.raw", SETTLEMENTS_JUDGED))
PRICE_TICKS = TopicSpec("market.price_ticks.v1", subscriptions=("market.price_ticks.v1.raw",))
ORACLE_SOURCES = TopicSpec("market.oracle_sources.v1", subscriptions=("market.oracle_sources.v1.raw",))
TOPICS = (PRICES, PRICE_TICKS, ORACLE_SOURCES, SETTLEMENTS)

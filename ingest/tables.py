"""The tables of the `raw` dataset: append-only, partitioned by day of arrival."""

from __future__ import annotations

from google.cloud.bigquery import SchemaField

from infra.runtime.bigquery import TableSpec

RAW_DATASET = "raw"


def _required(name: str, kind: str, description: str) -> SchemaField:
    return SchemaField(name, kind, mode="REQUIRED", description=description)


def _nullable(name: str, kind: str, description: str) -> SchemaField:
    return SchemaField(name, kind, mode="NULLABLE", description=description)


_ARRIVAL = (
    _required("ingested_at", "TIMESTAMP", "When the consumer appended the row, UTC"),
    _required("message_id", "STRING", "Pub/Sub's id of the delivery that brought it"),
    _nullable("unknown_fields", "STRING", "JSON of fields that this version does not know"),
)

MARKET_PRICES = TableSpec(
    RAW_DATASET,
    "market_prices",
    (
        _required("price_id", "STRING", "Deterministic id; one price may arrive more than once"),
        _required("schema_version", "INTEGER", "Version of the message"),
        _required("asset", "STRING", "Symbol, such as BTC"),
        _nullable("price_usd", "NUMERIC", "USD for one unit; NULL where no price exists"),
        _nullable("confidence_usd", "NUMERIC", "Half width of the interval in USD"),
        _required("sources", "STRING", "JSON list of inputs: name, price, time, reference"),
        _required("observed_at", "TIMESTAMP", "Time of the oldest input, UTC"),
        _required("published_at", "TIMESTAMP", "When the oracle published it, UTC"),
        _required("quality", "STRING", "ok or degraded"),
        _nullable("degraded_reason", "STRING", "Why the quality is degraded"),
        _required("is_simulated", "BOOLEAN", "Whether any input was made up by the simulator"),
        *_ARRIVAL,
    ),
    "Prices as they arrived on market.prices.v1. Grain: one row a delivery; dedupe by price_id.",
    partition_field="ingested_at",
    cluster_fields=("asset", "price_id"),
)

PRICE_TICKS = TableSpec(
    RAW_DATASET,
    "price_ticks",
    (
        _required("input_id", "STRING", "Deterministic id of price and reading; one may arrive more than once"),
        _required("price_id", "STRING", "The price that the reading was looked at for"),
        _required("schema_version", "INTEGER", "Version of the message"),
        _required("asset", "STRING", "Symbol, such as BTC"),
        _required("published_at", "TIMESTAMP", "When the oracle published the price, UTC"),
        _required("source", "STRING", "chainlink or pyth"),
        _nullable("tick_id", "STRING", "The reading: equal for the same reading; NULL where it was rejected"),
        _nullable("price_usd", "BIGNUMERIC", "USD for one unit as the source gave it; NULL where it was rejected"),
        _nullable("confidence_usd", "BIGNUMERIC", "Half width of the source's interval in USD"),
        _nullable("observed_at", "TIMESTAMP", "The source's time of the reading, UTC; NULL where it was rejected"),
        _required("received_at", "TIMESTAMP", "When the oracle received it, UTC"),
        _required("reference", "STRING", "Round id or slot at the source; empty where it has none"),
        _nullable("is_simulated", "BOOLEAN", "Whether the source serves made-up prices; NULL where it was rejected"),
        _required("used", "BOOLEAN", "Whether the price rests on it"),
        _nullable("exclusion_code", "STRING", "Why it was not used, as a stable code"),
        _nullable("exclusion_reason", "STRING", "Why it was not used, in words"),
        *_ARRIVAL,
    ),
    "Readings behind each price, from market.price_ticks.v1. Grain: one row a reading, price and delivery; dedupe by "
    "input_id.",
    partition_field="ingested_at",
    cluster_fields=("asset", "price_id"),
)

ORACLE_SOURCES = TableSpec(
    RAW_DATASET,
    "oracle_sources",
    (
        _required("state_id", "STRING", "Deterministic id; one statement may arrive more than once"),
        _required("schema_version", "INTEGER", "Version of the message"),
        _required("source", "STRING", "chainlink or pyth"),
        _required("state", "STRING", "closed, open or half_open: whether the source counts"),
        _required("since", "TIMESTAMP", "When that state began, UTC"),
        _required("failures", "INTEGER", "Failures in a row"),
        _nullable("last_error_code", "STRING", "The last failure or rejection, as a stable code"),
        _nullable("last_error_reason", "STRING", "The last failure or rejection, in words"),
        _nullable("last_error_at", "TIMESTAMP", "When that was, UTC"),
        _nullable("last_answered_at", "TIMESTAMP", "When the source was last read completely, UTC"),
        _nullable("last_tick_at", "TIMESTAMP", "When the source last gave a reading, UTC"),
        _required("stated_at", "TIMESTAMP", "When the oracle said so, UTC; it repeats itself every 15 s"),
        *_ARRIVAL,
    ),
    "States of the oracle's sources, from market.oracle_sources.v1. Grain: one row a delivery; dedupe by state_id.",
    partition_field="ingested_at",
    cluster_fields=("source",),
)

SETTLEMENT_EVENTS = TableSpec(
    RAW_DATASET,
    "settlement_events",
    (
        _required("event_id", "STRING", "Deterministic id; one event may arrive more than once"),
        _required("schema_version", "INTEGER", "Version of the message"),
        _required("account_id", "STRING", "Account whose position changes"),
        _required("asset", "STRING", "Symbol, such as BTC"),
        _required("side", "STRING", "collateral or borrow"),
        _required("kind", "STRING", "deposit, withdrawal, seizure, draw, repayment or interest"),
        _required("quantity", "BIGNUMERIC", "Units moved, positive"),
        _required("occurred_at", "TIMESTAMP", "When it settled, UTC"),
        _required("chain", "STRING", "Chain it settled on"),
        _required("tx_hash", "STRING", "Transaction on that chain"),
        _nullable("counterparty_address", "STRING", "Address on the other side"),
        _nullable("counterparty_country", "STRING", "ISO 3166-1 alpha-2 of the counterparty"),
        *_ARRIVAL,
    ),
    "Settlement events as they arrived on settlement.events.v1. Grain: one row a delivery; dedupe by event_id.",
    partition_field="ingested_at",
    cluster_fields=("account_id", "event_id"),
)

DAILY_CLOSES = TableSpec(
    RAW_DATASET,
    "daily_closes",
    (
        _required("price_set_id", "STRING", "The load that brought it: a hash of all its closes"),
        _required("asset", "STRING", "Symbol, such as BTC"),
        _required("price_date", "DATE", "UTC day that the close ends"),
        _required("close_usd", "NUMERIC", "USD for one unit"),
        _required("source", "STRING", "csv or simulated"),
        _required("loaded_at", "TIMESTAMP", "When the row was appended, UTC"),
    ),
    "Daily closes. Grain: one row a price set, asset and day; dedupe by these (a repeated load appends again).",
    partition_field="loaded_at",
    cluster_fields=("price_set_id", "asset"),
)

PRICE_SETS = TableSpec(
    RAW_DATASET,
    "price_sets",
    (
        _required("price_set_id", "STRING", "Hash of all closes of the set"),
        _required("activated_at", "TIMESTAMP", "When the set became the one that risk uses, UTC"),
        _required("closes", "INTEGER", "Number of closes in the set"),
        _required("first_date", "DATE", "Earliest close"),
        _required("last_date", "DATE", "Last day on which every asset has a close"),
        _required("simulated_assets", "STRING", "JSON list of assets whose closes are simulated"),
    ),
    "Price sets that are fully loaded; the last activated one is in use. Written after its closes.",
    partition_field="activated_at",
)

DEAD_LETTERS = TableSpec(
    RAW_DATASET,
    "dead_letters",
    (
        _required("topic", "STRING", "Topic that the message was published to"),
        _required("message_id", "STRING", "Pub/Sub's id of the message on its own topic"),
        _required("reason_code", "STRING", "Stable code of the reason"),
        _required("reason", "STRING", "What was wrong, without the values"),
        _required("payload_sha256", "STRING", "Hash of the payload, which stays in Pub/Sub's dead-letter subscription"),
        _required("ingested_at", "TIMESTAMP", "When it was set aside, UTC"),
    ),
    "Messages set aside because they can never be handled. Grain: one row a message set aside.",
    partition_field="ingested_at",
)

TABLES = (MARKET_PRICES, PRICE_TICKS, ORACLE_SOURCES, SETTLEMENT_EVENTS, DAILY_CLOSES, PRICE_SETS, DEAD_LETTERS)

"""The tables of the `raw` dataset: append-only, partitioned by day of arrival."""

from __future__ import annotations

from infra.runtime.bigquery import TableSpec, nullable, required

RAW_DATASET = "raw"


_ARRIVAL = (
    required("ingested_at", "TIMESTAMP", "When the consumer appended the row, UTC"),
    required("message_id", "STRING", "Pub/Sub's id of the delivery that brought it"),
    nullable("unknown_fields", "STRING", "JSON of fields that this version does not know"),
)

MARKET_PRICES = TableSpec(
    RAW_DATASET,
    "market_prices",
    (
        required("price_id", "STRING", "Deterministic id; one price may arrive more than once"),
        required("schema_version", "INTEGER", "Version of the message"),
        required("asset", "STRING", "Symbol, such as BTC"),
        nullable("price_usd", "NUMERIC", "USD for one unit; NULL where no price exists"),
        nullable("confidence_usd", "NUMERIC", "Half width of the interval in USD"),
        required("sources", "STRING", "JSON list of inputs: name, price, time, reference"),
        required("observed_at", "TIMESTAMP", "Time of the oldest input, UTC"),
        required("published_at", "TIMESTAMP", "When the oracle published it, UTC"),
        required("quality", "STRING", "ok or degraded"),
        nullable("degraded_reason", "STRING", "Why the quality is degraded"),
        required("is_simulated", "BOOLEAN", "Whether any input was made up by the simulator"),
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
        required("input_id", "STRING", "Deterministic id of price and reading; one may arrive more than once"),
        required("price_id", "STRING", "The price that the reading was looked at for"),
        required("schema_version", "INTEGER", "Version of the message"),
        required("asset", "STRING", "Symbol, such as BTC"),
        required("published_at", "TIMESTAMP", "When the oracle published the price, UTC"),
        required("source", "STRING", "chainlink or pyth"),
        nullable("tick_id", "STRING", "The reading: equal for the same reading; NULL where it was rejected"),
        nullable("price_usd", "BIGNUMERIC", "USD for one unit as the source gave it; NULL where it was rejected"),
        nullable("confidence_usd", "BIGNUMERIC", "Half width of the source's interval in USD"),
        nullable("observed_at", "TIMESTAMP", "The source's time of the reading, UTC; NULL where it was rejected"),
        required("received_at", "TIMESTAMP", "When the oracle received it, UTC"),
        required("reference", "STRING", "Round id or slot at the source; empty where it has none"),
        nullable("is_simulated", "BOOLEAN", "Whether the source serves made-up prices; NULL where it was rejected"),
        required("used", "BOOLEAN", "Whether the price rests on it"),
        nullable("exclusion_code", "STRING", "Why it was not used, as a stable code"),
        nullable("exclusion_reason", "STRING", "Why it was not used, in words"),
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
        required("state_id", "STRING", "Deterministic id; one statement may arrive more than once"),
        required("schema_version", "INTEGER", "Version of the message"),
        required("source", "STRING", "chainlink or pyth"),
        required("state", "STRING", "closed, open or half_open: whether the source counts"),
        required("since", "TIMESTAMP", "When that state began, UTC"),
        required("failures", "INTEGER", "Failures in a row"),
        nullable("last_error_code", "STRING", "The last failure or rejection, as a stable code"),
        nullable("last_error_reason", "STRING", "The last failure or rejection, in words"),
        nullable("last_error_at", "TIMESTAMP", "When that was, UTC"),
        nullable("last_answered_at", "TIMESTAMP", "When the source was last read completely, UTC"),
        nullable("last_tick_at", "TIMESTAMP", "When the source last gave a reading, UTC"),
        required("stated_at", "TIMESTAMP", "When the oracle said so, UTC; it repeats itself every 15 s"),
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
        required("event_id", "STRING", "Deterministic id; one event may arrive more than once"),
        required("schema_version", "INTEGER", "Version of the message"),
        required("account_id", "STRING", "Account whose position changes"),
        required("asset", "STRING", "Symbol, such as BTC"),
        required("side", "STRING", "collateral or borrow"),
        required("kind", "STRING", "deposit, withdrawal, seizure, draw, repayment or interest"),
        required("quantity", "BIGNUMERIC", "Units moved, positive"),
        required("occurred_at", "TIMESTAMP", "When it settled, UTC"),
        required("chain", "STRING", "Chain it settled on"),
        required("tx_hash", "STRING", "Transaction on that chain"),
        nullable("counterparty_address", "STRING", "Address on the other side"),
        nullable("counterparty_country", "STRING", "ISO 3166-1 alpha-2 of the counterparty"),
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
        required("price_set_id", "STRING", "The load that brought it: a hash of all its closes"),
        required("asset", "STRING", "Symbol, such as BTC"),
        required("price_date", "DATE", "UTC day that the close ends"),
        required("close_usd", "NUMERIC", "USD for one unit"),
        required("source", "STRING", "csv or simulated"),
        required("loaded_at", "TIMESTAMP", "When the row was appended, UTC"),
    ),
    "Daily closes. Grain: one row a price set, asset and day; dedupe by these (a repeated load appends again).",
    partition_field="loaded_at",
    cluster_fields=("price_set_id", "asset"),
)

PRICE_SETS = TableSpec(
    RAW_DATASET,
    "price_sets",
    (
        required("price_set_id", "STRING", "Hash of all closes of the set"),
        required("activated_at", "TIMESTAMP", "When the set became the one that risk uses, UTC"),
        required("closes", "INTEGER", "Number of closes in the set"),
        required("first_date", "DATE", "Earliest close"),
        required("last_date", "DATE", "Last day on which every asset has a close"),
        required("simulated_assets", "STRING", "JSON list of assets whose closes are simulated"),
    ),
    "Price sets that are fully loaded; the last activated one is in use. Written after its closes.",
    partition_field="activated_at",
)

DEAD_LETTERS = TableSpec(
    RAW_DATASET,
    "dead_letters",
    (
        required("topic", "STRING", "Topic that the message was published to"),
        required("message_id", "STRING", "Pub/Sub's id of the message on its own topic"),
        required("reason_code", "STRING", "Stable code of the reason"),
        required("reason", "STRING", "What was wrong, without the values"),
        required("payload_sha256", "STRING", "Hash of the payload, which stays in Pub/Sub's dead-letter subscription"),
        required("ingested_at", "TIMESTAMP", "When it was set aside, UTC"),
    ),
    "Messages set aside because they can never be handled. Grain: one row a message set aside.",
    partition_field="ingested_at",
)

TABLES = (MARKET_PRICES, PRICE_TICKS, ORACLE_SOURCES, SETTLEMENT_EVENTS, DAILY_CLOSES, PRICE_SETS, DEAD_LETTERS)

"""The committed contracts of the topics."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import jsonschema  # type: ignore[import-untyped]
import pytest

from ingest import topics
from ingest.json_schemas import MODELS, render_json_schema, schema_file
from ingest.messages import (
    OracleSourceMessage,
    PriceMessage,
    PriceTicksMessage,
    SettlementEvent,
    parse_message,
)

Make = Callable[..., bytes]


@pytest.mark.parametrize("topic", sorted(MODELS))
def test_schema__is_the_committed_one(topic: str) -> None:
    assert schema_file(topic).read_text(encoding="utf-8") == render_json_schema(topic), (
        f"The model and {schema_file(topic).name} differ. A compatible change: python -m ingest.json_schemas. "
        "Any other change needs a new version of the topic."
    )


def test_schema__every_topic_has_one_and_no_other_is_there() -> None:
    assert set(MODELS) == {topic.name for topic in topics.TOPICS}
    folder = schema_file(topics.PRICES.name).parent
    assert {file.name for file in folder.iterdir()} == {f"{topic}.json" for topic in MODELS}


def test_schema__accepts_what_is_published(
    price_json: Make, settlement_json: Make, price_ticks_json: Make, oracle_source_json: Make, now: datetime
) -> None:
    settlement = parse_message(SettlementEvent, settlement_json(quantity="1e-18", memo="x"), now)
    degraded = price_json(price_usd=None, quality="degraded", degraded_reason="none answered")
    for topic, message in (
        (topics.SETTLEMENTS, settlement),
        (topics.PRICES, parse_message(PriceMessage, price_json(), now)),
        (topics.PRICES, parse_message(PriceMessage, degraded, now)),
        (topics.PRICE_TICKS, parse_message(PriceTicksMessage, price_ticks_json(), now)),
        (topics.ORACLE_SOURCES, parse_message(OracleSourceMessage, oracle_source_json(), now)),
    ):
        schema = json.loads(schema_file(topic.name).read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(json.loads(message.to_json()), schema)


@pytest.mark.parametrize(
    "changes", [{"quantity": 1.5}, {"quantity": "NaN"}, {"side": "debt"}, {"schema_version": 2}, {"asset": "btc"}]
)
def test_schema__refuses_what_the_consumer_refuses(settlement_json: Make, changes: dict[str, object]) -> None:
    schema = json.loads(schema_file(topics.SETTLEMENTS.name).read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(settlement_json(**changes)), schema)

"""The JSON Schemas of `ingest/schemas/`: `python -m ingest.json_schemas` writes them anew from the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ingest import topics
from ingest.messages import (
    PLAIN_NUMBER,
    Message,
    OracleSourceMessage,
    PriceMessage,
    PriceTicksMessage,
    SettlementEvent,
)

SCHEMA_DIR = Path(__file__).parent / "schemas"
MODELS: dict[str, type[Message]] = {
    topics.PRICES.name: PriceMessage,
    topics.PRICE_TICKS.name: PriceTicksMessage,
    topics.ORACLE_SOURCES.name: OracleSourceMessage,
    topics.SETTLEMENTS.name: SettlementEvent,
}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "decimal_places": "decimals at most"}


def json_schema(topic: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what is published to the topic; decimals are strings, unknown fields are allowed."""
    schema = _with_plain_decimals(MODELS[topic].model_json_schema(by_alias=True, mode="serialization"))
    schema["required"] = sorted({*schema.get("required", ()), "schema_version"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": topic, **schema}


def _with_plain_decimals(schema: Any) -> Any:
    """Pydantic puts a decimal's bounds beside `type: string`, where JSON Schema knows none: they become words."""
    if isinstance(schema, list):
        return [_with_plain_decimals(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _with_plain_decimals(value) for name, value in schema.items() if name not in _BOUNDS}
    bounds = [f"{word} {schema[name]}" for name, word in _BOUNDS.items() if name in schema]
    if schema.get("type") == "string" and bounds:
        plain |= {"pattern": f"^{PLAIN_NUMBER.pattern}$", "description": f"decimal: {', '.join(bounds)}"}
    return plain


def render_json_schema(topic: str) -> str:
    """The text of the committed schema file of the topic."""
    return json.dumps(json_schema(topic), indent=2, sort_keys=True) + "\n"


def schema_file(topic: str) -> Path:
    """Where the topic's schema is committed."""
    return SCHEMA_DIR / f"{topic}.json"


def main() -> None:
    """Write every schema file."""
    SCHEMA_DIR.mkdir(exist_ok=True)
    for topic in MODELS:
        schema_file(topic).write_text(render_json_schema(topic), encoding="utf-8")


if __name__ == "__main__":
    main()

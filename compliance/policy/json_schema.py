"""The JSON Schema of policy files, for editors: `python -m compliance.policy.json_schema` writes it anew."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from compliance.model import RuleSeverity
from compliance.policy.book import POLICIES
from compliance.policy.model import Policy
from compliance.policy.parameters import CATALOGUE, Kind, Parameter, RuleSpec

SCHEMA_FILE = POLICIES / "policy.schema.json"
_SHAPES: dict[Kind, dict[str, Any]] = {
    Kind.USD: {"type": "number", "minimum": 0},
    Kind.PERCENT: {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    Kind.MULTIPLE: {"type": "number", "exclusiveMinimum": 0},
    Kind.COUNT: {"type": "integer", "minimum": 1},
    Kind.HOURS: {"type": "integer", "minimum": 1},
    Kind.DAYS: {"type": "integer", "minimum": 1},
    Kind.SEVERITY: {"enum": [severity.value for severity in RuleSeverity]},
    Kind.USD_LIST: {"type": "array", "minItems": 1, "items": {"type": "number", "exclusiveMinimum": 0}},
    Kind.TEXT_LIST: {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy file, with the parameters of every rule of the catalogue."""
    schema = Policy.model_json_schema(mode="validation")
    rule = schema["$defs"]["RulePolicy"]
    rules = {rule_id: _rule(rule, spec) for rule_id, spec in CATALOGUE.items()}
    schema["properties"]["aml"] = {"type": "object", "properties": rules, "additionalProperties": False}
    del schema["$defs"]["RulePolicy"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "ballast-policy", **schema}


def _rule(rule: dict[str, Any], spec: RuleSpec) -> dict[str, Any]:
    params = {
        "type": "object",
        "properties": {name: _parameter(parameter) for name, parameter in spec.parameters.items()},
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "description": f"{spec.meaning} ({spec.source})",
        "properties": {**rule["properties"], "params": params},
        "additionalProperties": False,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {**_SHAPES[parameter.kind], "description": parameter.meaning, "default": _plain(parameter.default)}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else str(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def render() -> str:
    """The text of the committed schema."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the schema file."""
    SCHEMA_FILE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()

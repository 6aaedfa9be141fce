"""Codes, figures and limits of transaction monitoring in words with their units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from streamlit_app.components import formats

BECAME_WORDS = {
    "rejected": "Rejected",
    "released": "Released",
    "blocked": "Blocked",
    "accepted": "Accepted",
    "open": "Open",
    "unknown": "Unknown",
}
"""What became of hits, what an officer found right first."""
BECAME_CLASSES = {
    "rejected": "liquidation",
    "released": "ok",
    "blocked": "degraded",
    "accepted": "simulated",
    "open": "stale",
    "unknown": "unpriced",
}
SEVERITY_WORDS = {"low": "Low", "medium": "Medium", "high": "High", "block": "Blocks"}
SEVERITY_CLASSES = {"block": "liquidation", "high": "degraded", "medium": "early_warning"}
DIRECTION_WORDS = {"in": "in, to the desk", "out": "out, from the desk"}
THEN_WORDS = {
    "accepted": "Accepted",
    "review": "Held for review",
    "blocked": "Blocked",
    "released": "Released by officers",
    "rejected": "Rejected by officers",
    "undecided": "Not decided yet",
}
PARTS = {"kyc": "KYC", "sla": "Time to close cases"}
"""Parts of a policy whose keys are no words."""
_SHORT = {"kyc": "KYC", "aml": "AML", "pep": "PEP", "sar": "SAR", "fatf": "FATF", "us": "US", "eu": "EU"}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_UNITS = ("_usd", "_pct", "_days", "_hours", "_s")


def rule_words(rule_id: str) -> str:
    """The name of a rule as a person reads it."""
    return rule_id.replace("_", " ").capitalize()


def meaning(text: str) -> str:
    """What a rule looks for, without the marks that documents have around keys."""
    return text.replace("`", "")


def figures(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of a rule's answer, each beside the limit that it stands against."""
    return [(_figure_name(name), figure(name, value)) for name, value in evidence.items() if name != "reason"]


def figure(name: str, value: Any) -> str:
    """A figure with the unit that its name tells; what is no number stays as it is."""
    said = str(value)
    base = name.removesuffix("_limit")
    if _NUMBER.fullmatch(said):
        number = Decimal(said)
        if base.endswith("_usd"):
            return formats.usd(number)
        if base.endswith("_pct"):
            return formats.plain_percent(number)
        for suffix, one in (("_days", "day"), ("_hours", "hour"), ("_s", "second")):
            if base.endswith(suffix) and number == number.to_integral_value():
                return formats.count(int(number), one)
        return said
    if base.endswith("_at"):
        try:
            return formats.moment(datetime.fromisoformat(said))
        except ValueError:
            return said
    return said


def parameter(kind: str, value: str) -> str:
    """A parameter of a policy with its unit."""
    match kind:
        case "usd" | "usd_list":
            return ", ".join(formats.usd(Decimal(each)) for each in value.split(", "))
        case "pct":
            return formats.plain_percent(Decimal(value))
        case "multiple":
            return f"{Decimal(value).normalize():f} times"
        case "hours" | "days":
            return formats.count(int(value), kind.removesuffix("s"))
        case "severity":
            return formats.words(value, SEVERITY_WORDS)
        case _:
            return value


def flat(part: str, value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A part of a policy as lines of name and value; `part` is the name so far."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            word = " ".join(_SHORT.get(part_of, part_of) for part_of in str(key).split("_"))
            yield from flat(f"{part}, {word}" if part else word[:1].upper() + word[1:], each, str(key))
    elif isinstance(value, list):
        yield part, ", ".join(str(each) for each in value) or "none"
    elif isinstance(value, bool):
        yield part, "yes" if value else "no"
    else:
        yield _without_unit(part, name), figure(name, value)


def _figure_name(name: str) -> str:
    if name.endswith("_limit"):
        return f"Limit of {_figure_name(name.removesuffix('_limit')).lower()}"
    if name.endswith("_is_complete"):
        return f"Whether {_figure_name(name.removesuffix('_is_complete')).lower()} is complete"
    words = name.removesuffix("_usd").removesuffix("_pct").removesuffix("_at").replace("_", " ")
    return re.sub(r"\b(\d+)h\b", r"\1 h", re.sub(r"\b(\d+)d\b", r"\1 d", words)).capitalize()


def _without_unit(part: str, name: str) -> str:
    unit = next((suffix for suffix in _UNITS if name.endswith(suffix)), "")
    return part.removesuffix(unit.replace("_", " "))

"""What differs between two versions of the policy, field by field and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from compliance.policy.model import Policy
from compliance.policy.parameters import CATALOGUE

# What names a version, and no content of it.
_NAMES = frozenset({"version", "effective_from", "changes"})
_LISTS_OF_COUNTRIES = {
    "block": "Countries that are blocked",
    "edd": "Countries of enhanced due diligence",
    "review": "Countries that are reviewed",
}
_GAP = object()


class Change(StrEnum):
    """How a field differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs: where in the document, how, both values as text (None: not there), and in words."""

    place: str
    change: Change
    before: str | None
    after: str | None
    words: str


def differences(before: Policy, after: Policy) -> tuple[Difference, ...]:
    """What differs from `before` to `after`, in the order of the document; names and times of versions do not count."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    found: list[Difference] = []
    for part in new:
        if part in _NAMES:
            continue
        if part == "countries":
            found += _countries(old[part], new[part])
        elif part == "aml":
            found += _rules(old[part], new[part])
        else:
            found += _fields(part, _plain_name(part), old[part], new[part])
    return tuple(found)


def _countries(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in ("as_of", "source"):
        yield from _fields(f"countries.{name}", f"Country lists, {_plain_name(name).lower()}", old[name], new[name])
    for name, title in _LISTS_OF_COUNTRIES.items():
        # Sets have no order.
        was, now = set(old[name]), set(new[name])
        if was == now:
            continue
        moves = [("added", sorted(now - was)), ("removed", sorted(was - now))]
        words = "; ".join(f"{', '.join(codes)} {verb}" for verb, codes in moves if codes)
        yield Difference(
            f"countries.{name}", Change.CHANGED, _text(sorted(was)), _text(sorted(now)), f"{title}: {words}."
        )


def _rules(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for rule_id in [*new, *(rule_id for rule_id in old if rule_id not in new)]:
        place, title = f"aml.{rule_id}", f"Rule {rule_id}"
        spec = CATALOGUE.get(rule_id)
        meaning = f" ({spec.meaning})" if spec is not None else ""
        if rule_id not in old:
            yield Difference(place, Change.ADDED, None, _text(new[rule_id]), f"{title} is new{meaning}.")
        elif rule_id not in new:
            yield Difference(place, Change.REMOVED, _text(old[rule_id]), None, f"{title} runs no longer{meaning}.")
        else:
            yield from _rule(place, title, rule_id, old[rule_id], new[rule_id])


def _rule(place: str, title: str, rule_id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in new:
        if name != "params":
            yield from _fields(f"{place}.{name}", f"{title}, {_plain_name(name).lower()}", old.get(name), new[name])
    spec = CATALOGUE.get(rule_id)
    for name, value in new["params"].items():
        known = spec.parameters.get(name) if spec is not None else None
        what = f"{title}, {name}" + (f" ({known.meaning})" if known is not None else "")
        yield from _fields(f"{place}.params.{name}", what, old["params"].get(name, _GAP), value)


def _fields(place: str, title: str, old: Any, new: Any) -> Iterator[Difference]:
    """Differences of values, key by key where both are mappings."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*new, *(key for key in old if key not in new)]:
            name = _plain_name(str(key)).lower()
            yield from _fields(f"{place}.{key}", f"{title}, {name}", old.get(key, _GAP), new.get(key, _GAP))
    elif old is _GAP:
        yield Difference(place, Change.ADDED, None, _text(new), f"{title}: {_text(new)} is new.")
    elif new is _GAP:
        yield Difference(place, Change.REMOVED, _text(old), None, f"{title}: {_text(old)} is no longer there.")
    elif old != new:
        words = f"{title}: {_text(old)} becomes {_text(new)}."
        yield Difference(place, Change.CHANGED, _text(old), _text(new), words)


def _plain_name(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(each)}" for name, each in value.items() if each not in (None, {}))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(each) for each in value) or "none"
    return str(value)

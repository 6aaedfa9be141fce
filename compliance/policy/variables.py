"""The variables of conditions: the figures of a transaction and its features under the names that CEL sees.

An amount `x_usd` becomes `x_micro_usd`, a whole number. Texts, whole numbers, booleans, times and lists of texts keep
their names. Quantities of assets and nested figures are no variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from compliance.model import Transaction
from compliance.policy.expressions import micro

_PLAIN = (bool, int, str, datetime)
_LISTS = (tuple, list, frozenset)


@dataclass(frozen=True, slots=True)
class _Variable:
    is_feature: bool
    attribute: str
    convert: Callable[[Any], object] | None


class Variables:
    """Reads variables off a transaction and features of one type."""

    def __init__(self, features_type: type) -> None:
        """`features_type` is a dataclass; where it has a field of the transaction's name, the transaction's counts."""
        self._variables = {**_found(features_type, is_feature=True), **_found(Transaction, is_feature=False)}

    @property
    def names(self) -> frozenset[str]:
        """All variables that a condition may read."""
        return frozenset(self._variables)

    def read(self, names: Iterable[str], transaction: Transaction, features: Any) -> Mapping[str, object]:
        """The values of some variables, None where unknown; raises `KeyError` for a name that is no variable."""
        return {name: _value(self._variables[name], transaction, features) for name in names}


def _found(owner: type, *, is_feature: bool) -> dict[str, _Variable]:
    hints = get_type_hints(owner)
    found = {}
    for field in fields(owner):
        kind = _kind(hints[field.name])
        if kind is Decimal:
            if field.name.endswith("_usd"):
                name = f"{field.name.removesuffix('_usd')}_micro_usd"
                found[name] = _Variable(is_feature, field.name, micro)
        elif get_origin(kind) in _LISTS:
            if _is_plain(get_args(kind)[0]):
                found[field.name] = _Variable(is_feature, field.name, tuple)
        elif _is_plain(kind):
            found[field.name] = _Variable(is_feature, field.name, None)
    return found


def _kind(hint: Any) -> Any:
    """The type without `| None`; a union of several types is no variable."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = [each for each in get_args(hint) if each is not NoneType]
    return kinds[0] if len(kinds) == 1 else object


def _is_plain(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _PLAIN)


def _value(variable: _Variable, transaction: Transaction, features: Any) -> object:
    value: object = getattr(features if variable.is_feature else transaction, variable.attribute)
    return value if value is None or variable.convert is None else variable.convert(value)

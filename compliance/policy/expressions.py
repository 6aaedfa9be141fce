"""Conditions in CEL: small boolean expressions that a policy may add to a rule.

Money is whole micro-USD (`amount_micro_usd`), so that no figure passes through a binary float; a literal with a decimal
point is refused, `usd("1000.50")` writes an amount. Unknown figures are null, and null compared with a number is an
error, never false.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

import lark
from celpy import Environment, InterpretedRunner, celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from compliance.errors import ComplianceError, PolicyInvalidError

MICRO = Decimal(1_000_000)
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_METHODS = _MACROS | {"contains", "endsWith", "startsWith", "size", "getHours", "getDayOfWeek", "getDayOfMonth"}
_FUNCTIONS = frozenset({"usd", "size", "int", "string", "timestamp", "duration"})
_ERRORS = (CELEvalError, TypeError, ValueError, KeyError, OverflowError, ArithmeticError, RecursionError)


class ExpressionError(ComplianceError):
    """A condition has no answer for these figures; the message holds none of them."""

    code = "expression_failed"


def micro(value: Decimal) -> int:
    """USD as whole micro-USD, half to even; CEL holds 9.2 trillion USD, and more is an error of the condition."""
    return int((value * MICRO).to_integral_value(ROUND_HALF_EVEN))


def _usd(text: Any) -> celtypes.IntType:
    try:
        return celtypes.IntType(micro(Decimal(str(text))))
    except InvalidOperation as error:
        raise ValueError("usd() takes a number, or a text such as '1000.50'") from error


class Expression:
    """One condition, parsed once; `names` are the variables that it reads."""

    def __init__(self, text: str) -> None:
        """Raises `PolicyInvalidError` that says at which line and column of the expression and why."""
        self.text = text
        limit = sys.getrecursionlimit()
        try:
            environment = Environment(runner_class=InterpretedRunner)
            tree = environment.compile(text)
            self._runner = environment.program(tree, functions={"usd": _usd})
        except CELParseError as error:
            raise PolicyInvalidError(
                f"condition {text!r} is not CEL at line {error.line}, column {error.column}"
            ) from error
        finally:
            # The library sets the limit of the whole process.
            sys.setrecursionlimit(max(limit, sys.getrecursionlimit()))
        self.names = frozenset(_names(text, tree))

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, variables: Mapping[str, object]) -> bool:
        """Whether the condition holds; raises `ExpressionError` where there is no answer.

        `variables` are whole numbers, texts, booleans, aware times, lists of these, or None; more than it reads may be
        given. Safe for several threads at once.
        """
        missing = sorted(self.names - variables.keys())
        if missing:
            raise ExpressionError(f"condition {self.text!r} reads {', '.join(missing)}, which is not there")
        answer: object = None
        try:
            answer = self._runner.evaluate({name: _cel(variables[name]) for name in self.names})
        except _ERRORS:
            has_failed = True
        else:
            has_failed = False
        # Raised here, since the library's error holds every figure and would travel along as its context.
        if has_failed:
            raise ExpressionError(self._why(variables))
        if not isinstance(answer, celtypes.BoolType):
            raise ExpressionError(f"condition {self.text!r} is neither true nor false")
        return bool(answer)

    def _why(self, variables: Mapping[str, object]) -> str:
        unknown = sorted(name for name in self.names if variables[name] is None)
        because = f" while {', '.join(unknown)} is unknown" if unknown else ""
        return f"condition {self.text!r} cannot be evaluated{because}"


def _cel(value: object) -> Any:
    if value is None:
        return None
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int):
        return celtypes.IntType(value)
    if isinstance(value, str):
        return celtypes.StringType(value)
    if isinstance(value, datetime):
        return celtypes.TimestampType(value)
    if isinstance(value, Sequence | frozenset | set):
        return celtypes.ListType([_cel(each) for each in value])
    raise TypeError(f"{type(value).__name__} is no type of a condition")


def _names(text: str, tree: lark.Tree[Any]) -> set[str]:
    """The free variables; refuses what is no part of our conditions."""
    found: set[str] = set()
    bound: set[str] = set()
    for node in tree.iter_subtrees():
        for refuse, check in _REFUSALS.items():
            if node.data == refuse:
                check(text, node)
        if node.data == "ident":
            found.add(str(node.children[0]))
        elif node.data == "member_dot_arg" and str(node.children[1]) in _MACROS:
            bound.update(_bound(node))
    return found - bound


def _bound(macro: lark.Tree[Any]) -> Iterator[str]:
    """The variable that a macro binds: the first of its arguments."""
    arguments = macro.children[2]
    if isinstance(arguments, lark.Tree) and arguments.children:
        first = arguments.children[0]
        if isinstance(first, lark.Tree):
            yield from (str(node.children[0]) for node in first.find_data("ident"))


def _refuse(text: str, node: lark.Tree[Any], reason: str) -> None:
    place = f" at line {node.meta.line}, column {node.meta.column}" if not node.meta.empty else ""
    raise PolicyInvalidError(f"condition {text!r}{place}: {reason}")


def _check_literal(text: str, node: lark.Tree[Any]) -> None:
    token = node.children[0]
    if isinstance(token, lark.Token) and token.type in ("FLOAT_LIT", "UINT_LIT", "BYTES_LIT"):
        _refuse(text, node, f'{token} is not exact; write whole numbers, or an amount as usd("{token}")')


def _check_function(text: str, node: lark.Tree[Any]) -> None:
    name = str(node.children[0])
    if name not in _FUNCTIONS:
        _refuse(text, node, f"there is no function {name}(); there are {', '.join(sorted(_FUNCTIONS))}")


def _check_method(text: str, node: lark.Tree[Any]) -> None:
    name = str(node.children[1])
    if name not in _METHODS:
        _refuse(text, node, f"there is no method {name}(); there are {', '.join(sorted(_METHODS))}")


def _no_part(text: str, node: lark.Tree[Any]) -> None:
    _refuse(text, node, "objects, maps and fields are no part of conditions; a variable is a plain name")


_REFUSALS: Mapping[str, Callable[[str, lark.Tree[Any]], None]] = {
    "literal": _check_literal,
    "ident_arg": _check_function,
    "member_dot_arg": _check_method,
    "member_dot": _no_part,
    "member_object": _no_part,
    "dot_ident": _no_part,
    "dot_ident_arg": _no_part,
    "map_lit": _no_part,
}

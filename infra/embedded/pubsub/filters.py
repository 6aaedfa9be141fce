"""The Pub/Sub filter language over message attributes, compiled once into a predicate.

Grammar (keywords are upper case; AND and OR may not be mixed without parentheses):
    expression = term {AND term} | term {OR term}
    term       = (NOT | -) term | ( expression ) | attributes:KEY | attributes.KEY (= | !=) "VALUE"
               | hasPrefix(attributes.KEY, "VALUE")
`!=` and NOT also match messages that lack the attribute. Source: Pub/Sub documentation, "Filter messages from a
subscription".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from infra.embedded.pubsub.model import PubsubError, invalid

Predicate = Callable[[Mapping[str, str]], bool]

MAX_FILTER_BYTES: Final = 256

_TOKEN: Final = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<name>[A-Za-z0-9_][A-Za-z0-9_-]*)|(?P<mark>!=|[:=.(),-]))'
)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[0-7]{3}|.)", re.DOTALL)
_SIMPLE_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def compile_filter(text: str) -> Predicate | None:
    """The predicate of a filter, or None for the empty filter, which matches everything.

    Raises INVALID_ARGUMENT that names the position where the filter stops making sense.
    """
    if not text:
        return None
    if len(text.encode()) > MAX_FILTER_BYTES:
        raise invalid(f"The filter has more than {MAX_FILTER_BYTES} bytes. Shorten it.")
    parser = _Parser(_tokens(text))
    predicate = parser.expression()
    parser.expect("end")
    return predicate


def _tokens(text: str) -> list[_Token]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong(at, f"unexpected {text[at:].lstrip()[:10]!r}")
        kind = str(match.lastgroup)
        word = match.group(kind)
        tokens.append(_Token(word if kind == "mark" or word in _KEYWORDS else kind, word, match.start(kind)))
        at = match.end()
    return [*tokens, _Token("end", "", end)]


def _wrong(at: int, why: str) -> PubsubError:
    return invalid(f"The filter is invalid at character {at + 1}: {why}. See the Pub/Sub filter syntax.")


def _unquote(token: _Token) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match.group(1)
        if code[0] in "uUx" and len(code) > 1:
            return _character(token, int(code[1:], 16))
        if len(code) == 3:
            return _character(token, int(code, 8))
        if code.isalnum() and code not in _SIMPLE_ESCAPES:
            raise _wrong(token.at, f"unknown escape \\{code}")
        return _SIMPLE_ESCAPES.get(code, code)

    return _ESCAPE.sub(replace, token.text[1:-1])


def _character(token: _Token, code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise _wrong(token.at, f"no character has the code {code:#x}")
    return chr(code)


class _Parser:
    """Recursive descent over the tokens of one filter; depth is bounded by MAX_FILTER_BYTES."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def expression(self) -> Predicate:
        """term {AND term} or term {OR term}."""
        terms = [self._term()]
        operator = self._next.kind
        while self._next.kind in ("AND", "OR"):
            if self._next.kind != operator:
                raise _wrong(self._next.at, "AND and OR are mixed; put parentheses around one of them")
            self.expect(operator)
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        if operator == "AND":
            return lambda attributes: all(term(attributes) for term in terms)
        return lambda attributes: any(term(attributes) for term in terms)

    def expect(self, kind: str) -> _Token:
        """The next token, which must be of that kind."""
        token = self._next
        if token.kind != kind:
            found = repr(token.text) if token.text else "the end"
            raise _wrong(token.at, f"expected {kind} and found {found}")
        self._at += 1
        return token

    @property
    def _next(self) -> _Token:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _term(self) -> Predicate:
        token = self._next
        if token.kind in ("NOT", "-"):
            self.expect(token.kind)
            inner = self._term()
            return lambda attributes: not inner(attributes)
        if token.kind == "(":
            self.expect("(")
            predicate = self.expression()
            self.expect(")")
            return predicate
        if token.text == "hasPrefix":
            return self._has_prefix()
        return self._comparison()

    def _has_prefix(self) -> Predicate:
        self.expect("name")
        self.expect("(")
        self._attributes()
        self.expect(".")
        key = self._key()
        self.expect(",")
        prefix = _unquote(self.expect("string"))
        self.expect(")")
        return lambda attributes: key in attributes and attributes[key].startswith(prefix)

    def _comparison(self) -> Predicate:
        self._attributes()
        if self._next.kind == ":":
            self.expect(":")
            key = self._key()
            return lambda attributes: key in attributes
        self.expect(".")
        key = self._key()
        operator = self.expect("!=" if self._next.kind == "!=" else "=").kind
        value = _unquote(self.expect("string"))
        if operator == "=":
            return lambda attributes: attributes.get(key) == value
        return lambda attributes: attributes.get(key) != value

    def _attributes(self) -> None:
        token = self.expect("name")
        if token.text != "attributes":
            raise _wrong(token.at, f"only attributes can be filtered, not {token.text!r}")

    def _key(self) -> str:
        if self._next.kind == "string":
            return _unquote(self.expect("string"))
        return self.expect("name").text

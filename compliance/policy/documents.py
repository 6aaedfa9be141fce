"""Policy documents: YAML read strictly, with the line of everything, so that a refusal says where.

The reader knows less than YAML on purpose: numbers are exact (a decimal is never a float), only `true` and `false` are
booleans (`NO` is Norway), a key stands once, and there are no anchors, tags or several documents.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from compliance.errors import PolicyInvalidError
from compliance.policy.model import ParameterError, Policy

Place = tuple[str | int, ...]
MAX_BYTES = 200_000
_MAX_DEPTH = 20
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?(0|[1-9][0-9]*)\.[0-9]+")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as data; `lines` has the line of each place, `text` is what was read."""

    name: str
    text: str
    content: Any
    lines: Mapping[Place, int]

    @property
    def content_hash(self) -> str:
        """SHA-256 over the content as written, so that comments and layout may change and no value may."""
        canonical = json.dumps(self.content, sort_keys=True, separators=(",", ":"), default=_exact)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def where(self, place: Sequence[str | int]) -> str:
        """`file:line (a.b.c)` of the place, or of the nearest one around it that stands in the file."""
        path = tuple(place)
        around = next((path[:size] for size in range(len(path), 0, -1) if path[:size] in self.lines), ())
        shown = ".".join(str(part) for part in path)
        line = f"{self.name}:{self.lines.get(around, 1)}"
        return f"{line} ({shown})" if shown else line


def read_document(path: Path) -> Document:
    """The YAML file as data; raises `PolicyInvalidError` that says where and why."""
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= MAX_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyInvalidError(f"{path}: cannot be read as UTF-8 text ({type(error).__name__})") from error
    if size > MAX_BYTES:
        raise PolicyInvalidError(f"{path}: has {size} bytes, which is above {MAX_BYTES}; split the file")
    return parse_document(path.name, text)


def parse_document(name: str, text: str) -> Document:
    """The YAML text as data; `name` is what refusals call it."""
    try:
        _check_events(name, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise PolicyInvalidError(f"{name}:{line}: {getattr(error, 'problem', None) or 'is not YAML'}") from error
    if node is None:
        raise PolicyInvalidError(f"{name}: is empty")
    lines: dict[Place, int] = {}
    return Document(name, text, _value(name, node, (), lines), lines)


def _check_events(name: str, text: str) -> None:
    """Refuse what would make the tree endless or deep, before there is a tree."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise PolicyInvalidError(f"{name}:{line}: anchors and aliases are not supported; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise PolicyInvalidError(f"{name}:{line}: is nested too deep")


def _exact(value: Decimal) -> dict[str, str]:
    """A decimal differs from the text of it."""
    return {"decimal": str(value)}


def _value(name: str, node: yaml.Node, place: Place, lines: dict[Place, int]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if isinstance(node, yaml.SequenceNode):
        return [_value(name, each, (*place, number), lines) for number, each in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(name, node, place, lines)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    raise PolicyInvalidError(f"{name}:{line}: is neither a value, a list nor a mapping")


def _mapping(name: str, node: yaml.MappingNode, place: Place, lines: dict[Place, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode):
            raise PolicyInvalidError(f"{name}:{line}: a key must be a text")
        if key in found:
            raise PolicyInvalidError(f"{name}:{line}: {key!r} stands twice; keep one")
        lines[(*place, key)] = line
        found[key] = _value(name, value_node, (*place, key), lines)
    return found


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    # Quotes and block styles make a text of anything.
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def policy_of(document: Document) -> Policy:
    """The policy that the document states; raises `PolicyInvalidError` with every problem and its line."""
    try:
        return Policy.model_validate(document.content)
    except ValidationError as error:
        problems = [_problem(document, each) for each in error.errors(include_url=False, include_input=False)]
        raise PolicyInvalidError("; ".join(problems)) from error


def _problem(document: Document, error: Any) -> str:
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ParameterError):
        return f"{document.where(cause.place)}: {cause.reason}"
    words = (
        "is not a known key" if error["type"] == "extra_forbidden" else str(error["msg"]).removeprefix("Value error, ")
    )
    return f"{document.where(error['loc'])}: {words}"

"""Where SQL stands: compiled dbt manifests, `.sql` files, and `*_SQL` constants of Python modules.

A constant at module level whose name ends in `_SQL` is BigQuery SQL; SQL of another database has another name.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Any

from infra.runtime.errors import BallastError

_CHECKED_KINDS = {"model", "test", "snapshot", "analysis"}
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)?(?:![rs])?\}")


class SourceError(BallastError):
    """A file that should hold SQL cannot be read as such."""

    code = "sql_source_invalid"


@dataclass(frozen=True)
class SqlText:
    """One text to check: `path` and `first_line` locate it; `origin_lines` are those of the file a person edits.

    `allowed` are the codes that the dbt node waives in `meta.sqlcheck_allow`.
    """

    sql: str
    name: str
    materialization: str
    path: Path
    first_line: int = 1
    layer: str = ""
    bases: Mapping[str, str] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
    origin: Path | None = None

    def place(self, line: int) -> tuple[Path, int]:
        """File and line to show for line `line` of the text; of compiled SQL, the template and its nearest line."""
        if self.origin is not None and self.origin.is_file():
            return self.origin, _template_line(self.origin.read_text(), self.sql, line)
        return self.path, self.first_line + line - 1


def _template_line(template: str, compiled: str, line: int) -> int:
    """The line of the template that became `line`; between lines that stand in both, counted on from the last."""
    written, made = ([text.strip() for text in part.splitlines()] for part in (template, compiled))
    blocks = SequenceMatcher(None, written, made, autojunk=False).get_matching_blocks()
    for block, following in reversed(list(pairwise(blocks))):
        if block.b < line:
            return max(1, min(block.a + line - block.b, following.a if line > block.b + block.size else len(written)))
    return 1


def manifest_texts(manifest_path: Path, project_dir: Path) -> list[SqlText]:
    """The compiled models, tests and snapshots of a dbt manifest. Raises `SourceError` if one was not compiled."""
    try:
        manifest = json.loads(manifest_path.read_text())
        nodes: dict[str, Any] = manifest["nodes"]
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{manifest_path} is not a dbt manifest ({error}); run dbt compile first") from None
    texts = []
    for node in nodes.values():
        if node["resource_type"] not in _CHECKED_KINDS or node.get("language", "sql") != "sql":
            continue
        texts.append(_node_text(node, manifest, manifest_path, project_dir))
    return sorted(texts, key=lambda text: text.name)


def _node_text(node: Mapping[str, Any], manifest: Mapping[str, Any], manifest_path: Path, project_dir: Path) -> SqlText:
    compiled, name = _compiled_code(node, manifest_path), str(node["name"])
    if compiled is None:
        raise SourceError(f"{name} is not compiled in {manifest_path}; run dbt compile, not dbt parse")
    kind = node["resource_type"]
    config = node.get("config") or {}
    meta = {**(node.get("meta") or {}), **(config.get("meta") or {})}
    allowed = meta.get("sqlcheck_allow") or []
    if isinstance(allowed, str) or not all(isinstance(code, str) for code in allowed):
        raise SourceError(f"meta.sqlcheck_allow of {name} must be a list of codes such as [BQ007]")
    parts = str(node["original_file_path"]).split("/")
    return SqlText(
        sql=compiled,
        name=name,
        materialization=str(config.get("materialized") or kind) if kind == "model" else kind,
        path=project_dir / str(node["original_file_path"]),
        layer=parts[1] if kind == "model" and len(parts) > 2 else "",
        bases=_bases(node, manifest),
        allowed=frozenset(allowed),
        origin=project_dir / str(node["original_file_path"]),
    )


def _compiled_code(node: Mapping[str, Any], manifest_path: Path) -> str | None:
    if node.get("compiled_code"):
        return str(node["compiled_code"])
    file = manifest_path.parent / "compiled" / str(node["package_name"]) / str(node["original_file_path"])
    if node["resource_type"] != "test" and file.is_file():
        return file.read_text()
    return None


def _bases(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, str]:
    bases = {}
    for parent_id in node.get("depends_on", {}).get("nodes", ()):
        if parent_id in manifest.get("sources", {}):
            bases[str(manifest["sources"][parent_id]["name"])] = "source"
        elif parent_id in manifest["nodes"]:
            parent = manifest["nodes"][parent_id]
            kind = parent["resource_type"]
            materialized = (parent.get("config") or {}).get("materialized")
            bases[str(parent["name"])] = str(materialized) if kind == "model" and materialized else str(kind)
    return bases


def file_texts(path: Path) -> Iterator[SqlText]:
    """The SQL of a `.sql` or `.py` file. Raises `SourceError` for a Python file that does not parse."""
    if path.suffix == ".sql":
        yield SqlText(path.read_text(), path.stem, "script", path)
    elif path.suffix == ".py":
        yield from python_texts(path)


def python_texts(path: Path) -> Iterator[SqlText]:
    """The `*_SQL` constants of a module; `{name}` in them stands for a name and is checked as `name`."""
    try:
        module = ast.parse(path.read_text(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise SourceError(f"{path} is not a Python module: {error}") from None
    for statement in module.body:
        for name, value in _assigned(statement):
            sql = _text(value)
            if name.endswith("_SQL") and sql is not None:
                yield SqlText(sql, name, "script", path, first_line=value.lineno)


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name):
                yield target.id, statement.value
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        yield statement.target.id, statement.value


def _text(value: ast.expr) -> str | None:
    """The text of a literal, `None` of any other expression; interpolations become names."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return _PLACEHOLDER.sub(lambda match: match.group(1) or "placeholder", value.value)
    if isinstance(value, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "placeholder" for part in value.values)
        return "".join(str(part) for part in parts)
    return None

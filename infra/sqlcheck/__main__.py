"""`python -m infra.sqlcheck`: check the dbt project and the SQL of Python modules; exit code 1 on an error."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.runtime.errors import BallastError
from infra.sqlcheck.check import PARSE_CODE, RULES, check_sql
from infra.sqlcheck.compile import Relations, compile_project
from infra.sqlcheck.model import Finding, Severity
from infra.sqlcheck.sources import SqlText, file_texts, manifest_texts

DEFAULT_PATHS = (
    "dbt_project",
    "ingest",
    "assets",
    "alerting",
    "compliance",
    "orchestration",
    "api",
    "streamlit_app",
    "infra/runtime",
)
_SKIPPED = {".venv", "__pycache__", "target", "dbt_packages", "migrations"}


@dataclass(frozen=True)
class Report:
    """What was checked, and the findings with the file and line to show for each."""

    texts: int
    findings: tuple[tuple[Path, int, Finding], ...]

    @property
    def errors(self) -> int:
        """Number of findings that stop the build."""
        return sum(1 for _, _, finding in self.findings if finding.severity is Severity.ERROR)


def report(texts: Iterable[SqlText]) -> Report:
    """Check each text once; the two compilations of a dbt node that are equal count as one."""
    seen: set[tuple[Path, str, str]] = set()
    found: dict[tuple[Path, int, Finding], None] = {}
    for text in texts:
        identity = (text.path, text.name, text.sql)
        if identity in seen:
            continue
        seen.add(identity)
        for finding in check_sql(
            text.sql,
            materialization=text.materialization,
            name=text.name,
            layer=text.layer,
            bases=text.bases,
            allowed=text.allowed,
        ):
            path, line = text.place(finding.line)
            placed = Finding(finding.rule, finding.severity, finding.message, line, finding.hint)
            found[(path, line, placed)] = None
    ordered = sorted(found, key=lambda item: (str(item[0]), item[1], item[2].rule, item[2].message))
    return Report(len(seen), tuple(ordered))


def texts_of(path: Path, scratch: Path, target: str) -> Iterator[SqlText]:
    """All SQL below `path`: a dbt project is compiled into `scratch`, a folder is searched, a file is read."""
    if (path / "dbt_project.yml").is_file():
        for relations in Relations:
            folder = scratch / path.name / relations
            yield from manifest_texts(compile_project(path, folder, relations, target), path)
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            if not _SKIPPED.intersection(file.parts):
                yield from file_texts(file)
    else:
        yield from file_texts(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.sqlcheck", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="dbt projects, folders, .sql and .py files")
    parser.add_argument("--manifest", type=Path, help="a compiled manifest to check, in place of a compilation")
    parser.add_argument("--project-dir", type=Path, default=Path("dbt_project"), help="the manifest's project")
    parser.add_argument("--target", default="production", help="the dbt target to compile for")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument("--rules", action="store_true", help="list the codes and end")
    return parser


def _print_rules() -> None:
    titles = {PARSE_CODE: "text that the parser cannot read", **{rule.code: rule.title for rule in RULES}}
    for code in sorted(titles):
        sys.stdout.write(f"{code} {titles[code]}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the arguments name, print the findings; 0 when clean, 1 on findings, 2 when nothing can be read."""
    options = _parser().parse_args(arguments)
    if options.rules:
        _print_rules()
        return 0
    paths = options.paths or ([] if options.manifest else [Path(p) for p in DEFAULT_PATHS if Path(p).exists()])
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        sys.stderr.write(f"{', '.join(missing)}: no such file or folder\n")
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="sqlcheck-") as scratch:
            texts = [text for path in paths for text in texts_of(path, Path(scratch), options.target)]
            if options.manifest:
                texts += manifest_texts(options.manifest, options.project_dir)
            result = report(texts)
    except BallastError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    for path, line, finding in result.findings:
        mark = "" if finding.severity is Severity.ERROR else f" {finding.severity}:"
        sys.stdout.write(f"{path}:{line} {finding.rule}{mark} {finding.message} ({finding.hint})\n")
    warnings = len(result.findings) - result.errors
    sys.stdout.write(f"sqlcheck: {result.texts} statements, {result.errors} errors, {warnings} warnings\n")
    return 1 if result.errors or (options.strict and warnings) else 0


if __name__ == "__main__":
    sys.exit(main())

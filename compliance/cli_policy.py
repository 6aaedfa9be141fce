"""`ballast policy`: test policies, and replay one over the past before it counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import Engine

from compliance.errors import PolicyInvalidError
from compliance.policy.book import CASES_SUFFIX, POLICIES, PolicyBook, policy_files
from compliance.policy.cases import CaseResult, cases_file, policy_file, read_policy, run_cases
from compliance.policy.model import Policy
from compliance.policy.overdue import overdue_countries
from compliance.policy.replay import Replay
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.settings import load_settings

app = typer.Typer(
    help="Policies of compliance: test them, and replay one over the past.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_SHOWN_EXAMPLES = 5


@app.command("test")
def cases_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILES]", help="policies or their *.test.yaml; all of compliance/policies unless told"),
    ] = None,
    today: Annotated[
        str | None,
        typer.Option("--today", metavar="YYYY-MM-DD", help="the day that the age of country lists goes by"),
    ] = None,
) -> None:
    """Run the test cases of policies; exit code 1 where one answers otherwise, or the country lists are overdue."""
    at = _date(today) if today is not None else SystemClock().now().date()
    has_passed = run_tests(files or (), at, Console())
    raise typer.Exit(0 if has_passed else 1)


@app.command("replay")
def replay_command(
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="the candidate")],
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=3660, help="how far to go back")] = 90,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what a policy would have flagged, beside what was flagged. Changes nothing."""
    from infra.runtime.postgres import postgres_engine

    engine = postgres_engine(load_settings(), "policy-replay")
    try:
        console = Console(stderr=as_json)
        report = run_replay(engine, SystemClock(), read_policy(policy), days, console)
        if as_json:
            typer.echo(json.dumps(report.to_json(), indent=2))
        else:
            show_replay(report, days, console)
    finally:
        engine.dispose()


def run_tests(files: Sequence[Path], today: date, console: Console) -> bool:
    """Run the cases of the files, of the whole book unless told; False where one fails or the newest is overdue.

    Raises `PolicyInvalidError` where a file cannot be used or a policy has no cases.
    """
    from compliance.aml.features import Features
    from compliance.aml.rules import RULES

    found = [_cases(path) for path in files or policy_files(POLICIES)]
    results = [(path, run_cases(path, RULES, Features)) for path in dict.fromkeys(found)]
    for path, cases in results:
        failed = [case for case in cases if not case.has_passed]
        console.print(f"{path.name}: {len(cases) - len(failed)} of {len(cases)} cases passed", highlight=False)
        for case in failed:
            _show_failure(case, console)
    newest = PolicyBook.load().policies[-1] if not files else _newest([policy_file(path) for path, _ in results])
    overdue = overdue_countries(newest, today)
    if overdue is not None:
        console.print(f"Error: {overdue}", highlight=False, markup=False)
    return overdue is None and all(case.has_passed for _, cases in results for case in cases)


def run_replay(engine: Engine, clock: Clock, policy: Policy, days: int, console: Console) -> Replay:
    """Judge the transactions of the last days by the policy, with a progress bar on a terminal."""
    from compliance.aml.features import Features
    from compliance.aml.rules import RULES
    from compliance.policy.history import count_past, read_past
    from compliance.policy.judging import Judge
    from compliance.policy.replay import replay

    until = clock.now()
    since = until - timedelta(days=days)
    judge = Judge(policy, RULES, Features)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"policy {policy.version}", total=count_past(engine, since, until))
        return replay(judge, read_past(engine, policy, since, until), lambda done: bar.advance(task, done))


def show_replay(report: Replay, days: int, console: Console) -> None:
    """The report as tables."""
    console.print(
        f"Policy {report.policy_version} over {report.transactions} transactions of the last {days} days",
        highlight=False,
    )
    rules = Table("rule", "candidate", "then", "both", "only candidate", "only then", "could not run", "precision")
    for rule in report.rules:
        words = "" if rule.is_run else " (not in it)"
        words = " (shadow)" if rule.is_shadow else words
        right = f"{rule.true} of {rule.true + rule.false}"
        rules.add_row(
            rule.rule_id + words,
            *(str(count) for count in (rule.candidate, rule.then, rule.both, rule.only_candidate, rule.only_then)),
            str(rule.errors + rule.insufficient),
            "unknown" if rule.precision_pct is None else f"{rule.precision_pct} % ({right})",
        )
    console.print(rules)
    decisions = Table("decided then", "candidate", "transactions")
    for (then, now), count in sorted(report.decisions.items()):
        decisions.add_row(then, now, str(count))
    console.print(decisions)
    if report.missed_count:
        shown = ", ".join(report.missed[:_SHOWN_EXAMPLES])
        console.print(
            f"Warning: it would accept {report.missed_count} that an officer rejected, such as {shown}", highlight=False
        )


def _cases(path: Path) -> Path:
    cases = path if path.name.endswith(CASES_SUFFIX) else cases_file(path)
    if not cases.is_file():
        raise PolicyInvalidError(f"{path}: there are no test cases; write {cases.name} beside it")
    return cases


def _newest(paths: Sequence[Path]) -> Policy:
    return max((read_policy(path) for path in paths), key=lambda policy: policy.effective_from)


def _show_failure(case: CaseResult, console: Console) -> None:
    console.print(f"  FAILED {case.where}: {case.name}", highlight=False, markup=False)
    for problem in case.problems:
        console.print(f"    {problem}", highlight=False, markup=False)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("write the day as YYYY-MM-DD", param_hint="--today") from error

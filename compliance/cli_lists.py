"""`ballast compliance load-list` and `screen`: lists come in, and a name is searched in them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from compliance.errors import ComplianceInputError
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import load_settings

app = typer.Typer(help="Lists to screen against.", no_args_is_help=True, rich_markup_mode=None)


@app.command("load-list")
def load_list_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the list, such as ofac_sdn")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...", help="OFAC's sdn, alt, add and sdn_comments.csv; the UN's XML; or FollowTheMoney lines"
        ),
    ],
    max_shrinkage: Annotated[
        float,
        typer.Option(
            "--max-shrinkage", min=0, max=1, help="share of entries, names or wallets that may be gone; else refused"
        ),
    ] = 0.05,
) -> None:
    """Load a list as a new version; what is empty, damaged or much smaller is refused and the old one stays."""
    from compliance.screening.lists import load_list

    engine = postgres_engine(load_settings(), "load-list", pool_size=1)
    try:
        version = load_list(engine, SystemClock(), name, files, max_shrinkage=max_shrinkage)
    finally:
        engine.dispose()
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{name} is active as {version.list_version_id}, SHA-256 {version.content_hash}.")
    console.print(
        f"{version.entries} entries, {version.names} names, {version.wallets} wallets;"
        f" {version.added} added, {version.changed} changed, {version.removed} removed."
    )
    if version.reason:
        console.print(f"Note: {version.reason}.", markup=False)


@app.command("screen")
def screen_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a name in any script")],
    kind: Annotated[str, typer.Option("--kind", help="person, company, vessel or aircraft")] = "person",
    born: Annotated[str | None, typer.Option("--born", metavar="YYYY-MM-DD", help="date of birth")] = None,
) -> None:
    """Search a name in the active lists; nothing is stored. Exit code 0: clear, 1: a hit, 2: not screened."""
    from compliance.policy.book import PolicyBook
    from compliance.screening.service import Screener

    clock = SystemClock()
    policy = PolicyBook.load().current(clock.now())
    engine = postgres_engine(load_settings(), "screen-name", pool_size=2)
    try:
        found = Screener(engine, clock).screen_name(name, kind=kind, birth_date=_date(born), policy=policy)
    finally:
        engine.dispose()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{found.outcome}: policy {policy.version}, threshold {policy.screening.threshold}")
    for list_name, version_id in found.list_versions.items():
        console.print(f"  {list_name} {version_id}")
    if found.reason:
        console.print(found.reason)
    for hit in found.hits:
        console.print(f"{hit.rank}. {hit.listed_name} ({hit.list_name} {hit.entry_id}, {', '.join(hit.topics)})")
        for reason in hit.reasons:
            console.print(f"   {reason}")
    raise typer.Exit({"clear": 0, "hit": 1}.get(found.outcome.value, 2))


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ComplianceInputError(f"{text!r} is no date; give it as 1961-05-30.") from None

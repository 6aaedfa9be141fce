"""The `ballast` command: the whole platform on one machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Ballast on this machine: every server, worker and screen, supervised. State stands in .ballast/.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

risk = typer.Typer(help="Risk in the terminal.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(risk, name="risk")

# The room's own commands parse these.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

Prices = Annotated[
    Path | None,
    typer.Option("--prices", metavar="FOLDER", help="folder with one CSV of daily closes per asset; else simulated"),
]


@app.command()
def up(
    port_base: Annotated[
        int | None,
        typer.Option("--port-base", metavar="N", help="first port of the block; 8600 unless told or remembered"),
    ] = None,
    ports: Annotated[
        str | None,
        typer.Option("--ports", metavar="free", help="'free': take ports that nobody uses, and remember them"),
    ] = None,
    prices: Prices = None,
) -> None:
    """Start what does not run yet, wait until it is ready, and leave it running in the background."""
    from infra.embedded import commands

    commands.up(port_base, ports, prices)


@app.command()
def down() -> None:
    """Stop everything. Data stays."""
    from infra.embedded import commands

    commands.down()


@app.command()
def status() -> None:
    """Show every service; exit code 1 if anything is not ready."""
    from infra.embedded import commands

    raise typer.Exit(0 if commands.status() else 1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a service as `ballast status` names it")],
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", min=0, help="how many of the last lines")] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on with new lines until Ctrl-C")] = False,
) -> None:
    """Show the end of a service's log."""
    from infra.embedded import commands

    commands.logs(name, lines, follow)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Stop everything and delete all local data and credentials."""
    from infra.embedded import commands

    commands.reset(yes)


@app.command()
def demo(
    prices: Prices = None,
    accounts: Annotated[int, typer.Option("--accounts", metavar="N", min=1, help="size of the simulated book")] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="of simulated prices and book")] = 42,
) -> None:
    """Show the platform at work: a price falls, and the margin call arrives."""
    from infra.embedded import commands

    commands.demo(prices, accounts, seed)


@risk.command("var")
def risk_var(
    account: Annotated[str | None, typer.Option("--account", metavar="ACCOUNT", help="an account's id")] = None,
    book: Annotated[bool, typer.Option("--book", help="the whole book")] = False,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="YYYY-MM-DD", help="day of positions and closes; the last with closes"),
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", metavar="DAYS", help="observations; 500 unless told")
    ] = None,
    horizon: Annotated[int | None, typer.Option("--horizon", metavar="DAYS", help="1 or 10; 1 unless told")] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", metavar="NAMES", help="with commas, or 'all'; historical simulation or its fallback"),
    ] = None,
    confidences: Annotated[
        list[str] | None, typer.Option("--confidence", metavar="P", help="such as 0.99, any number of times")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compute Value at Risk anew and compare it with what is stored; exit code 1 where a stored figure differs."""
    from infra.embedded import commands

    is_confirmed = commands.risk_var(account, book, as_of, window, horizon, methods or (), confidences or (), as_json)
    raise typer.Exit(0 if is_confirmed else 1)


@app.command("compliance", context_settings=PASSED_ON, add_help_option=False)
def compliance(context: typer.Context) -> None:
    """The record, keys and lists of compliance: verify-ledger, rotate-keys, load-list, screen."""
    from infra.embedded import cli_compliance

    cli_compliance.run("compliance", context.args)


@app.command("policy", context_settings=PASSED_ON, add_help_option=False)
def policy(context: typer.Context) -> None:
    """Policies as files: test them, and replay one over what happened."""
    from infra.embedded import cli_compliance

    cli_compliance.run("policy", context.args)


def main() -> None:
    """The console command; errors that a person can act on are shown without a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        print("\nInterrupted. What runs goes on; `ballast down` stops it.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone, as in `ballast logs api | head`; nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        from infra.runtime.errors import BallastError

        if not isinstance(error, BallastError | OSError):
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

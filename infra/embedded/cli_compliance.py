"""The commands of `ballast compliance` and `ballast policy`, which the room brings; loaded when one is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

import typer

from infra.embedded.errors import EmbeddedError

MODULES: Mapping[str, Sequence[str]] = {
    "compliance": ("compliance.cli_ledger", "compliance.cli_lists"),
    "policy": ("compliance.cli_policy",),
}
HELP: Mapping[str, str] = {
    "compliance": "The record of compliance, its keys, and the lists that it screens against.",
    "policy": "Policies as files: test them, and replay one over what happened.",
}


def run(group: str, arguments: Sequence[str]) -> None:
    """Run a command of the group; ends with `SystemExit`, or with the command's own error.

    Raises `EmbeddedError` where a module of the group cannot be loaded.
    """
    app = typer.Typer(
        help=HELP[group],
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name in MODULES[group]:
        try:
            module = import_module(name)
        except ImportError as error:
            raise EmbeddedError(
                f"`ballast {group}` cannot be used: {name} does not load ({error}). Run `make install`."
            ) from error
        app.add_typer(module.app)
    app(args=list(arguments), prog_name=f"ballast {group}")

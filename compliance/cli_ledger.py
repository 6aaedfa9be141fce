"""`ballast compliance verify-ledger` and `rotate-keys`: proof that the record holds, and new keys for personal data."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from compliance.chain import ChainReport, ChainState, verify
from compliance.errors import ComplianceInputError
from compliance.users import key_counts, rewrap_users
from infra.runtime.envelope import Envelope, LocalKeyRing, key_ring
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings, load_settings

app = typer.Typer(help="The record of compliance, and its keys.", no_args_is_help=True, rich_markup_mode=None)


@app.command("verify-ledger")
def verify_ledger(
    noted: Annotated[
        list[str] | None,
        typer.Option("--noted", metavar="CHAIN:ROW:HASH", help="a state written down earlier, which must still hold"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Recompute the record of case events and decisions; exit code 1 at the first row that does not follow."""
    known = dict(parse_noted(text) for text in noted or ())
    engine = postgres_engine(load_settings(), "verify-ledger", pool_size=1)
    try:
        with engine.connect() as connection:
            report = verify(connection, known)
    finally:
        engine.dispose()
    if as_json:
        states = {name: {"rows": state.rows, "head_hash": state.head_hash} for name, state in report.chains.items()}
        typer.echo(json.dumps(states, indent=2))
        return
    console = Console(soft_wrap=True)
    console.print(_table(report))
    console.print(
        "Every row follows from the one before. To notice a rewrite of everything, keep these lines elsewhere:"
    )
    for name, state in report.chains.items():
        console.print(f"  --noted {name}:{state.rows}:{state.head_hash}", highlight=False)


@app.command("rotate-keys")
def rotate_keys(
    rewrap_only: Annotated[
        bool, typer.Option("--rewrap-only", help="make no new key: go on with a rotation that ended early")
    ] = False,
) -> None:
    """Make a new key and wrap the keys of all personal data by it; nothing is decrypted, hashes stay.

    With Cloud KMS the new key version is made there; this wraps everything by its primary version.
    """
    settings = load_settings()
    changed, counts, active = rotate(settings, rewrap_only=rewrap_only)
    console = Console(soft_wrap=True)
    console.print(f"{changed} rows wrapped anew.", highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("key")
    table.add_column("rows", justify="right")
    for key_id, rows in counts.items():
        table.add_row(f"{key_id} (active)" if key_id == active else key_id, str(rows))
    console.print(table)
    if set(counts) - {active}:
        console.print("Some rows changed meanwhile or came from a process with the old key: run it with --rewrap-only.")


def rotate(settings: Settings, *, rewrap_only: bool = False) -> tuple[int, dict[str, int], str]:
    """Rotate; returns how many rows were wrapped anew, the rows of each key, and the active key.

    Safe to repeat and to interrupt. Raises `SettingsError` where there is no ring, `UnsealError` for a row whose key
    does not open.
    """
    ring = key_ring(settings)
    if settings.pii_key_file is not None and not rewrap_only:
        ring = LocalKeyRing.rotate(settings.pii_key_file)
    engine = postgres_engine(settings, "rotate-keys", pool_size=1)
    try:
        changed = rewrap_users(engine, Envelope(ring))
        with engine.connect() as connection:
            counts = dict(key_counts(connection))
    finally:
        engine.dispose()
    return changed, counts, ring.active_key_id


def parse_noted(text: str) -> tuple[str, ChainState]:
    """The chain and its state in `CHAIN:ROW:HASH`; raises `ComplianceInputError`."""
    parts = text.split(":")
    if len(parts) != 3 or not parts[1].isascii() or not parts[1].isdigit() or len(parts[2]) != 64:
        raise ComplianceInputError("--noted takes CHAIN:ROW:HASH, as verify-ledger prints it.")
    return parts[0], ChainState(int(parts[1]), parts[2].lower())


def _table(report: ChainReport) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("chain")
    table.add_column("rows", justify="right")
    table.add_column("head", no_wrap=True)
    for name, state in report.chains.items():
        table.add_row(name, str(state.rows), f"{state.head_hash[:16]}...")
    return table

"""What each `ballast` command does; `infra.embedded.cli` declares how it is called."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal

from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table

from compliance.api.people import SIGN_IN_ROLES, people_of
from infra.embedded.credentials import stack_settings
from infra.embedded.errors import EmbeddedError, ServicesFailedError
from infra.embedded.ports import HOST, Ports
from infra.embedded.state import StateFolder, check_prices
from infra.embedded.supervisor import Progress, ServiceState, ServiceStatus, Stack, StackEvent
from infra.runtime.clock import SystemClock
from infra.runtime.errors import NotReadyError
from infra.runtime.settings import Settings, load_settings

FOLLOW_POLL_S = 0.25
# A person waits: a warehouse that does not answer by then is not running.
WAREHOUSE_DEADLINE_S = 5.0
WIDTH_WITHOUT_TERMINAL = 150
_ASK_THE_LOG = (ServiceState.FAILED, ServiceState.NOT_READY, ServiceState.RESTARTING)
_COLOURS = {
    ServiceState.READY: "green",
    ServiceState.DONE: "green",
    ServiceState.FAILED: "red",
    ServiceState.LEFT_OVER: "red",
    ServiceState.NOT_READY: "yellow",
    ServiceState.STARTING: "yellow",
    ServiceState.RESTARTING: "yellow",
    ServiceState.STOPPING: "yellow",
    ServiceState.STOPPED: "dim",
}


def up(port_base: int | None, ports_word: str | None, prices: Path | None) -> None:
    """Start the stack and say where it is; raises `EmbeddedError` for what a person must mend."""
    console = Console()
    state = StateFolder(load_settings().state_dir)
    stack = Stack(state.path, _chosen_ports(state, port_base, ports_word))
    market = None
    if prices is not None:
        market = replace(state.read_market(), prices=check_prices(prices))
    is_first = not (state.path / "ballast.env").exists()
    try:
        with _progress(console, "Starting") as progress:
            stack.up(progress=progress, market=market)
    except ServicesFailedError:
        _show_addresses(console, stack_settings(state.path), stack.ports, is_first=is_first)
        raise
    _show_addresses(console, stack_settings(state.path), stack.ports, is_first=is_first)


def down() -> None:
    """Stop the stack."""
    console = Console()
    with _progress(console, "Stopping") as progress:
        did_run = Stack(load_settings().state_dir).down(progress)
    console.print("Stopped." if did_run else "Nothing was running.")


def status() -> bool:
    """Show the table of services; True if every one is ready."""
    found = Stack(load_settings().state_dir).status()
    console = Console()
    console.print(_table(found))
    for each in found:
        note = each.detail or (f"see `ballast logs {each.name}`" if each.state in _ASK_THE_LOG else "")
        if note:
            console.print(escape(f"{each.name}: {note}"), soft_wrap=True)
    return all(each.is_ready for each in found)


def logs(name: str, lines: int, follow: bool) -> None:
    """Print the end of a log, and with `follow` what is added, also across its rotation."""
    state = StateFolder(load_settings().state_dir)
    file = state.log_file(name)
    known = sorted(each.stem for each in state.logs.glob("*.log"))
    if name not in known:
        listed = ", ".join(known) or "none yet: `ballast up` first"
        raise EmbeddedError(f"There is no log of {name!r}. Logs: {listed}.")
    with file.open(encoding="utf-8", errors="replace") as stream:
        text = stream.readlines()
        sys.stdout.writelines(text[max(0, len(text) - lines) :])
        if not follow:
            return
        position = stream.tell()
    try:
        for part in _added(file, position):
            sys.stdout.write(part)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


def reset(yes: bool) -> None:
    """Delete the state folder, after asking; raises `EmbeddedError` where nobody can be asked."""
    console = Console()
    stack = Stack(load_settings().state_dir)
    if not stack.state.path.is_dir():
        console.print("Nothing to delete.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise EmbeddedError("`ballast reset` asks before it deletes; where nobody can answer, give --yes.")
        if not Confirm.ask(f"Delete all data and credentials in {escape(str(stack.state.path))}?", default=False):
            console.print("Nothing was deleted.")
            return
    with _progress(console, "Stopping") as progress:
        stack.reset(progress)
    console.print("Deleted.")


def demo(prices: Path | None, accounts: int, seed: int) -> None:
    """Run the demonstration."""
    from infra.embedded.demo import run_demo

    run_demo(prices=check_prices(prices) if prices else None, accounts=accounts, seed=seed)


def risk_var(
    account: str | None,
    is_book: bool,
    as_of: str | None,
    window: int | None,
    horizon: int | None,
    methods: Sequence[str],
    confidences: Sequence[str],
    as_json: bool,
) -> bool:
    """Show computed and stored Value at Risk; True if no stored figure differs."""
    # NumPy, SciPy and BigQuery's client, which no other command needs.
    from infra.embedded import risk_options, risk_report, risk_terminal
    from infra.runtime.bigquery import Warehouse

    question = risk_options.question(account, is_book, as_of, window, horizon, methods, confidences)
    settings = stack_settings(load_settings().state_dir)
    if settings.bigquery_endpoint is None:
        raise NotReadyError(f"No stack was ever started in {settings.state_dir}: run `ballast up`.")
    try:
        found = risk_report.report(Warehouse(settings, WAREHOUSE_DEADLINE_S), question, SystemClock().now().date())
    except NotReadyError as error:
        raise NotReadyError(f"{error.message}. `ballast status` shows what runs, `ballast up` starts it.") from error
    if as_json:
        print(risk_terminal.as_json(found))
    else:
        console = Console()
        # Where no terminal tells its width, tables are not squeezed into 80 columns.
        console = console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)
        console.print(risk_terminal.render(found), highlight=False)
    return found.is_confirmed


def _chosen_ports(state: StateFolder, base: int | None, word: str | None) -> Ports | None:
    if base is not None and word is not None:
        raise EmbeddedError("Give --port-base or --ports, not both.")
    if word is not None:
        if word != "free":
            raise EmbeddedError(f"--ports knows only the word 'free', not {word!r}; for a number use --port-base.")
        running = state.read_ports() if Stack(state.path).is_running() else None
        return running or Ports.free()
    return None if base is None else Ports.from_base(base)


@contextmanager
def _progress(console: Console, doing: str) -> Iterator[Progress]:
    """Shows one line for each settled service, and on a terminal what is being waited for."""
    began: dict[str, float] = {}
    with console.status(doing) as spinner:

        def show(event: StackEvent) -> None:
            if event.state in (ServiceState.STARTING, ServiceState.STOPPING):
                began[event.name] = time.monotonic()
            else:
                seconds = time.monotonic() - began.pop(event.name, time.monotonic())
                detail = f"{seconds:5.1f} s" if not event.detail else escape(event.detail)
                console.print(f"{event.name:<18}{_coloured(event.state)}  {detail}", soft_wrap=True)
            spinner.update(f"{doing} {', '.join(began)}".rstrip())

        yield show


def _coloured(state: ServiceState) -> str:
    return f"[{_COLOURS[state]}]{state:<10}[/]"


def _table(found: list[ServiceStatus]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "state", "pid", "uptime", "restarts", "address"):
        justify: Literal["left", "right"] = "right" if heading in ("pid", "uptime", "restarts") else "left"
        table.add_column(heading, justify=justify, no_wrap=True)
    for each in found:
        table.add_row(
            each.name,
            _coloured(each.state),
            str(each.pid or ""),
            "" if each.uptime_s is None else _duration(each.uptime_s),
            str(each.restarts or ""),
            each.address or "",
        )
    return table


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}"


def _added(file: Path, position: int) -> Iterator[str]:
    stream: IO[str] = file.open(encoding="utf-8", errors="replace")
    try:
        stream.seek(position)
        while True:
            part = stream.read()
            if part:
                yield part
                continue
            time.sleep(FOLLOW_POLL_S)
            if _was_rotated(file, stream):
                stream.close()
                stream = file.open(encoding="utf-8", errors="replace")
    finally:
        stream.close()


def _was_rotated(file: Path, stream: IO[str]) -> bool:
    import os

    try:
        now = file.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(stream.fileno())
    return now.st_ino != opened.st_ino or now.st_size < stream.tell()


def _show_addresses(console: Console, settings: Settings, ports: Ports, *, is_first: bool) -> None:
    rows = {
        "App": f"http://{HOST}:{ports.app}",
        "API": settings.api_url,
        "Dagster": f"http://{HOST}:{ports.dagster_ui}",
        "Inbox": settings.inbox_url or "",
    }
    console.print()
    for name, address in rows.items():
        console.print(f"{name:<10}{address}")
    _show_people(console, settings, is_first=is_first)
    console.print("`ballast status` shows the services, `ballast down` stops them.")


def _show_people(console: Console, settings: Settings, *, is_first: bool) -> None:
    """As whom one can sign in to the app, and where the passwords stand; the first time, on a terminal, also those."""
    people = [each for each in people_of(settings.compliance_users).actors if each.role in SIGN_IN_ROLES]
    names = ", ".join(each.name for each in people) or "nobody"
    console.print(f"\nSign in to the app as {escape(names)}.", soft_wrap=True)
    what = "The passwords (BALLAST_COMPLIANCE_USERS, name:role:password) and the API's token stand in"
    console.print(f"{what} {escape(str(settings.env_file))}", soft_wrap=True)
    if not (is_first and console.is_terminal and settings.compliance_users and settings.api_token):
        return
    shown = {"API token": settings.api_token.get_secret_value()}
    for entry in re.split(r"[\n,]", settings.compliance_users.get_secret_value()):
        name, _, rest = (part.strip() for part in entry.partition(":"))
        if name in {each.name for each in people}:
            shown[name] = rest.partition(":")[2].strip()
    for name, secret in shown.items():
        console.print(f"  {name:<12}{secret}", highlight=False, markup=False, soft_wrap=True)

"""The demo, step by step."""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from assets.risk import queries, stress_queries, var_queries
from infra.embedded.credentials import stack_settings
from infra.embedded.demo import tables
from infra.embedded.demo.alerts import drop_prices
from infra.embedded.demo.compliance import load_libraries, show_gate
from infra.embedded.demo.stage import Demo
from infra.embedded.demo.warm_runner import WarmRunner, warm_runner
from infra.embedded.errors import EmbeddedError
from infra.embedded.market import connect, opening_prices
from infra.embedded.ports import Ports
from infra.embedded.provision import prepare_compliance, provision, publish_book, register_people
from infra.embedded.state import MarketChoice
from infra.embedded.supervisor import Stack
from infra.runtime.logs import configure_logs
from infra.runtime.settings import load_settings
from ingest.closes import PriceSet
from ingest.market import collect_book, collect_closes
from ingest.prices.reads import LATEST_WITHIN, latest_prices
from ingest.publish import arrived_events

GROUND = ("bigquery", "pubsub", "postgres", "ethereum", "hermes", "inbox")
WORKERS = ("consumer", "oracle", "alert-worker", "alert-upkeep", "compliance-worker", "dagster-code", "dagster-daemon")
ARRIVAL_TIMEOUT_S = 120.0
BUILD_ATTEMPTS = 3
SHOWN_ACCOUNTS = 8
WIDTH_WITHOUT_TERMINAL = 150
SHOWN_SCENARIOS = (
    "covid_2020_03",
    "terra_2022_05",
    "ftx_2022_11",
    "usdc_2023_03",
    "ladder_10",
    "ladder_30",
    "ladder_50",
)
LIQUIDATION_ASSETS = ("BTC", "ETH")


def run_demo(prices: Path | None, accounts: int, seed: int) -> None:
    """Run the whole chain once on an own stack (free ports, state in `.ballast/demo`), print it, and stop.

    Raises `BallastError` for what a person can mend; whatever was started is stopped in any case.
    """
    started = time.monotonic()
    # What this process does is printed; its servers keep logs of their own.
    configure_logs("demo", "ERROR")
    console = _console()
    folder = load_settings().state_dir / "demo"
    choice = MarketChoice(prices=prices, seed=seed, accounts=accounts)
    source = f"closes of {prices}" if prices else f"simulated prices (seed {seed})"
    console.print(f"[bold]Ballast demo[/]: {accounts} simulated accounts on {source}", highlight=False)
    _clear(folder)
    stack = Stack(folder, Ports.free())
    try:
        _play(console, stack, choice)
    finally:
        began = time.monotonic()
        with console.status("stopping"):
            stack.down()
        console.print(f"[green]done[/] stopped [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)
    console.print(f"The demo took {time.monotonic() - started:.0f} s. `make up` keeps everything running.")


def _console() -> Console:
    """Where nobody's window limits the width (a pipe, a CI log), the tables take what they need."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)


def _clear(folder: Path) -> None:
    """End what an interrupted demo left, and start from nothing but the parsed dbt project."""
    if not folder.is_dir():
        return
    with tempfile.TemporaryDirectory(dir=folder.parent) as kept:
        parsed = folder / "dbt"
        if parsed.is_dir():
            shutil.move(str(parsed), kept)
        Stack(folder).reset()
        if (Path(kept) / "dbt").is_dir():
            folder.mkdir(parents=True)
            shutil.move(str(Path(kept) / "dbt"), str(parsed))


def _play(console: Console, stack: Stack, choice: MarketChoice) -> None:
    began = time.monotonic()
    with console.status("starting the embedded servers"):
        stack.up(GROUND, market=choice)
    console.print(
        f"[green]done[/] embedded servers are up: {', '.join(GROUND)} [dim]{time.monotonic() - began:.1f} s[/]"
    )
    demo = Demo(console, stack, stack_settings(stack.state.path))
    with ThreadPoolExecutor(1, "workers") as background, warm_runner(stack.state) as runner:
        with demo.step("datasets, tables, topics") as progress:
            provision(demo.settings, lambda step: progress.update(progress.task_ids[0], description=step))
        found = collect_closes(demo.settings, demo.clock)
        market = connect(demo.settings)
        market.jump(opening_prices(found))
        # Consumer, oracle, the processes of alerting and Dagster's daemon start while data are loaded.
        workers = background.submit(stack.up, WORKERS)
        background.submit(load_libraries)
        _load_book(demo, found, workers)
        with demo.step("Dagster is loading"):
            runner.wait_ready()
        _build(demo, runner)
        mark = _mark(found)
        _show_book(demo, mark)
        with demo.step("margin sensor and alert worker are starting"):
            workers.result()
        drop_prices(demo, market)
        show_gate(demo)


def _check(workers: Future[None]) -> None:
    """Raise what kept the workers from starting."""
    if workers.done():
        workers.result()


def _priced(demo: Demo) -> set[str]:
    rows = latest_prices(demo.warehouse, demo.clock.now() - LATEST_WITHIN)
    return {row.asset for row in rows if row.price_usd is not None}


def _load_book(demo: Demo, found: PriceSet, workers: Future[None]) -> None:
    """Publish the book through Pub/Sub; wait until the consumer has written it and the oracle priced every asset."""
    events = collect_book(demo.settings, found)
    ids = [event.event_id for event in events]
    with demo.step(f"book of {len(ids)} settlement events through Pub/Sub", total=len(ids)) as progress:
        register_people(demo.settings, events)
        prepare_compliance(demo.settings, events)
        publish_book(demo.settings, events)
        deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
        while (arrived := len(arrived_events(demo.warehouse, ids))) < len(ids):
            progress.update(progress.task_ids[0], completed=arrived)
            _check(workers)
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Only {arrived} of {len(ids)} events arrived: see `consumer` in {demo.stack.state.logs}."
                )
            time.sleep(0.2)
        progress.update(progress.task_ids[0], completed=len(ids))
    with demo.step(f"oracle prices {len(found.assets)} assets from the local chain and the local Hermes"):
        while missing := set(found.assets) - _priced(demo):
            _check(workers)
            if time.monotonic() > deadline:
                raise EmbeddedError(f"No price of {sorted(missing)} came: see `oracle` in {demo.stack.state.logs}.")
            time.sleep(0.2)
    demo.console.print(
        f"     closes of {', '.join(found.assets)} to {found.last_date}; "
        f"simulated: {', '.join(found.simulated_assets) or 'none'}",
        highlight=False,
    )


def _mark(found: PriceSet) -> str:
    if set(found.assets) == set(found.simulated_assets):
        return " (simulated prices)"
    return f" (real closes of {found.last_date} replayed by local price sources)"


def _build(demo: Demo, runner: WarmRunner) -> None:
    """Run the daily job; a server that was killed meanwhile is waited for and the job run again."""
    for attempt in range(1, BUILD_ATTEMPTS + 1):
        outcome = _run_daily_job(demo, runner)
        if outcome["success"]:
            break
        failures = "\n".join(outcome["failures"])
        if attempt == BUILD_ATTEMPTS:
            raise EmbeddedError(f"risk_daily_job failed {attempt} times, lastly:\n{failures}")
        demo.console.print(f"[yellow]risk_daily_job failed and is run again[/]: {failures[:300]}", highlight=False)
        for name in GROUND:
            demo.stack.wait_ready(name)
    demo.console.print(
        f"     risk_daily_job: {outcome['materialized']} assets built, {outcome['checks']} checks, "
        f"{len(outcome['failed_checks'])} failed {outcome['failed_checks'] or ''}",
        highlight=False,
    )


def _run_daily_job(demo: Demo, runner: WarmRunner) -> dict[str, Any]:
    title = "Dagster builds and tests the dbt project"
    with demo.step(title) as progress:
        task, ended = progress.task_ids[0], [0]

        def on_node(node: str, status: str) -> None:
            ended[0] += 1
            progress.update(task, description=f"{title}: {ended[0]} {node} {status}")

        return runner.run("risk_daily_job", on_node)


def _show_book(demo: Demo, mark: str) -> None:
    reader = demo.warehouse
    estimates = queries.book_var(reader)
    demo.console.print()
    demo.console.print(tables.book_table(queries.book_summary(reader), estimates, mark))
    demo.console.print(tables.exposures_table(queries.asset_exposures(reader), mark))
    nearest = queries.nearest_to_call(reader, SHOWN_ACCOUNTS)
    ids = [account.account_id for account in nearest]
    demo.console.print(
        tables.accounts_table(
            nearest,
            queries.liquidation_prices(reader, ids),
            queries.account_var(reader, ids),
            LIQUIDATION_ASSETS,
            mark,
        )
    )
    demo.console.print(tables.methods_table(queries.book_var_estimates(reader), mark))
    demo.console.print(tables.backtests_table(var_queries.var_backtests(reader), mark))
    stress = stress_queries.stress_results(reader)
    demo.console.print(tables.stress_table([each for each in stress if each.scenario_id in SHOWN_SCENARIOS], mark))
    demo.console.print()

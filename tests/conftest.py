"""Embedded servers for a whole session, and a warehouse on them with closes, a book, prices and all dbt models built.

Tests that need `built_warehouse` carry `pytestmark = pytest.mark.xdist_group("built_warehouse")`: with
`--dist loadgroup` one worker builds and the others do not.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog

from infra.embedded.provision import provision, provision_warehouse
from infra.embedded.testing import embedded_ground
from infra.runtime.bigquery import Appended, Warehouse
from infra.runtime.clock import FixedClock, SystemClock
from infra.runtime.pubsub import Ack, Received
from infra.runtime.settings import Settings
from ingest.closes import load_price_set
from ingest.consumer import prices_writer, settlements_writer
from ingest.market import collect_book, collect_closes
from ingest.messages import SIMULATED, PriceMessage, PriceSource, SettlementEvent, price_id

BOOK_ACCOUNTS = 40
SAFE_RECURSION = 1_000
ALL_MODELS = ("package:ballast",)
REPUBLISH_S = 60.0

_GROUP = re.compile(r"""xdist_group\(\s*(?:name=)?["'](\w+)["']""")

DbtBuild = Callable[[Settings, Sequence[str]], Any]
DbtRun = Callable[[Settings, Sequence[str]], None]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Group tests by the `xdist_group` in their file's `pytestmark`, else by file: its servers start once.

    Groups start in the order of collection, which ends with the many short ones of `unit`: xdist's own order, by number
    of tests, leaves a long group with few tests to the end, where one process waits for the other.

    xdist passes groups to its scheduler inside node ids, which pytest 9.2 no longer lets it change:
    https://github.com/pytest-dev/pytest-xdist/issues/1386
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            found = _GROUP.search(_text(config.rootpath / file))
            return found.group(1) if found else file

    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def pytest_configure() -> None:
    """Spare the tests work that they do not look at.

    The garbage collector looks after 50,000 new objects instead of 700: a third of the collection of tests was its
    time. A log that nobody configured shows failures as plain tracebacks: structlog's own, with colours and all local
    variables, take seconds each.
    """
    gc.set_threshold(50_000, 20, 20)
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


def pytest_collection_finish() -> None:
    """Undo what py_ecc does when web3 loads it: so deep a recursion that nested JSON overflows the stack.

    What is loaded by now stays to the end: the garbage collector passes over it.
    """
    sys.setrecursionlimit(min(sys.getrecursionlimit(), SAFE_RECURSION))
    gc.collect()
    gc.freeze()


@cache
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Embedded BigQuery, Pub/Sub and PostgreSQL, empty; each xdist worker has its own."""
    with embedded_ground(tmp_path_factory.mktemp("ground")) as settings:
        yield settings


@pytest.fixture(scope="session")
def new_project(ground: Settings, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Makes a project of its own on the session's BigQuery, with datasets and tables and a state folder."""

    def make(name: str, **changes: Any) -> Settings:
        own = {"gcp_project": name, "state_dir": tmp_path_factory.mktemp(name)}
        settings = ground.model_copy(update=own | changes)
        provision_warehouse(settings)
        return settings

    return make


@pytest.fixture(scope="session")
def without_warnings() -> Callable[[], Any]:
    """A block in which dbt may run: what its libraries warn of is not ours, and dbt writes to the environment."""

    @contextmanager
    def block() -> Iterator[None]:
        before = dict(os.environ)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    return block


@pytest.fixture(scope="session")
def dbt_build(without_warnings: Callable[[], Any]) -> DbtBuild:
    """Builds and tests the selected models; fails naming each node that failed or was skipped."""

    def build(settings: Settings, models: Sequence[str]) -> list[Any]:
        with without_warnings():
            from assets.dbt_build import run_build

            outcomes = run_build(settings, models)
        assert outcomes, f"dbt selected nothing of {list(models)}"
        wrong = [f"{o.unique_id}: {o.status}: {o.message}" for o in outcomes if o.is_error or o.status == "skipped"]
        assert not wrong, "\n".join(wrong)
        return outcomes

    return build


@pytest.fixture(scope="session")
def dbt_run(without_warnings: Callable[[], Any]) -> DbtRun:
    """Builds the selected models without their data tests: for steps whose outcome another build tests."""

    def run(settings: Settings, models: Sequence[str]) -> None:
        with without_warnings():
            from assets.dbt_build import invoke

            without_tests = [word for kind in ("test", "unit_test") for word in ("--exclude-resource-type", kind)]
            done: Any = invoke(settings, ["build", *without_tests, "--select", *models]).result
        assert done.results, f"dbt selected nothing of {list(models)}"
        wrong = [f"{each.node.name}: {each.status}: {each.message}" for each in done if each.status != "success"]
        assert not wrong, "\n".join(wrong)

    return run


@dataclass(frozen=True)
class _EveryDelivery:
    """Appends without row ids: BigQuery drops repeats at its best effort only, so models must bear every one."""

    warehouse: Warehouse

    def append(
        self, table_id: str, rows: Sequence[Mapping[str, Any]], row_ids: Sequence[str] | None = None
    ) -> Appended:
        return self.warehouse.append(table_id, rows)


def _deliver(
    settings: Settings, prices: bool, messages: Sequence[PriceMessage | SettlementEvent], at: datetime
) -> None:
    warehouse, clock = _EveryDelivery(Warehouse(settings)), FixedClock(at)
    writer: Any = prices_writer(warehouse, clock) if prices else settlements_writer(warehouse, clock)
    batch = [Received(m.to_json(), {}, f"m{at.timestamp():.6f}-{i}", at, "") for i, m in enumerate(messages)]
    outcomes = writer(batch)
    assert all(isinstance(outcome, Ack) for outcome in outcomes), outcomes


@pytest.fixture(scope="session")
def deliver_events() -> Callable[[Settings, Sequence[SettlementEvent], datetime], None]:
    """Hands settlement events to the consumer's own writer, as arrived at a time."""
    return lambda settings, events, at: _deliver(settings, False, events, at)


@pytest.fixture(scope="session")
def deliver_prices() -> Callable[[Settings, Mapping[str, Decimal], datetime], None]:
    """Hands one simulated price an asset (USD) to the consumer's own writer, observed and arrived at a time."""

    def deliver(settings: Settings, prices_usd: Mapping[str, Decimal], at: datetime) -> None:
        _deliver(settings, True, [_price(asset, price_usd, at) for asset, price_usd in prices_usd.items()], at)

    return deliver


def _price(asset: str, price_usd: Decimal, at: datetime) -> PriceMessage:
    source = PriceSource(name=SIMULATED, price_usd=price_usd, observed_at=at, reference=at.isoformat())
    return PriceMessage(
        price_id=price_id(asset, at, price_usd, [source.reference]),
        asset=asset,
        price_usd=price_usd,
        sources=[source],
        observed_at=at,
        published_at=at,
    )


@pytest.fixture(scope="session")
def built_warehouse(
    ground: Settings,
    dbt_build: DbtBuild,
    deliver_events: Callable[..., None],
    deliver_prices: Callable[..., None],
) -> Iterator[Settings]:
    """The session's servers with simulated closes, a book of forty accounts, fresh prices and every model built once.

    Prices are published again each minute, as the oracle does: after five of silence they would be stale. Shared by
    many tests: read it, and leave accounts and closes as they are.
    """
    settings, clock = ground.model_copy(update={"book_accounts": BOOK_ACCOUNTS}), SystemClock()
    provision(settings)
    found = collect_closes(settings, clock)
    load_price_set(Warehouse(settings), found, clock)
    deliver_events(settings, collect_book(settings, found), clock.now() - timedelta(seconds=1))
    prices_usd = {asset: close.close_usd for asset, close in found.last_closes().items()}
    deliver_prices(settings, prices_usd, clock.now())
    dbt_build(settings, ALL_MODELS)
    ended = threading.Event()

    def republish() -> None:
        while not ended.wait(REPUBLISH_S):
            deliver_prices(settings, prices_usd, clock.now())

    thread = threading.Thread(target=republish, name="prices")
    thread.start()
    yield settings
    ended.set()
    thread.join()

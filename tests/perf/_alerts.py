"""What the benchmarks of alerts share: settings with local providers, people, events, workers, and what they use."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import Engine, text

from alerting import compliance_events, events
from alerting.events import LiquidationPrice, MarginEvent, Severity
from alerting.migrations import upgrade
from alerting.preferences.service import RegisteredContact, register_contacts
from infra.embedded.services import child_environment
from infra.embedded.state import StateFolder
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import TopicSpec, ensure_topics
from infra.runtime.sealing import Sealer
from infra.runtime.settings import PROJECT_ROOT, Settings

CHANNELS = ("email", "sms", "webhook")
ACCOUNTS = 20_000
# Two events of an account differ in their figures, as those of a market do: texts of the same words would be one.
DISTINCT_FIGURES = 9_973


def use_providers(settings: Settings, port: int, **more: object) -> Settings:
    """Settings whose providers are the local process, written down for the workers."""
    root = f"http://127.0.0.1:{port}"
    values: dict[str, object] = {
        "sendgrid_url": root,
        "sendgrid_api_key": "bench",
        "twilio_url": root,
        "twilio_account_sid": "AC" + "0" * 32,
        "twilio_auth_token": "bench",
        "twilio_from": "+15005550006",
        "pagerduty_url": root,
        "pagerduty_routing_key": "0" * 32,
        "webhook_url": f"{root}/hook",
        "sms_per_second": 10_000,
        "email_per_second": 20_000,
        "alert_worker_port": 0,
        **more,
    }
    file = settings.env_file
    names = {f"BALLAST_{name.upper()}" for name in values}
    kept = [line for line in file.read_text().splitlines() if line.partition("=")[0] not in names]
    file.write_text("\n".join([*kept, *(f"BALLAST_{name.upper()}={value}" for name, value in values.items())]) + "\n")
    return Settings.model_validate({**settings.model_dump(), **values})


def prepare(settings: Settings, accounts: int) -> None:
    """Topics, schema, and a registered mail address and number for each account."""
    topics = (
        TopicSpec(events.TOPIC, (events.SUBSCRIPTION,)),
        TopicSpec(compliance_events.TOPIC, (compliance_events.SUBSCRIPTION,)),
    )
    ensure_topics(settings, topics)
    engine = postgres_engine(settings)
    upgrade(engine)
    people = [
        RegisteredContact(
            f"acct-{number:05}",
            f"acct-{number:05}@accounts.ballast.example",
            f"+1202{2_000_000 + number:07}",
            ("en", "de", "es")[number % 3],
            "UTC",
        )
        for number in range(accounts)
    ]
    done = register_contacts(engine, Sealer(settings.sealing_key), SystemClock(), people)
    if done.refused:
        raise SystemExit(f"contacts were refused: {list(done.refused.items())[:2]}")
    engine.dispose()


def make_event(
    number: int, account: int, at: datetime, severity: Severity = Severity.MARGIN_CALL, transition: int = 1
) -> MarginEvent:
    """A transition of the account, in an episode of its own."""
    return MarginEvent(
        margin_event_id=f"mev_{number}",
        account_id=f"acct-{account:05}",
        severity=severity,
        episode_id=f"mep_{number}",
        transition_number=transition,
        health_pct=Decimal("28.412345678"),
        collateral_usd=Decimal("64206.17") + number % DISTINCT_FIGURES,
        borrow_usd=Decimal("50000.00"),
        threshold_pct=Decimal(30),
        liquidation_prices=(
            LiquidationPrice(asset="BTC", threshold_pct=Decimal(30), price_usd=Decimal(65_000)),
            LiquidationPrice(asset="BTC", threshold_pct=Decimal(15), price_usd=Decimal(57_500)),
        ),
        price_ids=("px_1", "px_2"),
        detected_at=at,
    )


class Usage:
    """CPU and memory of named processes while it runs."""

    def __init__(self, named: dict[str, list[int]]) -> None:
        self._named = named
        self._began = {name: self._cpu_s(pids) for name, pids in named.items()}
        self._at = time.monotonic()
        self.peak_mib: dict[str, float] = dict.fromkeys(named, 0.0)
        self.samples: dict[str, list[float]] = {name: [] for name in named}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> str:
        """Cores used and peak memory of each."""
        self._ended.set()
        self._thread.join()
        took = time.monotonic() - self._at
        cores = {name: (self._cpu_s(pids) - self._began[name]) / took for name, pids in self._named.items()}
        return "  ".join(f"{name} {cores[name]:.2f} cores, {self.peak_mib[name]:.0f} MiB" for name in self._named)

    def _sample(self) -> None:
        while not self._ended.wait(1.0):
            for name, pids in self._named.items():
                used = sum(each.memory_info().rss for each in _family(pids, with_children=name != "postgres")) / 2**20
                self.samples[name].append(used)
                self.peak_mib[name] = max(self.peak_mib[name], used)

    @staticmethod
    def _cpu_s(pids: list[int]) -> float:
        total = 0.0
        for each in _family(pids, with_children=True):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
        return total


def _family(pids: list[int], *, with_children: bool) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            found += [parent, *(parent.children(recursive=True) if with_children else ())]
    return found


class MortalWorker:
    """`python -m alerting.worker` that is killed and started again; each life has a log of its own."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._folder = settings.state_dir
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self.logs: list[Path] = []

    def start(self) -> None:
        """Begin another life."""
        log = self._folder / f"{self._name}-{len(self.logs)}.log"
        self.logs.append(log)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "alerting.worker", "--port", "0"],
                cwd=PROJECT_ROOT,
                env=child_environment(StateFolder(self._folder), self._name),
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """SIGKILL, which nothing can prepare for; nothing where it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def is_working(self) -> bool:
        """Whether this life has come as far as to send; raises `SystemExit` if it ended by itself."""
        if self._process is None:
            return False
        log = self.logs[-1].read_text(errors="replace")
        if self._process.poll() is not None:
            raise SystemExit(f"{self._name} ended with {self._process.returncode}:\n{log[-3000:]}")
        return "worker_ready" in log

    def logged(self, needles: Sequence[str], following: int = 0) -> list[str]:
        """Lines of all lives that contain one of these, each with some that follow it."""
        found = []
        for log in self.logs:
            lines = log.read_text(errors="replace").splitlines()
            at = [n for n, line in enumerate(lines) if any(needle in line for needle in needles)]
            found += ["\n".join(lines[n : n + 1 + following]) for n in at]
        return found


def listener(port: int) -> list[int]:
    """The process that listens there."""
    found = (c for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.pid)
    return sorted({c.pid for c in found if c.laddr and c.laddr.port == port and c.pid})


def pending(engine: Engine) -> int:
    """Notifications that have not ended."""
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from alerting.pending")).scalar_one())


def asked(port: int, path: str) -> dict[str, Any]:
    """What the providers answer to `path`."""
    return dict(httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30, trust_env=False).json())


def counts(port: int) -> dict[str, Any]:
    """What the providers saw."""
    return asked(port, "/counts")

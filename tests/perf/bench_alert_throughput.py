"""Notifications a second through preference, claim, send and ledger, to local providers, on the cores of this machine.

    python tests/perf/bench_alert_throughput.py [--rate 1000] [--seconds 60] [--workers 1] [--faults]

Margin events are published at a steady rate; each becomes a mail, a text and a webhook. Real Pub/Sub server, PostgreSQL
and worker processes; the providers are one local process. With `--faults` 30 % of their answers are 503, for one second
in ten they answer 429 to everything, and one answer in a hundred comes 2 s late. Latency is from the event to the
provider's acceptance, as the ledger has it. Reference of the same run: the same requests posted by a bare client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from contextlib import ExitStack, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

import aiohttp
import httpx
import psutil
from _bench import ground, print_machine, process, wait_until
from sqlalchemy import Engine, text

from alerting import compliance_events, events
from alerting.events import MarginEvent, Severity
from alerting.migrations import upgrade
from alerting.preferences.service import RegisteredContact, register_contacts
from infra.embedded.ports import free_ports
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import Publisher, TopicSpec, ensure_topics
from infra.runtime.sealing import Sealer
from infra.runtime.settings import Settings

CHANNELS = ("email", "sms", "webhook")
ACCOUNTS = 20_000
TICK_S = 0.1
REFERENCE_REQUESTS = 3_000
DRAIN_S = 120.0


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


def make_event(number: int, accounts: int, at: datetime) -> MarginEvent:
    """A margin call of the account whose turn it is, in an episode of its own."""
    return MarginEvent(
        margin_event_id=f"mev_{number}",
        account_id=f"acct-{number % accounts:05}",
        severity=Severity.MARGIN_CALL,
        episode_id=f"mep_{number}",
        transition_number=1 + number // accounts,
        health_pct=Decimal("28.412345678"),
        collateral_usd=Decimal("64206.17"),
        borrow_usd=Decimal("50000.00"),
        threshold_pct=Decimal(30),
        liquidation_prices=(
            {"asset": "BTC", "threshold_pct": "30", "price_usd": "65000"},
            {"asset": "BTC", "threshold_pct": "15", "price_usd": "57500"},
        ),
        price_ids=("px_1", "px_2"),
        detected_at=at,
    )


def publish(settings: Settings, per_second: float, seconds: float, accounts: int) -> int:
    """Publish events at this rate; returns how many."""
    publisher, clock, count = Publisher(settings), SystemClock(), 0
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        wanted = int(elapsed * per_second)
        for number in range(count, wanted):
            publisher.publish(events.TOPIC, make_event(number, accounts, clock.now()).to_wire())
        count = max(count, wanted)
        time.sleep(TICK_S)
    publisher.close()
    return count


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


def listener(port: int) -> list[int]:
    """The process that listens there."""
    return sorted(
        {c.pid for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.laddr.port == port and c.pid}
    )


def bare_client(port: int) -> float:
    """Requests a second of an aiohttp client that does nothing else, texts and webhooks by turns."""

    async def run() -> float:
        root = f"http://127.0.0.1:{port}"
        callback = {"To": "+12025550100", "Body": "x", "StatusCallback": "http://a.example/?notification_id=bare"}
        sid = "AC" + "0" * 32
        places = asyncio.Semaphore(100)

        async def one(session: aiohttp.ClientSession, number: int) -> None:
            async with places:
                if number % 2:
                    url = f"{root}/2010-04-01/Accounts/{sid}/Messages.json"
                    request = session.post(url, data=callback)
                else:
                    request = session.post(f"{root}/hook", data=b"{}", headers={"webhook-id": "bare"})
                async with request as response:
                    await response.read()

        async with aiohttp.ClientSession() as session:
            began = time.perf_counter()
            await asyncio.gather(*(one(session, number) for number in range(REFERENCE_REQUESTS)))
            return REFERENCE_REQUESTS / (time.perf_counter() - began)

    return asyncio.run(run())


RESULTS_SQL = text(
    """
    select
        n.channel, count(*) as accepted,
        percentile_cont(array[0.5, 0.95, 0.99, 1]) within group (order by s.seconds_since_detected) as cuts,
        min(s.at) as first_at, max(s.at) as last_at
    from alerting.notification_states as s
    inner join alerting.notifications as n using (notification_id)
    where s.state = 'accepted'
    group by rollup (n.channel)
    order by n.channel
    """
)


def report(engine: Engine) -> float:
    """Print what the ledger says; returns notifications a second over the whole run."""
    rate = 0.0
    with engine.connect() as connection:
        for row in connection.execute(RESULTS_SQL):
            seconds = (row.last_at - row.first_at).total_seconds()
            cuts = "  ".join(
                f"{n} {float(v):7.2f}" for n, v in zip(("p50", "p95", "p99", "max"), row.cuts, strict=True)
            )
            rate = row.accepted / max(seconds, 1e-9)
            print(f"{row.channel or 'all':8} {row.accepted:7,} accepted, {rate:7,.0f}/s   event -> accepted {cuts} s")
        other = connection.execute(
            text("select coalesce(terminal_state, 'pending') as state, count(*) from alerting.notifications group by 1")
        )
        print("states   " + ", ".join(f"{row.state} {row.count:,}" for row in other))
    return rate


def pending(engine: Engine) -> int:
    """Notifications that have not ended."""
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from alerting.pending")).scalar_one())


def counts(port: int) -> dict[str, Any]:
    """What the providers saw."""
    return dict(httpx.get(f"http://127.0.0.1:{port}/counts", timeout=30, trust_env=False).json())


def main() -> None:
    """Run one load and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1_000, help="notifications a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--faults", action="store_true")
    options = parser.parse_args()
    print_machine()
    with ExitStack() as held:
        settings = held.enter_context(ground(("pubsub", "postgres")))
        [port] = free_ports(1)
        settings = use_providers(settings, port)
        faults = ("--fail", "0.3", "--burst-every", "10", "--burst-s", "1", "--stall", "0.01") if options.faults else ()
        providers = held.enter_context(
            process(settings, "tests/perf/_providers.py", "--port", str(port), *faults, name="providers")
        )
        prepare(settings, options.accounts)
        wait_until(lambda: bool(listener(port)), "the providers")
        reference = bare_client(port)
        workers = [
            held.enter_context(process(settings, "-m", "alerting.worker", name=f"worker-{number}"))
            for number in range(options.workers)
        ]
        logs = [settings.state_dir / f"worker-{number}.log" for number in range(options.workers)]
        wait_until(lambda: all("worker_ready" in log.read_text() for log in logs), "the workers")
        engine = postgres_engine(settings)
        held.callback(engine.dispose)
        usage = Usage(
            {
                "workers": [each.pid for each in workers],
                "providers": [providers.pid],
                "postgres": listener(int(settings.postgres_url.get_secret_value().rsplit(":", 1)[1].split("/")[0])),
                "pubsub": listener(int((settings.pubsub_endpoint or ":0").rsplit(":", 1)[1])),
            }
        )
        published = publish(settings, options.rate / len(CHANNELS), options.seconds, options.accounts)
        backlog = pending(engine)
        expected = published * len(CHANNELS)
        ends = time.monotonic() + DRAIN_S
        seen = counts(port)
        while sum(seen[channel]["distinct"] for channel in CHANNELS) < expected and time.monotonic() < ends:
            time.sleep(0.5)
            seen = counts(port)
        while pending(engine) and time.monotonic() < ends:
            time.sleep(0.5)
        used = usage.end()
        print(
            f"{options.rate:,.0f} notifications/s for {options.seconds:.0f} s, {options.workers} worker(s)"
            f"{', faults' if options.faults else ''}: {published:,} events, backlog at the end {backlog:,}"
        )
        rate = report(engine)
        print(f"usage    {used}")
        print(f"providers {json.dumps({key: seen[key] for key in CHANNELS})}")
        print(f"reference: a bare client posts {reference:,.0f} requests/s; ratio {rate / reference:.2f}")
    print_machine()


if __name__ == "__main__":
    main()

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
import time
from contextlib import ExitStack

import aiohttp
from _alerts import ACCOUNTS, CHANNELS, Usage, counts, listener, make_event, pending, prepare, use_providers
from _bench import ground, print_machine, process, wait_until
from sqlalchemy import Engine, text

from alerting import events
from infra.embedded.ports import free_ports
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import Publisher
from infra.runtime.settings import Settings

TICK_S = 0.1
REFERENCE_REQUESTS = 3_000
DRAIN_S = 120.0


def publish(settings: Settings, per_second: float, seconds: float, accounts: int) -> int:
    """Publish events at this rate; returns how many."""
    publisher, clock, count = Publisher(settings), SystemClock(), 0
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        wanted = int(elapsed * per_second)
        for number in range(count, wanted):
            event = make_event(number, number % accounts, clock.now(), transition=1 + number // accounts)
            publisher.publish(events.TOPIC, event.to_wire())
        count = max(count, wanted)
        time.sleep(TICK_S)
    publisher.close()
    return count


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

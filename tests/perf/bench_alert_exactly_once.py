"""Nothing lost and nothing doubled that can be told apart, while workers are killed all the time.

    python tests/perf/bench_alert_exactly_once.py [--seconds 120] [--workers 4] [--rate 200] [--seed 7]

Margin events are published at a steady rate, each twice or thrice over ten seconds; each becomes a mail, a text and a
webhook, and every tenth, a liquidation, a page too. Meanwhile a working process is killed (SIGKILL) every few seconds
and started again. The providers answer some requests late, so that kills fall between acceptance and ledger. Then the
ledger is compared with what the providers took. Ends with 1 if anything is lost or a copy is not explained by the
ledger: an attempt that was begun and has no recorded outcome is the window that no sender can close.
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from _alerts import MortalWorker, asked, listener, make_event, pending, prepare, use_providers
from _bench import ground, print_machine, process, wait_until
from sqlalchemy import Engine, text

from alerting import events
from alerting.events import Severity
from infra.embedded.ports import free_ports
from infra.runtime.clock import SystemClock
from infra.runtime.postgres import postgres_engine
from infra.runtime.pubsub import LEASE_S, Publisher
from infra.runtime.settings import Settings

CHANNELS = ("email", "sms", "webhook", "pagerduty")
# Accounts are many enough that none gets so many alerts that they are digested.
ACCOUNTS = 4_000
LIQUIDATION_EVERY = 10
PER_EVENT = 3 + 1 / LIQUIDATION_EVERY
COPIES_WITHIN_S = 10.0
BETWEEN_KILLS_S = (1.0, 5.0)
TICK_S = 0.05
# What a killed worker had pulled comes again after its lease.
REDELIVERED_S = LEASE_S + 5.0
DRAIN_S = 240.0
FAULTS = ("send_failed", "channel_failed", "part_failed", "outcomes_not_recorded", "Traceback")

HISTORY = text(
    """
    select
        notifications.notification_id, notifications.channel, notifications.terminal_state,
        count(*) filter (where states.state = 'planned') as planned,
        count(*) filter (where states.state = 'sent') as sent,
        count(*) filter (where states.state = 'accepted') as accepted,
        count(*) filter (where states.state in ('accepted', 'failed')) as answered,
        coalesce(bool_or(states.detail like 'found in the list%'), false) as is_found
    from alerting.notifications
    inner join alerting.notification_states as states using (notification_id)
    group by notifications.notification_id
    """
)

# Each must count nothing.
CHECKS: Mapping[str, str] = {
    "recipients of an event with two notifications": """
        select count(*) from (
            select 1 from alerting.notifications group by event_id, channel, recipient having count(*) > 1
        ) as found
        """,
    "notifications planned twice": """
        select count(*) from (
            select 1 from alerting.notification_states where state = 'planned'
            group by notification_id having count(*) > 1
        ) as found
        """,
    "ended notifications without exactly one planned state": """
        select count(*) from (
            select notifications.notification_id
            from alerting.notifications
            inner join alerting.notification_states as states using (notification_id)
            where notifications.terminal_state is not null
            group by notifications.notification_id
            having
                count(*) filter (where states.state = 'planned') != 1
                and not (notifications.terminal_state = 'suppressed' and count(*) = 1)
        ) as found
        """,
    "notifications that have not ended": """
        select count(*) from alerting.notifications where terminal_state is null
        """,
    "ended notifications that are still queued": """
        select count(*) from alerting.pending
        inner join alerting.notifications using (notification_id)
        where notifications.terminal_state is not null
        """,
    "ends that the history does not tell": """
        select count(*) from alerting.notifications
        where not exists (
            select 1 from alerting.notification_states as states
            where states.notification_id = notifications.notification_id and states.state = notifications.terminal_state
        )
        """,
    "histories that begin with something else than the plan": """
        select count(*) from (
            select distinct on (notification_id) state from alerting.notification_states
            order by notification_id, state_id
        ) as first
        where state not in ('planned', 'suppressed')
        """,
}


@dataclass
class Chaos:
    """What was done to the system."""

    published: int = 0
    copies: int = 0
    kills: int = 0
    event_ids: list[str] = field(default_factory=list)


def disturb(settings: Settings, workers: Sequence[MortalWorker], per_second: float, seconds: float, seed: int) -> Chaos:
    """Publish for `seconds` and kill as long as copies are left."""
    done, dice, clock, publisher = Chaos(), random.Random(seed), SystemClock(), Publisher(settings)
    copies: list[tuple[float, int, bytes]] = []
    began = time.monotonic()
    next_kill = dice.uniform(*BETWEEN_KILLS_S)
    while (elapsed := time.monotonic() - began) < seconds or copies:
        for number in range(done.published, int(min(elapsed, seconds) * per_second)):
            severity = Severity.MARGIN_CALL if number % LIQUIDATION_EVERY else Severity.LIQUIDATION
            event = make_event(number, number % ACCOUNTS, clock.now(), severity, 1 + number // ACCOUNTS)
            publisher.publish(events.TOPIC, event.to_wire())
            done.event_ids.append(event.margin_event_id)
            for _ in range(dice.choice((1, 2))):
                heapq.heappush(copies, (elapsed + dice.uniform(0, COPIES_WITHIN_S), number, event.to_wire()))
            done.published = number + 1
        while copies and copies[0][0] <= elapsed:
            publisher.publish(events.TOPIC, heapq.heappop(copies)[2])
            done.copies += 1
        if elapsed >= next_kill and (working := [worker for worker in workers if worker.is_working]):
            victim = dice.choice(working)
            victim.kill()
            victim.start()
            done.kills += 1
            next_kill = elapsed + dice.uniform(*BETWEEN_KILLS_S)
        time.sleep(TICK_S)
    publisher.close()
    return done


def settle(engine: Engine, workers: Sequence[MortalWorker], published: int) -> None:
    """Wait until every event is in the ledger, nothing is queued, and what was pulled by the killed came again."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < DRAIN_S:
        with engine.connect() as connection:
            known: int = connection.execute(
                text("select count(*) from alerting.events where kind = 'margin'")
            ).scalar_one()
        up = sum(worker.is_working for worker in workers)
        if waited >= REDELIVERED_S and up == len(workers) and known >= published and not pending(engine):
            return
        time.sleep(0.5)
    print("gave up waiting: the checks tell what is left")


def compare(rows: Sequence[Any], seen: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Print what the ledger and the providers say of each channel; returns what must not be."""
    wrong: list[str] = []
    print("channel     planned  accepted  at provider  lost  taken over  copies  killed between  lease ran out")
    for channel in CHANNELS:
        own = [row for row in rows if row.channel == channel and row.planned]
        taken = seen[channel]
        lost = [row for row in own if taken.get(row.notification_id, 0) == 0 or row.terminal_state != "accepted"]
        unknown = set(taken) - {row.notification_id for row in own}
        twice = [row for row in own if taken.get(row.notification_id, 0) > 1]
        copies = sum(taken[row.notification_id] - 1 for row in twice)
        how: Counter[str] = Counter()
        for row in twice:
            how[explanation(row, taken[row.notification_id])] += taken[row.notification_id] - 1
        if lost:
            wrong.append(f"{channel}: {len(lost)} lost, as {lost[0].notification_id} ({lost[0].terminal_state})")
        if unknown:
            wrong.append(f"{channel}: {len(unknown)} messages that the ledger does not know")
        if how["unexplained"]:
            wrong.append(f"{channel}: {how['unexplained']} copies that the ledger does not explain")
        if channel == "sms" and copies:
            wrong.append(f"sms: {copies} copies, where the look-up at Twilio must prevent them")
        print(
            f"{channel:10} {len(own):8,} {sum(row.accepted > 0 for row in own):9,} {len(taken):12,} {len(lost):5}"
            f" {sum(row.sent > 1 for row in own):11,} {copies:7,} {how['killed']:15,} {how['lease']:14,}"
        )
    return wrong


def explanation(row: Any, taken: int) -> str:
    """Why the provider took a notification more than once, by its history."""
    if row.sent < taken or row.sent < 2:
        return "unexplained"
    # Begun attempts without an outcome: their worker died before the ledger had it.
    if taken - row.accepted <= row.sent - row.answered:
        return "killed" if row.accepted <= 1 else "lease"
    return "unexplained"


def check(engine: Engine) -> list[str]:
    """What the ledger says of itself that must not be."""
    wrong = []
    with engine.connect() as connection:
        for what, statement in CHECKS.items():
            count: int = connection.execute(text(statement)).scalar_one()
            print(f"{count:6,} {what}")
            if count:
                wrong.append(f"{count} {what}")
    return wrong


def main() -> int:
    """Disturb, settle, compare; 1 if something must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=200, help="notifications a second")
    parser.add_argument("--accept-s", type=float, default=0.4, help="how late a late answer comes")
    parser.add_argument("--late", type=float, default=0.5, help="share of late answers")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print_machine()
    with ExitStack() as held:
        settings = held.enter_context(ground(("pubsub", "postgres")))
        [port] = free_ports(1)
        settings = use_providers(settings, port)
        slow = ("--accept-s", str(options.accept_s), "--late", str(options.late))
        held.enter_context(process(settings, "tests/perf/_providers.py", "--port", str(port), *slow, name="providers"))
        prepare(settings, ACCOUNTS)
        wait_until(lambda: bool(listener(port)), "the providers")
        engine = postgres_engine(settings)
        held.callback(engine.dispose)
        workers = [MortalWorker(settings, f"worker-{number}") for number in range(options.workers)]
        for worker in workers:
            held.callback(worker.kill)
            worker.start()
        wait_until(lambda: all(worker.is_working for worker in workers), "the workers")
        done = disturb(settings, workers, options.rate / PER_EVENT, options.seconds, options.seed)
        settle(engine, workers, done.published)
        with engine.connect() as connection:
            rows = connection.execute(HISTORY).all()
            known: set[str] = set(connection.execute(text("select event_id from alerting.events")).scalars())
        seen = asked(port, "/accepted")
        lives = sum(len(worker.logged(["worker_ready"])) for worker in workers)
        print(
            f"{options.seconds:.0f} s at {options.rate:.0f} notifications/s, {options.workers} workers, seed "
            f"{options.seed}: {done.kills} kills, {lives - options.workers} restarts; {done.published:,} events, "
            f"published {done.published + done.copies:,} times; {sum(row.sent for row in rows):,} attempts begun"
        )
        wrong = compare(rows, seen["accepted"])
        unplanned = [key for key in done.event_ids if key not in known]
        print(f"{len(unplanned):6,} events that the ledger does not have")
        if unplanned:
            wrong.append(f"{len(unplanned)} events were never planned")
        wrong += check(engine)
        faults = [line for worker in workers for line in worker.logged(FAULTS, following=30)]
        print(f"{len(faults):6,} faults in the workers' logs ({', '.join(FAULTS)})")
        for line in faults[:3]:
            print(line[:4000])
        tell_copies(rows, seen, done.kills)
        if seen["changed_bodies"] or seen["page_keys"]:
            wrong.append("copies that their receiver cannot know: another body under the same id, or another key")
    print_machine()
    print("\n".join(f"WRONG: {each}" for each in wrong) or "nothing lost, every copy explained")
    return 1 if wrong else 0


def tell_copies(rows: Sequence[Any], seen: Mapping[str, Any], kills: int) -> None:
    """Say what becomes of the copies of each channel."""
    twice = {channel: sum(count - 1 for count in seen["accepted"][channel].values()) for channel in CHANNELS}
    found = sum(row.is_found for row in rows)
    print(
        f"webhook: {twice['webhook']} copies under the same webhook-id, {len(seen['changed_bodies'])} of them with "
        f"another body; pages: {twice['pagerduty']} copies, {len(seen['page_keys'])} with another dedup_key: "
        "receivers drop them"
    )
    print(f"sms: {twice['sms']} copies; {found} prevented, because the look-up found the text at Twilio")
    print(f"email: {twice['email']} copies in {kills} kills; SendGrid takes no idempotency key")


if __name__ == "__main__":
    raise SystemExit(main())

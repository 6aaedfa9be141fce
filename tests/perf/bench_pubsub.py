"""Benchmark of the embedded Pub/Sub with the real client: throughput, latency, and a reference of the same machine.

    python tests/perf/bench_pubsub.py --messages 20000 --size 200 --singles 500

Server and client are two processes. `publish` is PublisherClient with its default batching until every id has come;
`end to end` is publishing and acknowledging in a callback at the same time, until every acknowledgement is sent;
`one by one` is publish to callback with one message under way. References: SQLite with WAL, synchronous=NORMAL and 100
rows of the same size in a transaction, and an asyncio queue in memory. Ratios compare runs on different machines.
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "ballast-bench"
PATIENCE_SECONDS = 300.0
REFERENCE_BATCH = 100


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The server in a process of its own; its address."""
    command = [sys.executable, "-m", "infra.embedded.pubsub", "--data-dir", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


class Bench:
    """Clients of one server."""

    def __init__(self, address: str) -> None:
        self.publisher = pubsub_v1.PublisherClient(
            transport=PublisherGrpcTransport(channel=grpc.insecure_channel(address))
        )
        self.eager = pubsub_v1.PublisherClient(
            batch_settings=pubsub_v1.types.BatchSettings(max_messages=1),
            transport=PublisherGrpcTransport(channel=grpc.insecure_channel(address)),
        )
        self.subscriber = pubsub_v1.SubscriberClient(
            transport=SubscriberGrpcTransport(channel=grpc.insecure_channel(address))
        )

    def close(self) -> None:
        """Close the clients."""
        self.subscriber.close()
        for publisher in (self.publisher, self.eager):
            publisher.stop()
            publisher.transport.close()

    def create(self, name: str) -> tuple[str, str]:
        """A topic and a subscription to it."""
        topic = self.publisher.topic_path(PROJECT, name)
        subscription = self.subscriber.subscription_path(PROJECT, name)
        self.publisher.create_topic(name=topic)
        self.subscriber.create_subscription(name=subscription, topic=topic)
        return topic, subscription

    def publish(self, count: int, body: bytes) -> float:
        """Messages a second until every id has come."""
        topic, _ = self.create("publish")
        began = time.perf_counter()
        futures = [self.publisher.publish(topic, body) for _ in range(count)]
        ids = {future.result(PATIENCE_SECONDS) for future in futures}
        elapsed = time.perf_counter() - began
        assert len(ids) == count, "two messages have one id"
        return count / elapsed

    def end_to_end(self, count: int, body: bytes) -> float:
        """Messages a second from the first publish to the last callback."""
        topic, subscription = self.create("end-to-end")
        seen: set[str] = set()
        complete = threading.Event()

        def take(message: Any) -> None:
            seen.add(message.message_id)
            message.ack()
            if len(seen) == count:
                complete.set()

        stream = self.subscriber.subscribe(subscription, take)
        began = time.perf_counter()
        futures = [self.publisher.publish(topic, body) for _ in range(count)]
        ids = {future.result(PATIENCE_SECONDS) for future in futures}
        assert complete.wait(PATIENCE_SECONDS), f"{count - len(seen)} of {count} messages did not arrive"
        elapsed = time.perf_counter() - began
        stream.cancel()
        stream.result(PATIENCE_SECONDS)
        assert seen == ids, "what arrived is not what was published"
        return count / elapsed

    def one_by_one(self, count: int, body: bytes) -> list[float]:
        """Milliseconds from publish to callback, sorted."""
        topic, subscription = self.create("one-by-one")
        arrivals: queue.Queue[float] = queue.Queue()

        def take(message: Any) -> None:
            arrivals.put(time.perf_counter())
            message.ack()

        stream = self.subscriber.subscribe(subscription, take)
        latencies = []
        for index in range(count + 10):
            began = time.perf_counter()
            self.eager.publish(topic, body)
            arrived = arrivals.get(timeout=PATIENCE_SECONDS)
            if index >= 10:  # the first ones open connections
                latencies.append((arrived - began) * 1000)
        stream.cancel()
        stream.result(PATIENCE_SECONDS)
        return sorted(latencies)


def sqlite_reference(folder: Path, count: int, body: bytes) -> float:
    """Rows a second into a plain SQLite table."""
    with closing(sqlite3.connect(folder / "reference.sqlite3", isolation_level=None)) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.execute("create table rows (id integer primary key, body blob not null)")
        began = time.perf_counter()
        for _ in range(0, count, REFERENCE_BATCH):
            db.execute("begin immediate")
            db.executemany("insert into rows (body) values (?)", [(body,)] * REFERENCE_BATCH)
            db.execute("commit")
        return count / (time.perf_counter() - began)


async def queue_reference(count: int, body: bytes) -> float:
    """Messages a second through an asyncio queue."""
    messages: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1000)

    async def produce() -> None:
        for _ in range(count):
            await messages.put(body)

    began = time.perf_counter()
    producer = asyncio.create_task(produce())
    for _ in range(count):
        await messages.get()
    await producer
    return count / (time.perf_counter() - began)


def main() -> None:
    """Run everything once and print it."""
    parser = argparse.ArgumentParser(description="Benchmark of the embedded Pub/Sub.")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=200, help="bytes of a message")
    parser.add_argument("--singles", type=int, default=500, help="messages of the latency measurement")
    arguments = parser.parse_args()
    body = b"x" * arguments.size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_sqlite = sqlite_reference(folder, arguments.messages, body)
        in_memory = asyncio.run(queue_reference(arguments.messages, body))
        with server(folder / "server") as address:
            bench = Bench(address)
            published = bench.publish(arguments.messages, body)
            delivered = bench.end_to_end(arguments.messages, body)
            latencies = bench.one_by_one(arguments.singles, body)
            bench.close()
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    print(f"messages {arguments.messages} of {arguments.size} bytes")
    print(f"publish      {published:10,.0f} /s   sqlite/publish {in_sqlite / published:6.1f}")
    print(f"end to end   {delivered:10,.0f} /s   sqlite/end-to-end {in_sqlite / delivered:6.1f}")
    print(
        f"one by one   p50 {cuts[49]:.1f} ms  p95 {cuts[94]:.1f} ms  p99 {cuts[98]:.1f} ms  max {latencies[-1]:.1f} ms"
    )
    print(f"reference    sqlite {in_sqlite:,.0f} rows/s, asyncio queue {in_memory:,.0f} messages/s")


if __name__ == "__main__":
    main()

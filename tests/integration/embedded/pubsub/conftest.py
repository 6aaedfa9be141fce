"""Servers of the embedded Pub/Sub and real clients for them."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as GapicPublisher
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from infra.embedded.pubsub.server import serving
from infra.runtime.clock import FixedClock
from infra.runtime.settings import PROJECT_ROOT

PROJECT = "ballast-test"
START = datetime(2026, 1, 5, 12, tzinfo=UTC)
PATIENCE = 30.0
"""Seconds until a wait gives up; no test asserts how long something took."""


@dataclass
class Process:
    """The server as `python -m infra.embedded.pubsub`, which can be killed and started again on the same folder."""

    data_dir: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.embedded.pubsub", "--data-dir", str(self.data_dir), "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT_ROOT,
        )

    def start(self) -> None:
        self.process = self.spawn()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("pubsub ready on 127.0.0.1:"), self.end(signal.SIGKILL)
        self.port = int(line.rsplit(":", 1)[1])

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send the signal; exit code and stderr."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, errors

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()


@dataclass
class Clients:
    """Real clients over explicit insecure channels, and short words for what most tests do."""

    address: str
    publisher: Any = field(init=False)
    subscriber: Any = field(init=False)

    def __post_init__(self) -> None:
        self.publisher = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=_channel(self.address)))
        self.subscriber = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=_channel(self.address)))

    def topic(self, name: str | None = None, **config: Any) -> str:
        path = f"projects/{PROJECT}/topics/{name or _unique()}"
        return str(self.publisher.create_topic(request={"name": path, **config}).name)

    def subscription(self, topic: str, **config: Any) -> str:
        path = f"projects/{PROJECT}/subscriptions/{_unique()}"
        return str(self.subscriber.create_subscription(request={"name": path, "topic": topic, **config}).name)

    def send(self, topic: str, *bodies: str, key: str = "", **attributes: str) -> list[str]:
        """Publish in one request, without the client's batching and retries; the ids."""
        messages = [types.PubsubMessage(data=body.encode(), ordering_key=key, attributes=attributes) for body in bodies]
        request = types.PublishRequest(topic=topic, messages=messages)
        return list(GapicPublisher.publish(self.publisher, request, timeout=PATIENCE, retry=None).message_ids)

    def pull(self, subscription: str, count: int = 100, timeout: float = PATIENCE) -> list[Any]:
        """What the first pull that has something brings."""
        response = self.subscriber.pull(subscription=subscription, max_messages=count, timeout=timeout, retry=None)
        return list(response.received_messages)

    def pull_now(self, subscription: str, count: int = 100) -> list[Any]:
        """What can be had without waiting."""
        request = types.PullRequest(subscription=subscription, max_messages=count, return_immediately=True)
        with pytest.warns(DeprecationWarning, match="return_immediately"):
            return list(self.subscriber.pull(request, timeout=PATIENCE, retry=None).received_messages)

    def bodies(self, subscription: str, count: int = 100) -> list[str]:
        """Pull once and acknowledge; the bodies."""
        received = self.pull(subscription, count)
        self.ack(subscription, received)
        return [r.message.data.decode() for r in received]

    def drain(self, subscription: str, count: int) -> list[str]:
        """Pull and acknowledge until that many came; the bodies."""
        bodies: list[str] = []
        while len(bodies) < count:
            got = self.bodies(subscription, 1000)
            assert got, f"{len(bodies)} of {count} messages came"
            bodies += got
        return bodies

    def ack(self, subscription: str, received: list[Any]) -> None:
        if received:
            self.subscriber.acknowledge(
                subscription=subscription, ack_ids=[r.ack_id for r in received], timeout=PATIENCE, retry=None
            )

    def modify(self, subscription: str, received: list[Any], seconds: int) -> None:
        self.subscriber.modify_ack_deadline(
            subscription=subscription,
            ack_ids=[r.ack_id for r in received],
            ack_deadline_seconds=seconds,
            timeout=PATIENCE,
            retry=None,
        )

    def close(self) -> None:
        self.subscriber.close()
        self.publisher.stop()
        self.publisher.transport.close()


@dataclass
class Stream:
    """A raw StreamingPull, of which the test writes each request and reads each response."""

    call: Any
    requests: queue.Queue[Any]

    @classmethod
    def open(cls, clients: Clients, subscription: str, deadline: int = 60, **first: Any) -> Stream:
        requests: queue.Queue[Any] = queue.Queue()
        requests.put(
            types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=deadline, **first)
        )
        call = clients.subscriber.streaming_pull(requests=iter(requests.get, None), timeout=PATIENCE, retry=None)
        return cls(call, requests)

    def send(self, **request: Any) -> None:
        self.requests.put(types.StreamingPullRequest(**request))

    def read(self) -> list[Any]:
        return list(next(self.call).received_messages)

    def read_many(self, count: int) -> list[Any]:
        received: list[Any] = []
        while len(received) < count:
            received += self.read()
        return received

    def close(self) -> None:
        self.requests.put(None)
        self.call.cancel()


@dataclass
class Endpoint:
    """An HTTP server that takes pushes; `answers` are the status codes to come, then `default`."""

    url: str
    received: queue.Queue[Any]
    answers: queue.Queue[int]
    default: int = 204


def _channel(address: str) -> Any:
    """A channel of its own: by default gRPC shares connections, and thereby the wait before it tries again."""
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def _unique() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A server process of its own, for tests that end it."""
    server = Process(tmp_path / "pubsub")
    server.start()
    yield server
    if server.process is not None:
        server.kill()


@pytest.fixture(scope="session")
def shared_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server process for all tests that only use it."""
    server = Process(tmp_path_factory.mktemp("pubsub"))
    server.start()
    yield server.address
    code, errors = server.end(signal.SIGTERM)
    assert code == 0
    assert [line for line in errors.splitlines() if json.loads(line)["level"] in ("error", "critical")] == []


@pytest.fixture
def connect() -> Iterator[Callable[[str], Clients]]:
    """Clients for an address, closed at the end."""
    opened: list[Clients] = []

    def open_clients(address: str) -> Clients:
        opened.append(Clients(address))
        return opened[-1]

    yield open_clients
    for clients in opened:
        clients.close()


@pytest.fixture
def clients(shared_address: str, connect: Callable[[str], Clients]) -> Clients:
    """Clients of the shared server."""
    return connect(shared_address)


@pytest.fixture
def open_stream() -> Iterator[Callable[..., Stream]]:
    """Raw streams, closed at the end."""
    opened: list[Stream] = []

    def open_one(clients: Clients, subscription: str, **first: Any) -> Stream:
        opened.append(Stream.open(clients, subscription, **first))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()


@dataclass
class CountingClock(FixedClock):
    """A fixed clock that tells when it has been read."""

    reads: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def now(self) -> datetime:
        self.reads.release()
        return super().now()


@dataclass
class Clocked:
    """A server in this process whose clock the test moves."""

    clock: CountingClock
    clients: Clients

    def advance(self, seconds: float) -> None:
        """Move the clock, and return after the server has acted upon it.

        The server reads the clock at the start of each tick, and once more in each purge. So among three readings after
        the move two are of ticks, and the first of those ticks is complete.
        """
        self.clock.advance(timedelta(seconds=seconds))
        while self.clock.reads.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self.clock.reads.acquire(timeout=PATIENCE)


@pytest.fixture
def clocked(tmp_path: Path, connect: Callable[[str], Clients]) -> Iterator[Clocked]:
    """The server on an event loop in another thread, with a fixed clock."""
    clock = CountingClock(START)
    bound: Future[int] = Future()
    stop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        event = asyncio.Event()
        stop.set_result((asyncio.get_running_loop(), event))
        async with serving(tmp_path / "clocked", 0, clock) as port:
            bound.set_result(port)
            await event.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield Clocked(clock, connect(f"127.0.0.1:{bound.result(PATIENCE)}"))
    loop, event = stop.result(PATIENCE)
    loop.call_soon_threadsafe(event.set)
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A push endpoint on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            target.received.put(body)
            try:
                status = target.answers.get_nowait()
            except queue.Empty:
                status = target.default
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    target = Endpoint(f"http://127.0.0.1:{server.server_port}/push", queue.Queue(), queue.Queue())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield target
    server.shutdown()
    thread.join(PATIENCE)
    server.server_close()


@pytest.fixture
def run_script(shared_address: str) -> Callable[[str], str]:
    """Run Python source in a process that knows the server only by PUBSUB_EMULATOR_HOST; its output."""

    def run(source: str) -> str:
        environment = {**os.environ, "PUBSUB_EMULATOR_HOST": shared_address}
        done = subprocess.run(
            [sys.executable, "-c", source],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=PROJECT_ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run

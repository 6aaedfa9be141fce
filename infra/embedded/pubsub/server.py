"""The process: gRPC services, health, and the clockwork that ends leases, fsyncs and purges."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from infra.embedded.pubsub import publisher, subscriber
from infra.embedded.pubsub.broker import Broker
from infra.embedded.pubsub.commit import GroupCommit
from infra.embedded.pubsub.push import Pushers
from infra.embedded.pubsub.store import Store
from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger

HOST: Final = "127.0.0.1"
TICK_SECONDS: Final = 0.1
"""How exact leases and backoffs are."""
CHECKPOINT_SECONDS: Final = 1.0
PURGE_SECONDS: Final = 30.0
STOP_SECONDS: Final = 3.0
_Answer: Final = health_pb2.HealthCheckResponse
_OPTIONS: Final = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    # The client library pings each 30 s; by default gRPC takes that for an attack and closes the connection.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
]


class PortInUseError(BallastError):
    """Another process listens on the port."""

    code = "pubsub_port_in_use"


@asynccontextmanager
async def serving(data_dir: Path, port: int, clock: Clock) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 for as long as the block runs; yields the port, which 0 lets the system choose.

    Raises `StoreInUseError` or `PortInUseError`.
    """
    store = Store(data_dir)
    try:
        commit = GroupCommit(store)
        broker = Broker(store, commit, clock)
        subscribers = subscriber.Subscriber(broker)
        health_service = health.aio.HealthServicer()
        server = grpc.aio.server(options=_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(publisher.NAME, publisher.Publisher(broker).methods()),
                grpc.method_handlers_generic_handler(subscriber.NAME, subscribers.methods()),
            )
        )
        bound = _bind(server, port)
        await server.start()
        pushers = Pushers(broker)
        tasks = [
            asyncio.create_task(_repeat(TICK_SECONDS, lambda: _tick(broker, pushers))),
            asyncio.create_task(_repeat(CHECKPOINT_SECONDS, _Guard(store, commit, health_service).check)),
            asyncio.create_task(_repeat(PURGE_SECONDS, broker.purge)),
        ]
        try:
            yield bound
        finally:
            subscribers.close()
            await server.stop(STOP_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await pushers.close()
            commit.flush()
    finally:
        store.close()


def _bind(server: Any, port: int) -> int:
    try:
        bound = int(server.add_insecure_port(f"{HOST}:{port}"))
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise PortInUseError(
            f"{HOST}:{port} cannot be bound; something listens there. Stop it, or give another --port."
        )
    return bound


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work again and again; an error is logged and does not end it."""
    while True:
        try:
            await work()
        except Exception:
            get_logger(__name__).exception("housekeeping_failed")
        await asyncio.sleep(seconds)


async def _tick(broker: Broker, pushers: Pushers) -> None:
    broker.tick()
    pushers.sync()


@dataclass
class _Guard:
    """Fsyncs what is new, and says through the health service whether messages can be written and kept."""

    store: Store
    commit: GroupCommit
    health: Any
    is_synced: bool = True

    async def check(self) -> None:
        """One round."""
        if self.commit.has_news or not self.is_synced:
            await self._sync()
        if not self.commit.is_writable:
            self.commit.submit(self.store.probe)
            self.commit.flush()
        is_serving = self.commit.is_writable and self.is_synced
        status = _Answer.SERVING if is_serving else _Answer.NOT_SERVING
        for service in ("", publisher.NAME, subscriber.NAME):
            await self.health.set(service, status)

    async def _sync(self) -> None:
        self.commit.has_news = False
        try:
            await asyncio.to_thread(self.store.checkpoint)
            self.is_synced = True
        except (sqlite3.Error, OSError) as error:
            self.is_synced = False
            get_logger(__name__).error("checkpoint_failed", reason=str(error))

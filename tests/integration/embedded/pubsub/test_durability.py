"""What survives: kill -9 of the server and of consumers, a full disk, and a clean stop."""

from __future__ import annotations

import concurrent.futures
import contextlib
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient as GapicPublisher
from google.pubsub_v1 import types
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from infra.runtime.settings import PROJECT_ROOT


def rows(process: Any, query: str) -> list[Any]:
    """Read the store of a server that does not run."""
    with contextlib.closing(sqlite3.connect(process.data_dir / "pubsub.sqlite3")) as db:
        return db.execute(query).fetchall()


def test_publish__loses_nothing_acknowledged_when_killed_under_load(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    acknowledged: dict[str, str] = {}
    enough = threading.Event()

    def publish(worker: int) -> None:
        for batch in range(100_000):
            bodies = [f"{worker}-{batch}-{i}" for i in range(7)]
            request = types.PublishRequest(topic=topic, messages=[{"data": body.encode()} for body in bodies])
            try:
                ids = GapicPublisher.publish(clients.publisher, request, retry=None, timeout=30).message_ids
            except exceptions.GoogleAPICallError:
                return
            acknowledged.update(zip(ids, bodies, strict=True))
            if len(acknowledged) > 3000:
                enough.set()

    for _ in range(2):
        enough.clear()
        already = len(acknowledged)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            workers = [pool.submit(publish, worker) for worker in range(8)]
            while len(acknowledged) < already + 1500:
                enough.wait(0.01)
            process.kill()
            for worker in workers:
                worker.result(30)
        process.start()
        clients = connect(process.address)
    found: dict[str, str] = {}
    while len(found) < len(acknowledged) or not acknowledged.keys() <= found.keys():
        received = clients.pull(name, 1000)
        assert received, f"{len(acknowledged.keys() - found.keys())} acknowledged messages are lost"
        clients.ack(name, received)
        for r in received:
            assert r.message.message_id not in found
            found[r.message.message_id] = r.message.data.decode()
    assert {message_id: found[message_id] for message_id in acknowledged} == acknowledged


def test_restart__keeps_configuration_backlog_and_acknowledgements(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic(labels={"a": "1"})
    name = clients.subscription(topic, filter="attributes:keep", ack_deadline_seconds=33)
    clients.send(topic, "done", "open", keep="yes")
    clients.send(topic, "dropped")
    received = clients.pull(name)
    clients.ack(name, received[:1])
    before = clients.subscriber.get_subscription(subscription=name)
    process.restart()
    clients = connect(process.address)
    assert clients.subscriber.get_subscription(subscription=name) == before
    assert dict(clients.publisher.get_topic(topic=topic).labels) == {"a": "1"}
    # The lease on "open" ended with the server.
    assert clients.bodies(name) == ["open"]
    clients.send(topic, "new", keep="yes")
    assert clients.bodies(name) == ["new"]


def test_restart__takes_acknowledgements_of_leases_from_before(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a", "b")
    received = clients.pull(name)
    process.restart()
    clients = connect(process.address)
    clients.ack(name, received[:1])
    assert clients.bodies(name) == ["b"]
    assert clients.pull_now(name) == []


def test_restart__keeps_delivery_attempts(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic, dead_topic = clients.topic(), clients.topic()
    graveyard = clients.subscription(dead_topic)
    name = clients.subscription(topic, dead_letter_policy={"dead_letter_topic": dead_topic})
    clients.send(topic, "poison")
    for attempt in range(1, 6):
        (received,) = clients.pull(name)
        assert received.delivery_attempt == attempt
        clients.modify(name, [received], 0)
        # A publish is committed after everything that came before it.
        clients.send(topic, "marker")
        clients.ack(name, [r for r in clients.pull(name) if r.message.data == b"marker"])
        clients.modify(name, [r for r in clients.pull_now(name) if r.message.data != b"marker"], 600)
        process.restart()
        clients = connect(process.address)
    assert clients.bodies(graveyard) == ["poison"]
    assert clients.pull_now(name) == []


def test_restart__keeps_the_backoff(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    policy = {"minimum_backoff": {"seconds": 600}, "maximum_backoff": {"seconds": 600}}
    name = clients.subscription(topic, retry_policy=policy)
    clients.send(topic, "held")
    clients.modify(name, clients.pull(name), 0)
    clients.send(topic, "free")
    process.restart()
    clients = connect(process.address)
    assert clients.bodies(name) == ["free"]
    assert clients.pull_now(name) == []


def test_consumer__killed_without_acknowledging_leaves_its_messages_to_others(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    sent = clients.send(topic, "a", "b", "c")
    consumer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"""
import sys, time
from google.cloud import pubsub_v1
def take(message):
    print(message.message_id, flush=True)
    time.sleep(600)
pubsub_v1.SubscriberClient().subscribe({name!r}, take).result()
""",
        ],
        env={"PUBSUB_EMULATOR_HOST": process.address, "PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
    )
    assert consumer.stdout is not None
    held = sorted(consumer.stdout.readline().strip() for _ in sent)
    consumer.kill()
    consumer.communicate(timeout=30)
    assert held == sorted(sent)
    # The client library leases for at least ten seconds; then the messages come here.
    received: list[Any] = []
    while len(received) < 3:
        more = clients.pull(name)
        clients.ack(name, more)
        received += more
    assert sorted(r.message.message_id for r in received) == sorted(sent)


def test_store__holds_nothing_once_everybody_has_acknowledged(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    first, second = clients.subscription(topic), clients.subscription(topic)
    clients.send(topic, *map(str, range(50)))
    clients.drain(first, 50)
    clients.drain(second, 50)
    clients.send(clients.topic(), "to nobody")
    assert process.end(signal.SIGTERM)[0] == 0
    assert rows(process, "select count(*) from messages") == [(0,)]
    assert rows(process, "select count(*) from deliveries") == [(0,)]


def test_store__forgets_the_backlog_of_deleted_and_detached_subscriptions(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic(message_retention_duration={"seconds": 3600})
    deleted, detached = clients.subscription(topic, retain_acked_messages=True), clients.subscription(topic)
    for _ in range(3):
        clients.send(topic, *["x"] * 400)
    clients.drain(deleted, 800)
    clients.publisher.delete_topic(topic=topic)
    clients.subscriber.delete_subscription(subscription=deleted)
    clients.publisher.detach_subscription(request={"subscription": detached})
    process.restart()
    for table in ("deliveries", "acknowledged", "messages", "doomed"):
        _eventually_empty(process, table)


def _eventually_empty(process: Any, table: str) -> None:
    waiting = threading.Event()
    for _ in range(300):
        if rows(process, f"select count(*) from {table}") == [(0,)]:
            return
        waiting.wait(0.1)
    pytest.fail(f"{table} still has rows")


def test_full_disk__is_an_error_to_the_publisher_and_no_id(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    sent = clients.send(topic, "before")
    pid = process.process.pid
    _limit_files(pid, 300_000)
    refusals: list[str] = []
    for _ in range(20):
        try:
            sent += clients.send(topic, "x" * 50_000)
        except (exceptions.ResourceExhausted, exceptions.ServiceUnavailable) as error:
            refusals.append(str(error))
    assert refusals
    assert all("nothing was kept" in refusal for refusal in refusals)
    _limit_files(pid, 0)
    _await_health(process.address, health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises((exceptions.ResourceExhausted, exceptions.ServiceUnavailable)):
        clients.send(topic, "lost")
    _limit_files(pid, resource.RLIM_INFINITY)
    _await_health(process.address, health_pb2.HealthCheckResponse.SERVING)
    sent += clients.send(topic, "after")
    process.restart()
    clients = connect(process.address)
    found: list[str] = []
    while len(found) < len(sent):
        received = clients.pull(name)
        clients.ack(name, received)
        found += [r.message.message_id for r in received]
    assert found == sent
    assert clients.pull_now(name) == []


def test_full_disk__an_acknowledgement_that_fails_leads_to_redelivery(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    received = clients.pull(name)
    pid = process.process.pid
    _limit_files(pid, 0)
    with pytest.raises((exceptions.ResourceExhausted, exceptions.ServiceUnavailable)):
        clients.ack(name, received)
    _limit_files(pid, resource.RLIM_INFINITY)
    assert clients.bodies(name) == ["a"]
    assert clients.pull_now(name) == []


def _limit_files(pid: int, size: int) -> None:
    """Let the process write no file beyond that size, which to SQLite is a full disk."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _await_health(address: str, status: int) -> None:
    with grpc.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        for answer in watch:
            if answer.status == status:
                watch.cancel()
                return
    pytest.fail("the health watch ended")


def test_stop__ends_streams_and_exits_cleanly(process: Any, connect: Any, open_stream: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    clients.send(topic, "a")
    stream = open_stream(clients, name)
    stream.read()
    code, errors = process.end(signal.SIGTERM)
    assert (code, errors) == (0, "")
    with pytest.raises(exceptions.ServiceUnavailable):
        stream.read()


def test_stream__of_the_real_client_goes_on_after_a_restart(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    first: concurrent.futures.Future[str] = concurrent.futures.Future()
    second: concurrent.futures.Future[str] = concurrent.futures.Future()

    def take(message: Any) -> None:
        message.ack_with_response().result(30)
        (second if first.done() else first).set_result(message.data.decode())

    stream = clients.subscriber.subscribe(name, take)
    clients.send(topic, "one")
    assert first.result(30) == "one"
    process.restart()
    connect(process.address).send(topic, "two")
    assert second.result(60) == "two"
    stream.cancel()
    stream.result(30)


def test_start__refuses_a_folder_in_use_and_a_port_in_use(process: Any, tmp_path: Any) -> None:
    for data_dir, port, reason in (
        (process.data_dir, 0, "is in use by another Pub/Sub process"),
        (tmp_path / "elsewhere", process.port, "cannot be bound"),
    ):
        second = type(process)(data_dir, port).spawn()
        output, errors = second.communicate(timeout=30)
        assert (second.returncode, output) == (1, "")
        assert reason in errors


def test_backlog__beyond_the_window_is_delivered_whole(process: Any, connect: Any) -> None:
    clients = connect(process.address)
    topic = clients.topic()
    name = clients.subscription(topic)
    # A first pull makes the server follow new messages in memory, until there are too many.
    assert clients.pull_now(name) == []
    sent = [message_id for _ in range(24) for message_id in clients.send(topic, *["x"] * 1000)]
    found: list[str] = []
    while len(found) < len(sent):
        received = clients.pull(name, 1000)
        assert received
        clients.ack(name, received)
        found += [r.message.message_id for r in received]
        if len(found) == 12_000:
            sent += clients.send(topic, "late")
    assert found == sent

"""The port block, free ports, and who holds one."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import astuple, replace

import pytest

from infra.embedded.errors import EmbeddedError
from infra.embedded.ports import HOST, Ports, free_ports, holder, is_free, listens


def test_ports__default_block_is_the_documented_one() -> None:
    assert Ports.from_base() == Ports(
        api=8600,
        app=8601,
        dagster_ui=8602,
        dagster_code=8603,
        bigquery_rest=8610,
        bigquery_grpc=8611,
        pubsub=8612,
        postgres=8613,
        inbox=8614,
        ethereum=8615,
        hermes=8616,
        oracle=8617,
        alert_worker=8618,
        alert_upkeep=8619,
        persona=8620,
        sumsub=8621,
        compliance_worker=8622,
    )


def test_ports__base_shifts_all() -> None:
    shifted, default = astuple(Ports.from_base(9600)), astuple(Ports.from_base())
    assert [new - old for new, old in zip(shifted, default, strict=True)] == [1000] * 17


@pytest.mark.parametrize("base", [0, 1023, 65514, 70000])
def test_ports__base_out_of_range_is_refused(base: int) -> None:
    with pytest.raises(EmbeddedError, match="from 1024 to 65513"):
        Ports.from_base(base)


def test_ports__dict_round_trip() -> None:
    ports = Ports.from_base(9000)
    assert Ports.from_dict(ports.as_dict()) == ports


def test_ports__of_an_older_version_are_completed() -> None:
    ports = Ports.from_base(9000)
    unknown = ("ethereum", "hermes", "oracle", "alert_worker", "alert_upkeep", "persona", "sumsub", "compliance_worker")
    older = {name: port for name, port in ports.as_dict().items() if name not in unknown}
    assert Ports.from_dict(older | {"inbox": 9999}) == replace(ports, inbox=9999)


@pytest.mark.parametrize(
    "wrong", [{"app": 1}, {"api": 1, "apis": 2}, {"api": 65530}, {**Ports.from_base().as_dict(), "api": 0}]
)
def test_ports__unusable_record_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(EmbeddedError, match="not usable"):
        Ports.from_dict(wrong)


def test_free_ports__are_different_and_free() -> None:
    found = free_ports(9)
    assert len(set(found)) == 9
    assert all(is_free(port) for port in found)


def test_holder__names_the_process_that_listens() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert f"(pid {os.getpid()})" in holder(port)


def test_listens__only_the_process_that_holds_every_port() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert listens(os.getpid(), (port,))
        assert listens(os.getpid(), ())
        assert not listens(os.getpid(), (port, free_ports(1)[0]))
        with subprocess.Popen(["sleep", "60"]) as other:
            assert not listens(other.pid, (port,))
            other.kill()


def test_listens__a_process_that_is_gone_does_not() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert not listens(process.pid, ())

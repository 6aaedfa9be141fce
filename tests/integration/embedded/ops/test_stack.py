"""The supervised stack: order, restarts, kills, strangers, clear errors."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from infra.embedded.credentials import read_env_file, stack_settings
from infra.embedded.errors import EmbeddedError, PortBusyError, StackBusyError
from infra.embedded.launch import read_record
from infra.embedded.ports import HOST, Ports
from infra.embedded.state import read_json
from infra.embedded.supervisor import ServiceState, Stack, StackEvent

pytestmark = pytest.mark.embedded

StubFactory = Callable[..., Any]
Eventually = Callable[[Callable[[], bool], str], None]


def _states(stack: Stack) -> dict[str, ServiceState]:
    return {each.name: each.state for each in stack.status()}


def _all_pids(stack: Stack) -> set[int]:
    records = [read_record(stack.state, file.stem) for file in stack.state.pids.glob("*.json")]
    return {each.pid for each in records if each is not None and each.name != "prepare"}


def _supervisor_pid(stack: Stack) -> int:
    record = read_record(stack.state, "supervisord")
    assert record is not None
    return record.pid


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def stranger() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that are nobody's service."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", "import time; time.sleep(600)"]
        started.append(subprocess.Popen(argv, env=os.environ | environment))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


def test_up__starts_groups_in_order_and_down_ends_everything(stub_stack: StubFactory) -> None:
    made = stub_stack()
    events: list[StackEvent] = []
    made.stack.up(progress=events.append)
    started = made.started()
    settled = [each.name for each in events if each.state in (ServiceState.READY, ServiceState.DONE)]
    for order in (started, settled):
        assert order[:2] == ["store", "prepare"]
        assert sorted(order[2:]) == ["face", "side", "worker"]
        assert order.index("side") < order.index("face")
    assert _states(made.stack) == {
        "store": ServiceState.READY,
        "prepare": ServiceState.DONE,
        "worker": ServiceState.READY,
        "side": ServiceState.READY,
        "face": ServiceState.READY,
    }
    pids = _all_pids(made.stack)
    assert len(pids) == 5
    assert made.stack.down()
    assert all(_is_gone(pid) for pid in pids)
    assert set(_states(made.stack).values()) == {ServiceState.STOPPED}
    assert not made.stack.down()


def test_up__again_starts_only_what_does_not_run(stub_stack: StubFactory) -> None:
    made = stub_stack()
    made.stack.up(["ground"])
    pid = made.pid("store")
    made.stack.up(["face"])
    assert made.started() == ["store", "side", "face"]
    assert made.pid("store") == pid
    made.stack.wait_ready("face", timeout_s=10)
    with pytest.raises(EmbeddedError, match="it is stopped"):
        made.stack.wait_ready("worker", timeout_s=0.1)


def test_up__unknown_name_lists_the_known(stub_stack: StubFactory) -> None:
    with pytest.raises(EmbeddedError, match=r"\['stor'\].*'store'"):
        stub_stack().stack.up(["stor"])


def test_kill_9__of_a_service_is_followed_by_a_restart(stub_stack: StubFactory, eventually: Eventually) -> None:
    made = stub_stack()
    made.stack.up(["store"])
    pid = made.pid("store")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: made.started() == ["store", "store"], "the service starts again")
    made.stack.wait_ready("store")
    (status,) = [each for each in made.stack.status() if each.name == "store"]
    assert status.pid != pid
    assert status.restarts == 1


def test_kill_9__of_the_supervisor_leaves_nothing_behind_after_the_next_up(
    stub_stack: StubFactory, stranger: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    made = stub_stack(with_postgres=True, store=("--child", str(tmp_path / "child")))
    made.stack.up()
    url = stack_settings(made.stack.state.path).postgres_url.get_secret_value().replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 42 as answer")
    before = _all_pids(made.stack) | {int((tmp_path / "child").read_text())}
    bystander = stranger(BALLAST_STATE_DIR=str(made.stack.state.path))
    os.kill(_supervisor_pid(made.stack), signal.SIGKILL)
    assert _states(made.stack)["store"] is ServiceState.LEFT_OVER
    assert not any(each.is_ready for each in made.stack.status() if each.name != "prepare")

    made.stack.up()
    assert all(_is_gone(pid) for pid in before)
    assert set(_states(made.stack).values()) == {ServiceState.READY, ServiceState.DONE}
    assert bystander.poll() is None
    with psycopg.connect(url) as connection:
        assert connection.execute("select answer from kept").fetchall() == [(42,)]


def test_kill_9__of_the_supervisor_and_down(
    stub_stack: StubFactory, stranger: Callable[..., subprocess.Popen[bytes]]
) -> None:
    made = stub_stack(side=("--deaf",))
    made.stack.up(["ground", "side"])
    pids = _all_pids(made.stack)
    os.kill(_supervisor_pid(made.stack), signal.SIGKILL)
    # A pid of before, which a process of somebody else has got since.
    bystander = stranger()
    (made.stack.state.pids / "worker.json").write_text(f'{{"pid": {bystander.pid}, "create_time": 1.0, "starts": 1}}')
    assert made.stack.down()
    assert all(_is_gone(pid) for pid in pids)
    assert bystander.poll() is None


def test_down__kills_what_ignores_sigterm_and_what_a_service_started(
    stub_stack: StubFactory, eventually: Eventually, tmp_path: Path
) -> None:
    made = stub_stack(store=("--deaf", "--child", str(tmp_path / "child")))
    made.stack.up(["store"])
    pids = {made.pid("store"), int((tmp_path / "child").read_text())}
    made.stack.down()
    assert all(_is_gone(pid) for pid in pids)


def test_up__two_stacks_do_not_meet(stub_stack: StubFactory, tmp_path: Path) -> None:
    one, other = stub_stack(tmp_path / "one"), stub_stack(tmp_path / "other")
    one.stack.up(["store"])
    other.stack.up(["store"])
    os.kill(_supervisor_pid(one.stack), signal.SIGKILL)
    one.stack.down()
    assert _states(other.stack)["store"] is ServiceState.READY


def test_up__busy_port_names_port_service_holder_and_way_out(stub_stack: StubFactory) -> None:
    ports = Ports.free()
    made = stub_stack(ports=ports)
    with socket.create_server((HOST, ports.inbox)), pytest.raises(PortBusyError) as refused:
        made.stack.up()
    for part in (f"port {ports.inbox} of store", f"(pid {os.getpid()})", "--port-base", "--ports free"):
        assert part in refused.value.message
    assert made.started() == []


def test_up__at_the_same_time_is_refused(stub_stack: StubFactory) -> None:
    made = stub_stack()
    made.stack.state.prepare()
    with made.stack.state.lock(), pytest.raises(StackBusyError, match=f"pid {os.getpid()}"):
        made.stack.up()
    assert made.started() == []


def test_up__failing_step_shows_its_log_and_starts_nothing_after_it(stub_stack: StubFactory) -> None:
    made = stub_stack(prepare=("--exit-code", "3"))
    with pytest.raises(EmbeddedError, match=r"(?s)prepare failed with exit code 3.*prepare gives up"):
        made.stack.up()
    assert made.started() == ["store", "prepare"]
    states = _states(made.stack)
    assert states["prepare"] is ServiceState.FAILED
    assert states["worker"] is ServiceState.STOPPED


def test_up__service_that_cannot_start_is_named_and_does_not_stop_the_others(stub_stack: StubFactory) -> None:
    made = stub_stack(side=("--exit-code", "3"))
    with pytest.raises(EmbeddedError, match=r"(?s)side did not become ready.*side gives up.*face did not.*needs side"):
        made.stack.up()
    states = _states(made.stack)
    assert states["worker"] is ServiceState.READY
    assert states["side"] in (ServiceState.RESTARTING, ServiceState.STARTING)
    assert states["face"] is ServiceState.STOPPED


def test_up__ports_move_only_while_nothing_runs_and_secrets_stay(stub_stack: StubFactory) -> None:
    made = stub_stack()
    made.stack.up(["store"])
    before = read_env_file(made.stack.state.path / "ballast.env")
    moved = stub_stack(ports=Ports.free())
    with pytest.raises(EmbeddedError, match="runs on other ports"):
        moved.stack.up(["store"])
    made.stack.down()
    moved.stack.up(["store"])
    after = read_env_file(moved.stack.state.path / "ballast.env")
    assert after["BALLAST_API_TOKEN"] == before["BALLAST_API_TOKEN"]
    assert after["BALLAST_INBOX_URL"].endswith(f":{moved.stack.ports.inbox}")
    assert Stack(moved.stack.state.path).ports == moved.stack.ports


@pytest.mark.parametrize("name", ["x" * 110, "100% strange ; # 'folder"])
def test_up__any_folder_name_will_do(stub_stack: StubFactory, tmp_path: Path, name: str) -> None:
    made = stub_stack(tmp_path / name)
    made.stack.up(["store"])
    assert _states(made.stack)["store"] is ServiceState.READY


def test_up__stale_socket_and_pid_files_do_not_matter(stub_stack: StubFactory) -> None:
    made = stub_stack()
    made.stack.up(["store"])
    for pid in (_supervisor_pid(made.stack), made.pid("store")):
        os.kill(pid, signal.SIGKILL)
    assert (made.stack.state.path / "run" / "supervisord.pid").exists()
    made.stack.up(["store"])
    assert _states(made.stack)["store"] is ServiceState.READY


def test_supervision__shows_no_secret_in_argv_or_environment(stub_stack: StubFactory) -> None:
    made = stub_stack()
    made.stack.up(["store"])
    values = read_env_file(made.stack.state.path / "ballast.env")
    secrets = [values[name] for name in values if name.endswith(("TOKEN", "PASSWORD", "SECRET"))]
    for pid in _all_pids(made.stack):
        process = psutil.Process(pid)
        shown = " ".join([*process.cmdline(), *process.environ().values()])
        assert not any(secret in shown for secret in secrets)


def test_reset__ends_and_deletes_everything(stub_stack: StubFactory) -> None:
    made = stub_stack(with_postgres=True)
    made.stack.up(["ground"])
    pids = _all_pids(made.stack)
    home = read_json(made.stack.state.path / "postgres" / "home.json")
    assert (home is not None) == (os.geteuid() == 0)
    made.stack.reset()
    assert all(_is_gone(pid) for pid in pids)
    assert not made.stack.state.path.exists()
    assert home is None or not Path(home["path"]).exists()

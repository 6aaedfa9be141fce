"""PostgreSQL processes and stacks of stub services for the tests of this folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from infra.embedded.credentials import ensure_env_file, stack_settings
from infra.embedded.ports import Ports
from infra.embedded.postgres_home import remove_home
from infra.embedded.probes import HttpProbe, PostgresProbe, ProbeContext, is_ready
from infra.embedded.services import Group, Service
from infra.embedded.state import StateFolder
from infra.embedded.supervisor import Stack
from infra.runtime.settings import PROJECT_ROOT

STUB = Path(__file__).with_name("stub_service.py")
DEADLINE_S = 60.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; fail the test if it never does."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {what}")
        time.sleep(0.05)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], bool], str], None]:
    return eventually


@dataclass
class PostgresRunner:
    """Starts and ends `python -m infra.embedded.postgres` on one data folder."""

    state_dir: Path
    uid: int | None = None
    python: str = sys.executable
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.state_dir / "postgres"

    @property
    def url(self) -> str:
        url = stack_settings(self.state_dir).postgres_url.get_secret_value()
        return url.replace("postgresql+psycopg://", "postgresql://")

    def start(self) -> subprocess.Popen[bytes]:
        """A server that answers, on new ports."""
        ports = Ports.free()
        ensure_env_file(self.state_dir, ports)
        if self.uid is not None:
            os.chown(self.state_dir / "ballast.env", self.uid, self.uid)
        process = self.launch(ports.postgres)
        context = ProbeContext(stack_settings(self.state_dir))

        def answers() -> bool:
            assert process.poll() is None, (self.state_dir / "log").read_text()
            return is_ready((PostgresProbe(),), context)

        eventually(answers, "PostgreSQL answers")
        return process

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        """The bare process."""
        argv = [self.python, "-m", "infra.embedded.postgres", "--data-dir", str(self.data_dir), "--port", str(port)]
        with (self.state_dir / "log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=PROJECT_ROOT,
                env=_environment(self.state_dir),
                user=self.uid,
                group=self.uid,
                extra_groups=[] if self.uid is not None else None,
            )
        self.running.append(process)
        return process

    def stop(self) -> None:
        """End what runs, at once."""
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)
        self.running.clear()

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of one committed statement."""
        with psycopg.connect(self.url, connect_timeout=10) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _environment(state_dir: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
    own = {"BALLAST_STATE_DIR": str(state_dir), "PYTHONDONTWRITEBYTECODE": "1"}
    return inherited | own | {"PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), sysconfig.get_path("purelib")])}


def _normal_user() -> tuple[int, str]:
    """A user without any right and an interpreter that it can run; skips where there is none or none is needed."""
    if os.geteuid() != 0:
        pytest.skip("the tests run as a normal user already")
    uid = 65534
    for python in (sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [python, "-c", "import infra.embedded.postgres"],
                user=uid,
                group=uid,
                extra_groups=[],
                cwd=PROJECT_ROOT,
                check=True,
                capture_output=True,
                timeout=DEADLINE_S,
                env=_environment(Path("/nonexistent")),
            )
            return uid, python
    pytest.skip("another user can read neither this project nor a Python 3.11")


_USERS = ["current user", "normal user beside root"]


@pytest.fixture(params=_USERS)
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresRunner]:
    """A runner as whoever runs the tests, and, if that is root, as a normal user too."""
    with _runner(request.param) as runner:
        yield runner


@pytest.fixture(scope="module", params=_USERS)
def started_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresRunner]:
    """The same with a server that answers, for tests which leave it as it is."""
    with _runner(request.param) as runner:
        runner.start()
        yield runner


@contextlib.contextmanager
def _runner(user: str) -> Iterator[PostgresRunner]:
    uid, python = (None, sys.executable) if user == "current user" else _normal_user()
    # Not tmp_path: pytest keeps that in a folder which only its user may enter.
    state_dir = Path(tempfile.mkdtemp(prefix="ballast-test-"))
    if uid is not None:
        os.chown(state_dir, uid, uid)
    runner = PostgresRunner(state_dir, uid, python)
    try:
        yield runner
    finally:
        runner.stop()
        remove_home(runner.data_dir)
        shutil.rmtree(state_dir)


@dataclass
class StubStack:
    """A stack of stub services, each of which writes its start to `starts`."""

    stack: Stack
    starts: Path
    services: Callable[[StateFolder, Ports], tuple[Service, ...]]

    def started(self) -> list[str]:
        """Names in the order in which their processes started."""
        return self.starts.read_text().split() if self.starts.exists() else []

    def pid(self, name: str) -> int:
        """The process id of a running service."""
        (found,) = [each.pid for each in self.stack.status() if each.name == name]
        assert found is not None
        return found


StubFactory = Callable[..., StubStack]


@pytest.fixture
def stub_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubFactory]:
    """Makes stacks: `store` (ground), `prepare` (step), `worker` (no port), `face` (depends on `side`), `side`.

    Options by service name are added to the stub's command line; `with_postgres` adds the real server.
    """
    made: list[Stack] = []
    # Some stubs ignore SIGTERM on purpose.
    monkeypatch.setattr("infra.embedded.supervisor.leftovers.END_TIMEOUT_S", 2.0)
    # A stub that runs at all goes on running.
    monkeypatch.setattr(Service, "start_seconds", 1)

    def make(
        folder: Path = tmp_path / "state",
        ports: Ports | None = None,
        with_postgres: bool = False,
        **options: tuple[str, ...],
    ) -> StubStack:
        starts = tmp_path / "starts"

        def services(state: StateFolder, at: Ports) -> tuple[Service, ...]:
            def stub(name: str, group: Group, port: int | None = None, **more: object) -> Service:
                argv = [sys.executable, str(STUB), "--name", name, "--starts", str(starts), *options.get(name, ())]
                served = () if port is None else (port,)
                argv += [] if port is None else ["--port", str(port)]
                probes = tuple(HttpProbe(each, "/") for each in served)
                return Service(name, group, tuple(argv), served, probes, stop_wait_s=3, **more)  # type: ignore[arg-type]

            postgres = Service(
                name="postgres",
                group=Group.GROUND,
                argv=(
                    *(sys.executable, "-m", "infra.embedded.postgres"),
                    *("--data-dir", str(state.path / "postgres"), "--port", str(at.postgres)),
                ),
                ports=(at.postgres,),
                probes=(PostgresProbe(),),
                stop_signal="INT",
            )
            return (
                stub("store", Group.GROUND, at.inbox),
                *((postgres,) if with_postgres else ()),
                stub("prepare", Group.PROVISION, once=True),
                stub("worker", Group.WORKERS),
                stub("side", Group.FACES, at.api),
                stub("face", Group.FACES, at.app, depends=("side",)),
            )

        stack = Stack(folder, ports or StateFolder(folder).read_ports() or Ports.free(), services)
        made.append(stack)
        return StubStack(stack, starts, services)

    yield make
    for stack in made:
        if stack.state.path.is_dir():
            stack.reset()

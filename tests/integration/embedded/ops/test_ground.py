"""`embedded_ground`: servers for tests that start on free ports and end exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from infra.embedded import testing
from infra.embedded.errors import EmbeddedError
from infra.embedded.ports import Ports
from infra.embedded.state import read_json
from infra.embedded.testing import embedded_ground
from infra.runtime.settings import PROJECT_ROOT, Settings

pytestmark = pytest.mark.embedded

Eventually = Callable[[Callable[[], bool], str], None]


def _url(settings: Settings) -> str:
    return settings.postgres_url.get_secret_value().replace("+psycopg", "")


def _servers(state_dir: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and str(state_dir) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_ground__gives_settings_that_reach_the_server_and_ends_it(tmp_path: Path) -> None:
    with embedded_ground(tmp_path, ("postgres",)) as settings:
        with psycopg.connect(_url(settings)) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert settings.state_dir == tmp_path
        home = read_json(tmp_path / "postgres" / "home.json")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(_url(settings), connect_timeout=2)
    assert home is None or not Path(home["path"]).exists()


def test_ground__keeps_the_data_when_asked(tmp_path: Path) -> None:
    with embedded_ground(tmp_path, ("postgres",), keep=True) as settings, psycopg.connect(_url(settings)) as connection:
        connection.execute("create table kept as select 7 as answer")
    with embedded_ground(tmp_path, ("postgres",)) as settings, psycopg.connect(_url(settings)) as connection:
        assert connection.execute("select answer from kept").fetchone() == (7,)


def test_ground__takes_other_ports_when_one_was_snatched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_ground(tmp_path / "one", ("postgres",)) as settings:
        taken = Ports.from_dict({**Ports.free().as_dict(), "postgres": int(_url(settings).split(":")[3].split("/")[0])})
        offers = iter([taken, Ports.free()])

        class Offered(Ports):
            @classmethod
            def free(cls) -> Ports:
                return next(offers)

        monkeypatch.setattr(testing, "Ports", Offered)
        with embedded_ground(tmp_path / "other", ("postgres",)) as other, psycopg.connect(_url(other)) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert next(offers, None) is None


def test_ground__server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("in the way")
    with pytest.raises(EmbeddedError, match=r"(?s)postgres ended with exit code 1.*File exists"):
        embedded_ground(tmp_path, ("postgres",), keep=True).__enter__()


def test_ground__unknown_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="No embedded server is called"):
        embedded_ground(tmp_path, ("mysql",)).__enter__()


def test_ground__ends_though_the_test_process_was_killed(tmp_path: Path, eventually: Eventually) -> None:
    program = (
        "import pathlib, sys\n"
        "from infra.embedded.testing import embedded_ground\n"
        "with embedded_ground(pathlib.Path(sys.argv[1]), ('inbox', 'pubsub')):\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "state")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert len(_servers(tmp_path / "state")) == 3
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        eventually(lambda: _servers(tmp_path / "state") == [], "the guard ends the servers")

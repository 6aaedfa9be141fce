"""The `ballast` commands on a running stack of stubs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.embedded import cli
from infra.embedded.credentials import read_env_file
from infra.embedded.launch import read_record
from infra.embedded.state import MarketChoice
from infra.embedded.supervisor import Stack

pytestmark = pytest.mark.embedded


@pytest.fixture
def made(stub_stack: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stack of stubs which the commands take for the platform."""
    found = stub_stack(side=("--child", os.devnull))
    monkeypatch.setenv("BALLAST_STATE_DIR", str(found.stack.state.path))
    monkeypatch.setattr("infra.embedded.commands.Stack", partial(Stack, services=found.services))
    return found


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_commands__up_status_logs_down_reset(made: Any, tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "BTC.csv").write_text("date,close\n")
    code, shown = _run("up", "--ports", "free", "--prices", str(tmp_path / "prices"))
    assert code == 0
    values = read_env_file(made.stack.state.path / "ballast.env")
    ports = made.stack.state.read_ports()
    for part in ("face              ready", f"http://127.0.0.1:{ports.app}", "ballast.env"):
        assert part in shown
    # The output is no terminal here.
    assert values["BALLAST_API_TOKEN"] not in shown
    assert "Sign in to the app as viewer, analyst, officer, officer2, admin, auditor." in shown
    passwords = [entry.split(":")[2] for entry in values["BALLAST_COMPLIANCE_USERS"].split(",")]
    assert not [password for password in passwords if password in shown]
    assert made.stack.state.read_market() == MarketChoice(prices=tmp_path / "prices")

    # Another `up` finds everything in place, on the same ports.
    assert _run("up", "--ports", "free")[0] == 0
    assert len(made.started()) == 6, "only the step runs again"

    code, shown = _run("status")
    assert code == 0
    assert [line.split()[1] for line in shown.splitlines()[1:]] == ["ready", "done", "ready", "ready", "ready"]
    assert _run("logs", "worker")[1] == "worker speaks\n"

    code, shown = _run("down")
    assert (code, shown.splitlines()[-1]) == (0, "Stopped.")
    assert _run("status")[0] == 1
    assert _run("reset", "--yes")[0] == 0
    assert not made.stack.state.path.exists()


def test_status__after_the_supervisor_was_killed_says_what_to_do(made: Any) -> None:
    assert _run("up", "--ports", "free")[0] == 0
    record = read_record(made.stack.state, "supervisord")
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    code, shown = _run("status")
    assert code == 1
    assert "store: its supervisor was killed: `ballast up` or `ballast down`" in shown
    assert _run("down")[0] == 0

"""The command line: options, messages and exit codes, without starting anything."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.embedded import cli
from infra.embedded.credentials import ensure_env_file
from infra.embedded.ports import Ports
from infra.embedded.state import StateFolder


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv("BALLAST_STATE_DIR", str(tmp_path / "state"))
    return StateFolder(tmp_path / "state")


def _fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["ballast", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    return capsys.readouterr().err


def test_help__names_every_command() -> None:
    shown = CliRunner().invoke(cli.app, ["--help"]).output
    commands = ("up", "down", "status", "logs", "reset", "demo", "risk", "compliance", "policy")
    assert all(command in shown for command in commands)


def test_cli__imports_nothing_slow() -> None:
    slow = "('pydantic', 'psutil', 'grpc', 'psycopg', 'rich.table', 'numpy', 'scipy')"
    program = f"import infra.embedded.cli, sys; print([name for name in {slow} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"


def test_status__nothing_started_is_exit_code_1(state: StateFolder) -> None:
    result = CliRunner().invoke(cli.app, ["status"])
    assert result.exit_code == 1
    assert "postgres" in result.output
    assert not state.path.exists()


def test_down__nothing_started_is_fine(state: StateFolder) -> None:
    result = CliRunner().invoke(cli.app, ["down"])
    assert (result.exit_code, result.output.strip()) == (0, "Nothing was running.")


def test_up__prices_without_csv_is_refused_before_anything_starts(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no .csv" in _fails(monkeypatch, capsys, "up", "--prices", str(tmp_path / "empty"))
    assert not state.path.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port-base", "80"), "Port base 80 is out of range"),
        (("--ports", "any"), "knows only the word 'free'"),
        (("--ports", "free", "--port-base", "9000"), "not both"),
    ],
)
def test_up__wrong_ports_are_refused(
    state: StateFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert message in _fails(monkeypatch, capsys, "up", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--book",), "No stack was ever started"),
        ((), "Give --account ACCOUNT or --book"),
        (("--book", "--confidence", "1.5"), "confidence 1.5 is not between 0.5 and 1"),
        (("--book", "--methods", "magic"), "There is no method 'magic'"),
        (("--account", "acct-1", "--as-of", "soon"), "no day such as 2026-01-31"),
    ],
)
def test_risk_var__that_cannot_be_computed_says_why(
    state: StateFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert message in _fails(monkeypatch, capsys, "risk", "var", *options)
    assert not state.path.exists()


def test_risk_var__on_a_stack_that_is_down_says_how_to_start_it(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.embedded.commands.WAREHOUSE_DEADLINE_S", 0.2)
    state.prepare()
    ensure_env_file(state.path, Ports.free())
    assert "`ballast up` starts it" in _fails(monkeypatch, capsys, "risk", "var", "--book")


COMMANDS = {
    "compliance": ("verify-ledger", "rotate-keys", "load-list", "screen"),
    "policy": ("test", "replay"),
}


@pytest.mark.parametrize("group", COMMANDS)
def test_compliance__groups_name_the_commands_that_the_room_brings(group: str) -> None:
    shown = CliRunner().invoke(cli.app, [group, "--help"])
    assert shown.exit_code == 0, shown.output
    assert all(command in shown.output for command in COMMANDS[group])


def test_compliance__a_command_that_is_not_there_is_a_usage_error() -> None:
    shown = CliRunner().invoke(cli.app, ["compliance", "forget-everything"])
    assert (shown.exit_code, "forget-everything" in shown.output) == (2, True)


def test_compliance__a_module_that_does_not_load_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "compliance.cli_policy", None)
    assert "compliance.cli_policy does not load" in _fails(monkeypatch, capsys, "policy", "test")


def test_logs__unknown_name_lists_the_known(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state.prepare()
    state.log_file("api").write_text("x\n")
    assert "Logs: api" in _fails(monkeypatch, capsys, "logs", "apo")


@pytest.mark.parametrize(("count", "expected"), [(2, "two\nthree\n"), (9, "one\ntwo\nthree\n"), (0, "")])
def test_logs__shows_the_last_lines(state: StateFolder, count: int, expected: str) -> None:
    state.prepare()
    state.log_file("api").write_text("one\ntwo\nthree\n")
    assert CliRunner().invoke(cli.app, ["logs", "api", "-n", str(count)]).output == expected


def test_reset__asks_and_without_a_terminal_refuses(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state.prepare()
    state.write_ports(Ports.from_base())
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "give --yes" in _fails(monkeypatch, capsys, "reset")
    assert state.path.exists()


def test_reset__folder_that_is_no_state_folder_is_not_deleted(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state.path.mkdir()
    (state.path / "thesis.txt").write_text("mine")
    assert "does not look like a state folder" in _fails(monkeypatch, capsys, "reset", "--yes")
    assert (state.path / "thesis.txt").exists()


def test_reset__deletes_the_state_folder(state: StateFolder) -> None:
    state.prepare()
    state.write_ports(Ports.from_base())
    assert CliRunner().invoke(cli.app, ["reset", "--yes"]).exit_code == 0
    assert not state.path.exists()

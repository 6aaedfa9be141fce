"""The state folder: private, locked, atomic, and honest about a full disk."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded.errors import EmbeddedError, StackBusyError, StorageError
from infra.embedded.ports import Ports
from infra.embedded.state import (
    LONGEST_SOCKET_FOLDER,
    MarketChoice,
    StateFolder,
    remove_socket_folder,
    socket_folder,
    write_atomically,
)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    return folder


def test_prepare__makes_a_private_folder(state: StateFolder) -> None:
    assert state.path.stat().st_mode & 0o777 == 0o700


def test_prepare__full_disk_is_said(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("infra.embedded.state.write_atomically", no_space)
    with pytest.raises(StorageError, match=r"is full.*Free some"):
        state.prepare()


def test_prepare__too_little_space_is_said_before_anything_starts(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.embedded.state._NEEDED_BYTES", 1 << 62)
    with pytest.raises(StorageError, match="is full"):
        state.prepare()


def test_prepare__a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StorageError, match="BALLAST_STATE_DIR"):
        StateFolder(tmp_path / "state").prepare()


def test_lock__second_holder_is_refused_and_told_who_holds_it(state: StateFolder) -> None:
    with state.lock(), pytest.raises(StackBusyError, match=rf"pid {os.getpid()}\b"), state.lock():
        pytest.fail("the lock was given twice")


def test_lock__ends_with_a_killed_holder(state: StateFolder) -> None:
    program = (
        "import os, signal, pathlib, sys; from infra.embedded.state import StateFolder\n"
        "with StateFolder(pathlib.Path(sys.argv[1])).lock(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    code = subprocess.run([sys.executable, "-c", program, str(state.path)], check=False, timeout=60).returncode
    assert code == -9
    with state.lock():
        assert (state.path / "lock").read_text() == str(os.getpid())


def test_write_atomically__failure_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_atomically(file, "old")

    def broken(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_ports__are_remembered(state: StateFolder) -> None:
    assert state.read_ports() is None
    state.write_ports(Ports.from_base(9600))
    assert state.read_ports() == Ports.from_base(9600)


def test_ports__damaged_record_says_which_file(state: StateFolder) -> None:
    (state.path / "ports.json").write_text("{")
    with pytest.raises(EmbeddedError, match=r"ports\.json is not valid JSON"):
        state.read_ports()


def test_market__choice_is_remembered_as_absolute_path(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "BTC.csv").write_text("date,close\n")
    monkeypatch.chdir(tmp_path)
    state.write_market(MarketChoice(prices=Path("prices"), seed=3, accounts=9))
    assert state.read_market() == MarketChoice(prices=tmp_path / "prices", seed=3, accounts=9)
    assert json.loads((state.path / "market.json").read_text()) == {
        "prices": str(tmp_path / "prices"),
        "seed": 3,
        "accounts": 9,
    }


def test_market__without_choice_is_the_simulated_default(state: StateFolder) -> None:
    assert state.read_market() == MarketChoice()


def test_market__missing_folder_is_refused(state: StateFolder, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="There is no folder"):
        state.write_market(MarketChoice(prices=tmp_path / "nowhere"))


def test_market__folder_without_csv_is_refused(state: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "BTC.txt").write_text("")
    with pytest.raises(EmbeddedError, match=r"holds no \.csv"):
        state.write_market(MarketChoice(prices=tmp_path))


@pytest.mark.parametrize("name", ["it's", "${HOME}", "$x"])
def test_market__path_that_the_env_file_cannot_hold_is_refused(state: StateFolder, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "BTC.csv").write_text("")
    with pytest.raises(EmbeddedError, match="rename the folder"):
        state.write_market(MarketChoice(prices=tmp_path / name))


def test_socket_folder__long_path_gets_a_short_private_one_that_is_found_again(tmp_path: Path) -> None:
    preferred = tmp_path / ("x" * LONGEST_SOCKET_FOLDER)
    short = socket_folder(preferred)
    try:
        assert len(str(short)) <= LONGEST_SOCKET_FOLDER
        assert short.stat().st_mode & 0o777 == 0o700
        assert socket_folder(preferred) == short
    finally:
        remove_socket_folder(preferred)
    assert not short.exists()


def test_socket_folder__recorded_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    preferred = tmp_path / ("x" * LONGEST_SOCKET_FOLDER)
    open_one = tmp_path / "open"
    open_one.mkdir()
    open_one.chmod(0o777)
    preferred.mkdir()
    (preferred / "folder.json").write_text(json.dumps({"path": str(open_one)}))
    try:
        assert socket_folder(preferred) != open_one
    finally:
        remove_socket_folder(preferred)

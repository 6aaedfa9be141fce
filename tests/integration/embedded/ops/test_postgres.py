"""The embedded PostgreSQL, killed and started again, as root and as a normal user."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from infra.embedded import postgres as postgres_module
from infra.embedded.errors import PostgresError
from infra.embedded.postgres_home import locate_home, remove_home
from infra.embedded.state import read_json, write_atomically

pytestmark = pytest.mark.embedded

PostgresRunner = Any
Eventually = Callable[[Callable[[], bool], str], None]


def test_postgres__answers_its_role_and_database_and_is_version_18(started_postgres: PostgresRunner) -> None:
    ((user, database, version, encoding, timezone),) = started_postgres.execute(
        "select current_user, current_database(), current_setting('server_version_num')::int / 10000,"
        " current_setting('server_encoding'), current_setting('timezone')"
    )
    assert (user, database, version, encoding, timezone) == ("ballast", "ballast", 18, "UTF8", "UTC")


def test_postgres__wrong_password_and_none_are_refused_over_tcp_and_socket(started_postgres: PostgresRunner) -> None:
    ((sockets,),) = started_postgres.execute("show unix_socket_directories")
    port = re.search(r":(\d+)/", started_postgres.url)
    assert port is not None
    assert len(sockets) > 0
    for host in ("127.0.0.1", sockets):
        for password in ("wrong", ""):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(host=host, port=port[1], user="ballast", password=password, dbname="ballast")


def test_postgres__listens_on_loopback_only_and_shows_no_password(started_postgres: PostgresRunner) -> None:
    process = psutil.Process(started_postgres.running[0].pid)
    listening = {each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    password = started_postgres.url.split(":")[2].split("@")[0]
    assert password not in " ".join(process.cmdline())
    assert password not in (started_postgres.state_dir / "log").read_text()


def test_postgres__never_runs_as_root(started_postgres: PostgresRunner) -> None:
    process = psutil.Process(started_postgres.running[0].pid)
    assert 0 not in process.uids()
    assert 0 not in process.gids()


def test_postgres__committed_rows_survive_kill_9(postgres: PostgresRunner) -> None:
    process = postgres.start()
    postgres.execute("create table kept (id int primary key)")
    for number in range(50):
        postgres.execute(f"insert into kept values ({number})")
    with psycopg.connect(postgres.url) as open_transaction:
        open_transaction.execute("insert into kept values (999)")
        process.kill()
        process.wait(30)
        open_transaction.close()
    postgres.start()
    assert postgres.execute("select count(*), max(id) from kept") == [(50, 49)]


def test_postgres__sigint_ends_it_at_once_though_a_client_is_connected(postgres: PostgresRunner) -> None:
    process = postgres.start()
    connection = psycopg.connect(postgres.url)
    try:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        connection.close()
    assert "database system is shut down" in (postgres.state_dir / "log").read_text()


def test_postgres__new_password_in_the_env_file_takes_effect(postgres: PostgresRunner) -> None:
    postgres.start()
    postgres.execute("create table kept (id int)")
    postgres.stop()
    old = postgres.url
    file = postgres.state_dir / "ballast.env"
    password = old.split(":")[2].split("@")[0]
    write_atomically(file, file.read_text().replace(password, "another%27one"))
    postgres.start()
    assert postgres.execute("select count(*) from kept") == [(0,)]
    port = postgres.url.split(":")[3].split("/")[0]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=port, user="ballast", password=password, dbname="ballast")


def test_postgres__unfinished_creation_is_begun_anew(postgres: PostgresRunner) -> None:
    postgres.start()
    postgres.stop()
    known = read_json(postgres.data_dir / "home.json")
    home = Path(known["path"]) if known else postgres.data_dir
    (home / "data").rename(home / "data.new")
    (home / "data.new" / "PG_VERSION").unlink()
    postgres.start()
    assert not (home / "data.new").exists()


def test_postgres__stale_pid_file_of_a_live_stranger_does_not_stop_it(postgres: PostgresRunner) -> None:
    postgres.start()
    postgres.stop()
    known = read_json(postgres.data_dir / "home.json")
    home = Path(known["path"]) if known else postgres.data_dir
    pid_file = home / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{home / 'data'}\n1\n1\n\n\n")
    if postgres.uid is not None:
        os.chown(pid_file, postgres.uid, postgres.uid)
    postgres.start()
    assert postgres.execute("select 1") == [(1,)]


def test_postgres__second_server_on_the_same_folder_is_refused(
    started_postgres: PostgresRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "LOCK_TIMEOUT_S", 0.2)
    with pytest.raises(PostgresError, match="already runs on"):
        postgres_module.hold_lock(started_postgres.data_dir)
    assert started_postgres.execute("select 1") == [(1,)]


def test_postgres__busy_port_ends_with_a_message(started_postgres: PostgresRunner) -> None:
    port = int(started_postgres.url.split(":")[3].split("/")[0])
    other = type(started_postgres)(started_postgres.state_dir / "other", started_postgres.uid, started_postgres.python)
    other.state_dir.mkdir()
    if started_postgres.uid is not None:
        os.chown(other.state_dir, started_postgres.uid, started_postgres.uid)
    (other.state_dir / "ballast.env").write_bytes((started_postgres.state_dir / "ballast.env").read_bytes())
    process = other.launch(port)
    try:
        assert process.wait(60) == 1
        assert "Address already in use" in (other.state_dir / "log").read_text()
    finally:
        other.stop()
        remove_home(other.data_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps PostgreSQL outside the state folder")
def test_home__of_root_opens_no_folder_and_is_not_shared_by_a_copy(tmp_path: Path) -> None:
    data_dir = tmp_path / "closed" / "postgres"
    data_dir.mkdir(parents=True)
    data_dir.parent.chmod(0o700)
    before = [folder.stat().st_mode for folder in (data_dir, *data_dir.parents)]
    home = locate_home(data_dir)
    try:
        assert [folder.stat().st_mode for folder in (data_dir, *data_dir.parents)] == before
        assert locate_home(data_dir).folder == home.folder
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "home.json").write_text((data_dir / "home.json").read_text())
        with pytest.raises(PostgresError, match="is a copy of"):
            locate_home(copy)
        moved = tmp_path / "moved"
        data_dir.rename(moved)
        assert locate_home(moved).folder == home.folder
    finally:
        remove_home(tmp_path / "moved")
    assert not home.folder.exists()
    with pytest.raises(PostgresError, match="which is gone"):
        locate_home(tmp_path / "moved")

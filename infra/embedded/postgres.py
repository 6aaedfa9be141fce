"""PostgreSQL 18 in the foreground: `python -m infra.embedded.postgres --data-dir DIR --port N`.

Loopback TCP only, SCRAM with the password of `BALLAST_POSTGRES_URL`; SIGINT stops it at once and cleanly.
PostgreSQL refuses to run as root: for root see `infra.embedded.postgres_home`.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from infra.embedded.credentials import POSTGRES_DATABASE, POSTGRES_USER, postgres_password
from infra.embedded.errors import EmbeddedError, PostgresError
from infra.embedded.ports import HOST
from infra.embedded.postgres_home import PostgresHome, locate_home
from infra.embedded.state import socket_folder, write_atomically
from infra.runtime.settings import load_settings

MAJOR_VERSION = "18"
PREPARE_TIMEOUT_S = 120.0
# After kill -9 of the main process its children need a moment to notice, and keep the lock meanwhile.
LOCK_TIMEOUT_S = 20.0
_SERVER_OPTIONS = {
    "listen_addresses": HOST,
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # A smart shutdown (SIGTERM) waits for clients; the supervisor sends SIGINT, a fast one.
    "log_min_error_statement": "panic",
}


def serve(data_dir: Path, port: int, password: str) -> NoReturn:
    """Prepare the data folder if needed and become the PostgreSQL server; raises `PostgresError`."""
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = hold_lock(data_dir)
    home = locate_home(data_dir)
    prepare(home, password)
    # Whoever holds the lock is alone on this folder, so a pid file can only be left over from a killed server.
    (home.cluster / "postmaster.pid").unlink(missing_ok=True)
    sockets = socket_folder(home.folder / "run")
    if home.account is not None:
        os.chown(sockets, home.account.uid, home.account.gid)
    options = {**_SERVER_OPTIONS, "unix_socket_directories": str(sockets), "port": str(port)}
    argv = [str(home.binary("postgres")), "-D", str(home.cluster)]
    for name, value in options.items():
        argv += ["-c", f"{name}={value}"]
    os.set_inheritable(lock, True)
    os.chdir("/")
    os.umask(0o077)
    sys.stdout.flush()
    sys.stderr.flush()
    home.become_account()
    os.execve(argv[0], argv, _server_environment())  # noqa: S606 - no shell is wanted


def hold_lock(data_dir: Path) -> int:
    """A descriptor with the folder's exclusive lock, which the server and its children inherit and so keep."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise PostgresError(
                    f"A PostgreSQL server already runs on {data_dir}; stop it (`ballast down`) before another starts."
                ) from None
            time.sleep(0.1)


def prepare(home: PostgresHome, password: str) -> None:
    """Create the cluster once, and make its role accept this password; raises `PostgresError`."""
    marker = home.data_dir / "password.sha256"
    digest = hashlib.sha256(password.encode()).hexdigest()
    version_file = home.cluster / "PG_VERSION"
    if not version_file.exists():
        if home.cluster.exists():
            raise PostgresError(f"{home.cluster} is no PostgreSQL data folder (PG_VERSION is missing): move it away.")
        _create_cluster(home, password)
        write_atomically(marker, digest)
        return
    version = version_file.read_text().strip()
    if version != MAJOR_VERSION:
        raise PostgresError(
            f"{home.cluster} was made by PostgreSQL {version}, this is {MAJOR_VERSION}: "
            "dump it with the old version, or `ballast reset`."
        )
    if not marker.exists() or marker.read_text().strip() != digest:
        (home.cluster / "postmaster.pid").unlink(missing_ok=True)
        _run_statement(home, home.cluster, f"alter role {POSTGRES_USER} password {_literal(password)};")
        write_atomically(marker, digest)


def _create_cluster(home: PostgresHome, password: str) -> None:
    """Build the cluster under another name and rename it at the end, so that a kill leaves nothing half made."""
    unfinished = home.folder / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    home.give(unfinished)
    descriptor, name = tempfile.mkstemp(dir=home.folder, prefix=".password.")
    password_file = Path(name)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(password + "\n")
        home.give(password_file)
        argv = [str(home.binary("initdb")), "-D", str(unfinished), "-U", POSTGRES_USER, f"--pwfile={password_file}"]
        argv += ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        _run(home, argv, "initdb")
    finally:
        password_file.unlink(missing_ok=True)
    _run_statement(home, unfinished, f"create database {POSTGRES_DATABASE};")
    unfinished.rename(home.cluster)


def _run_statement(home: PostgresHome, cluster: Path, statement: str) -> None:
    """Run one statement without a server (single-user mode), through standard input so that argv shows nothing."""
    argv = [str(home.binary("postgres")), "--single", "-D", str(cluster)]
    argv += ["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "-c", "log_statement=none", "postgres"]
    _run(home, argv, "single-user statement", given=statement + "\n")


def _run(home: PostgresHome, argv: list[str], what: str, given: str = "") -> None:
    account = home.account
    try:
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            text=True,
            timeout=PREPARE_TIMEOUT_S,
            cwd="/",
            env=_server_environment(),
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresError(f"PostgreSQL {what} in {home.folder} could not run: {error}") from error
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise PostgresError(f"PostgreSQL {what} in {home.folder} failed with exit code {done.returncode}:\n{last}")


def _server_environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _literal(text: str) -> str:
    if "\n" in text or "\\" in text:
        raise PostgresError("The PostgreSQL password may hold no line break and no backslash: change ballast.env.")
    return "'" + text.replace("'", "''") + "'"


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and serve; returns only if the server could not be started."""
    parser = argparse.ArgumentParser(prog="python -m infra.embedded.postgres", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder that keeps the databases")
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    given = parser.parse_args(arguments)
    try:
        serve(given.data_dir, given.port, postgres_password(load_settings().postgres_url))
    except EmbeddedError as error:
        print(error.message, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

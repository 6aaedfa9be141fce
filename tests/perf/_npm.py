"""Tools from npm that the product does not need: pinned, in a cache folder outside of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

INSTALL_TIMEOUT_S = 300
LIGHTHOUSE = "lighthouse@12.8.2"
"""The newest that runs with Node 20, which Debian has."""
AXE = "axe-core@4.14.1"


class NpmAwayError(Exception):
    """There is no npm, or it could not install a package; the message says which."""


def cache_folder() -> Path:
    """`BALLAST_NPM_CACHE`, or a folder of the user's cache."""
    named = os.environ.get("BALLAST_NPM_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "ballast-npm"


def package_folder(package: str) -> Path:
    """The folder of `name@version`, installed at the first use; raises `NpmAwayError`."""
    name, _, _ = package.rpartition("@")
    home = cache_folder() / package.replace("@", "-").replace("/", "_")
    folder = home / "node_modules" / name
    if (folder / "package.json").is_file():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise NpmAwayError(f"npm is not there to install {package}: apt-get install npm")
    home.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(home), "--no-audit", "--no-fund", "--ignore-scripts", package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NpmAwayError(f"npm did not install {package} within {INSTALL_TIMEOUT_S} s") from None
    if done.returncode != 0 or not (folder / "package.json").is_file():
        raise NpmAwayError(f"npm could not install {package}: {done.stderr[-500:]}")
    return folder

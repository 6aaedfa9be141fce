"""`python -m api` as a process of its own, and a client of it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.runtime.settings import PROJECT_ROOT, Settings

START_LIMIT_S = 60
STOP_LIMIT_S = 30


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _serving(state_dir: Path, variables: Mapping[str, str], log: Path) -> Iterator[Any]:
    url = f"http://127.0.0.1:{_free_port()}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
    own = {"BALLAST_STATE_DIR": str(state_dir), "BALLAST_API_URL": url, "PYTHONPATH": str(PROJECT_ROOT)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], env=inherited | own | dict(variables), cwd=state_dir, stdout=out, stderr=out
        )
        try:
            _await_life(process, url, log)
            yield process, url
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_life(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"the API did not come up: {log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """A context manager that runs the API with a state folder and extra variables; it gives the process and its URL."""
    return _serving


@pytest.fixture(scope="session")
def live_api(built_warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and token of an API process on the built marts."""
    settings = built_warehouse
    token = settings.api_token.get_secret_value() if settings.api_token else "a-token-of-the-tests"
    log = tmp_path_factory.mktemp("api") / "api.log"
    with _serving(settings.state_dir, {"BALLAST_API_TOKEN": token}, log) as (_, url):
        yield url, token

"""The app as a process of its own, for tests that look at it over the network."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import SecretStr

from compliance.api.people import people_of
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.settings import PROJECT_ROOT
from streamlit_app.server.session import COOKIE, Sessions

START_LIMIT_S = 90.0
STOP_LIMIT_S = 30.0
SESSION_KEY = "a-session-key-of-the-tests-0123456789"
ASSERTION_KEY = "an-assertion-key-of-the-tests-0123456789"
PEOPLE = ("viewer", "analyst", "officer", "admin", "auditor")
# Compressing Streamlit's files costs seconds of a core; all apps of all tests share the result.
CACHE = Path(tempfile.gettempdir()) / "ballast-tests-app-cache"


def password_of(name: str) -> str:
    """What the person signs in with."""
    return f"password-of-{name}-0123456789"


USERS = ",".join(f"{name}:{name}:{password_of(name)}" for name in PEOPLE)


def cookie_of(name: str, clock: Clock | None = None, key: str = SESSION_KEY) -> str:
    """A session of the person as a header's value."""
    people = people_of(SecretStr(USERS))
    return f"{COOKIE}={Sessions(SecretStr(key), lambda: people, clock or SystemClock()).open(name)}"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class AppProcess:
    """`python -m streamlit_app` over a state folder; `variables` come on top of a working environment."""

    state_dir: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the app is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.state_dir / "app-under-test.log"

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it without waiting."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
        own = {
            "BALLAST_STATE_DIR": str(self.state_dir),
            "BALLAST_APP_PORT": str(self.port),
            "BALLAST_APP_URL": self.url,
            "BALLAST_APP_SESSION_KEY": SESSION_KEY,
            "BALLAST_APP_ASSERTION_KEY": ASSERTION_KEY,
            "BALLAST_APP_CACHE_DIR": str(CACHE),
            "BALLAST_COMPLIANCE_USERS": USERS,
            "PYTHONPATH": str(PROJECT_ROOT),
        }
        with self.log.open("ab") as out:
            argv = [sys.executable, "-m", "streamlit_app"]
            environment = inherited | own | dict(self.variables)
            return subprocess.Popen(argv, cwd=self.state_dir, env=environment, stdout=out, stderr=out)

    def start(self) -> AppProcess:
        """Start it and wait until it answers."""
        self.process = self.launch()
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                    return self
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"the app did not come up: {self.log.read_text()[-3000:]}")

    def stop(self) -> int:
        """End it; its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

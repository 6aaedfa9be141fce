"""The inbox as its own process, with a client that knows every credential."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from infra.embedded.ports import free_ports
from infra.runtime.settings import PROJECT_ROOT

PATIENCE_S = 60.0
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
INBOX_TOKEN = "inbox-token-of-the-tests"
SENDGRID_KEY = "SG.key-of-the-tests"
TWILIO_SID = "AC" + "0" * 32
TWILIO_TOKEN = "twilio-token-of-the-tests"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
CREDENTIALS = {
    "BALLAST_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "BALLAST_INBOX_TOKEN": INBOX_TOKEN,
    "BALLAST_SENDGRID_API_KEY": SENDGRID_KEY,
    "BALLAST_TWILIO_ACCOUNT_SID": TWILIO_SID,
    "BALLAST_TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
    "BALLAST_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
}


@dataclass
class Inbox:
    """A running inbox; `kill` and `start` keep its folder."""

    folder: Path
    credentials: dict[str, str] = field(default_factory=lambda: dict(CREDENTIALS))
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        [self.port] = free_ports(1)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BALLAST_")}
        argv = [sys.executable, "-m", "infra.embedded.inbox", "--data-dir", str(self.folder / "inbox")]
        with (self.folder / "inbox.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*argv, "--port", str(self.port)],
                cwd=PROJECT_ROOT,
                env={**inherited, "BALLAST_STATE_DIR": str(self.folder), **self.credentials},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            try:
                if httpx.get(f"{self.url}/healthz", timeout=1, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError(self.log())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return (self.folder / "inbox.log").read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=PATIENCE_S, trust_env=False, **options)

    def read(self, path: str) -> dict[str, Any]:
        response = self.request("GET", path, headers={"authorization": f"Bearer {INBOX_TOKEN}"})
        assert response.status_code == 200, response.text
        content: dict[str, Any] = response.json()
        return content

    def messages(self, since_id: int = 0) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.read(f"/api/messages?since_id={since_id}")["messages"]
        return rows

    def rejected(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.read("/api/rejected")["rejected"]
        return rows

    def fail(self, **wanted: Any) -> None:
        headers = {"authorization": f"Bearer {INBOX_TOKEN}"}
        response = self.request("POST", "/api/failures", json=wanted, headers=headers)
        assert response.status_code == 200, response.text

    def post_webhook(self, key: str = "ntf_1", body: bytes | None = None, **headers: str) -> httpx.Response:
        return self.request("POST", "/webhooks/margin", **self._signed(key, body, headers))

    def impatient_webhook(self, key: str = "ntf_1") -> None:
        """Post and leave once the inbox has stored the message; `TimeoutError` because no answer came."""
        signed = self._signed(key, None, {})
        try:
            httpx.post(f"{self.url}/webhooks/margin", timeout=2, trust_env=False, **signed)
        except httpx.ReadTimeout as error:
            raise TimeoutError("no answer") from error

    def _signed(self, key: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        body = webhook_body() if body is None else body
        at = datetime.now(UTC)
        signed = {
            "webhook-id": key,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(WEBHOOK_SECRET).sign(key, at, body.decode()),
        }
        return {"content": body, "headers": {**signed, **headers}}


def webhook_body(**changes: Any) -> bytes:
    data = {
        "margin_event_id": "mev_1",
        "account_id": "acc-1",
        "severity": "margin_call",
        "health": "29.5",
        "detected_at": (datetime.now(UTC) - timedelta(seconds=2)).isoformat(),
        **changes,
    }
    return json.dumps({"type": "margin.margin_call", "data": data}).encode()


def _running(folder: Path, credentials: dict[str, str]) -> Iterator[Inbox]:
    inbox = Inbox(folder, credentials)
    inbox.start()
    yield inbox
    if inbox.process is not None and inbox.process.poll() is None:
        assert inbox.stop() == 0, inbox.log()


@pytest.fixture(scope="session")
def shared_inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """One process for the tests that do not end it."""
    yield from _running(tmp_path_factory.mktemp("inbox"), dict(CREDENTIALS))


@pytest.fixture
def inbox(shared_inbox: Inbox) -> Inbox:
    """An empty inbox with every credential configured."""
    with closing(sqlite3.connect(shared_inbox.folder / "inbox" / "inbox.sqlite3", timeout=30)) as connection:
        for table in ("messages", "rejected", "failures", "incidents", "callbacks", "sqlite_sequence"):
            connection.execute(f"delete from {table}")
        connection.commit()
    return shared_inbox


@pytest.fixture
def own_inbox(tmp_path: Path) -> Iterator[Inbox]:
    """An inbox that the test may end."""
    yield from _running(tmp_path, dict(CREDENTIALS))


@pytest.fixture(scope="session")
def open_inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """An inbox in which nothing is configured."""
    yield from _running(tmp_path_factory.mktemp("open"), {})


@pytest.fixture
def make_webhook_body() -> Any:
    """Bodies of margin webhooks."""
    return webhook_body

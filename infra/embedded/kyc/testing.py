"""The local providers for tests: served over real HTTP from a thread, on a clock of the test's, commanded directly."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr

from infra.embedded.errors import EmbeddedError
from infra.embedded.kyc import persona, sumsub
from infra.embedded.kyc.app import create_app
from infra.embedded.kyc.database import Database, Failure, Subject
from infra.embedded.kyc.persona import Persona
from infra.embedded.kyc.signing import persona_headers, secrets_of, sumsub_headers
from infra.embedded.kyc.sumsub import Sumsub
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings

HOST = "127.0.0.1"
READY_S = 10.0


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A webhook as the provider would post it."""

    provider: str
    headers: Mapping[str, str]
    body: bytes


class LocalProviders:
    """Both providers, and what tests make of them."""

    def __init__(self, settings: Settings, database: Database, clock: Clock) -> None:
        self.settings = settings
        self.database = database
        self._clock = clock
        self._persona, self._sumsub = Persona(settings, database, clock), Sumsub(settings, database, clock)

    def subjects(self, provider: str) -> list[Subject]:
        """All inquiries or applicants, oldest first."""
        return self.database.subjects(provider)

    def inquiry(self, status: str, after_s: float = 0.0, *, subject: Subject | None = None) -> SignedWebhook:
        """Let an inquiry, the newest one, have a status, and return the webhook that tells of it."""
        subject = subject or self.subjects(persona.NAME)[-1]
        step = self._persona.advance(subject, status, self._clock.now().timestamp() + after_s)
        return self.signed(persona.NAME, self._persona.event(subject, step))

    def applicant(self, after_s: float = 0.0, *, subject: Subject | None = None, **review: Any) -> SignedWebhook:
        """Let the review of an applicant, the newest one, stand so, and return the webhook that tells of it."""
        subject = subject or self.subjects(sumsub.NAME)[-1]
        step = self._sumsub.advance(subject, review, self._clock.now().timestamp() + after_s)
        return self.signed(sumsub.NAME, self._sumsub.event(subject, step))

    def signed(self, provider: str, content: Mapping[str, Any]) -> SignedWebhook:
        """Any content, signed now by all secrets of the settings."""
        body = json.dumps(content).encode()
        if provider == persona.NAME:
            secrets = secrets_of(self.settings.persona_webhook_secrets)
            return SignedWebhook(provider, persona_headers(secrets, int(self._clock.now().timestamp()), body), body)
        return SignedWebhook(provider, sumsub_headers(secrets_of(self.settings.sumsub_webhook_secret)[0], body), body)

    def fail(self, provider: str, operation: str, status: int | None = None, *, count: int = 1, **how: Any) -> None:
        """Let the next requests of an operation fail (`reset_s` of a 429), or be answered `delay_s` late."""
        failure = Failure(status, how.get("delay_s", 0.0), how.get("reset_s"))
        self.database.fail(provider, operation, failure, count)

    def requests(self, provider: str, operation: str) -> int:
        """How many requests of an operation there were."""
        return self.database.requests().get(f"{provider}.{operation}", 0)


@contextlib.contextmanager
def local_providers(data_dir: Path, clock: Clock, **settings: Any) -> Iterator[LocalProviders]:
    """Both providers on a free port, until the block ends; further `settings` replace those made here."""
    given: dict[str, Any] = {
        "persona_api_key": SecretStr("persona_sandbox_key"),
        "persona_template_id": "itmpl_test",
        "persona_webhook_secrets": SecretStr("wbhsec_new,wbhsec_old"),
        "sumsub_app_token": SecretStr("sbx:token"),
        "sumsub_secret_key": SecretStr("secret"),
        "sumsub_webhook_secret": SecretStr("hooks"),
        **settings,
    }
    config = uvicorn.Config(
        "unset:app",
        host=HOST,
        port=0,
        log_config=None,
        access_log=False,
        date_header=False,
        timeout_graceful_shutdown=2,
    )
    with config.bind_socket() as bound:
        root = f"http://{HOST}:{bound.getsockname()[1]}"
        made = Settings(persona_url=f"{root}/api/v1", sumsub_url=root, **given)
        database = Database(data_dir)
        config.app = create_app(made, database, clock, reports=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="kyc-providers", daemon=True)
        thread.start()
        try:
            _wait(server)
            yield LocalProviders(made, database, clock)
        finally:
            server.should_exit = True
            thread.join()


def _wait(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + READY_S
    while not server.started:
        if time.monotonic() > deadline:
            raise EmbeddedError(f"The local providers did not start within {READY_S:g} s.")
        time.sleep(0.01)

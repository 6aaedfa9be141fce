"""Sends what the local providers report, and again at their documented intervals until it is taken."""

from __future__ import annotations

import asyncio

import httpx

from infra.embedded.kyc import persona, sumsub
from infra.embedded.kyc.database import Database
from infra.embedded.kyc.signing import persona_headers, secrets_of, sumsub_headers
from infra.runtime.clock import Clock
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings

RETRIES_S = {persona.NAME: (3, 64, 729, 4096, 15625, 46656, 117649), sumsub.NAME: (300, 3600, 18000, 64800)}
TIMEOUT_S = 5.0
WAVE = 50
EVERY_S = 0.2
WEBHOOK = "webhook"
_log = get_logger(__name__)


class Courier:
    """Delivers the webhooks that are due to `root`; a failure of `webhook` on command loses a delivery."""

    def __init__(self, settings: Settings, database: Database, clock: Clock, root: str) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._root = root.rstrip("/")

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                await self.deliver_due(client)
                await asyncio.sleep(EVERY_S)

    async def deliver_due(self, client: httpx.AsyncClient) -> int:
        """Try what is due once; how many were taken."""
        taken = 0
        for row in self._database.due_webhooks(self._clock.now().timestamp(), WAVE):
            provider, attempts, retries = row["provider"], row["attempts"], RETRIES_S[row["provider"]]
            is_taken = await self._deliver(client, provider, row["body"].encode())
            taken += is_taken
            is_last = is_taken or attempts >= len(retries)
            next_at = None if is_last else self._clock.now().timestamp() + retries[attempts]
            self._database.settle_webhook(row["id"], next_at)
        return taken

    async def _deliver(self, client: httpx.AsyncClient, provider: str, body: bytes) -> bool:
        headers = self._headers(provider, body)
        if headers is None or self._database.take(provider, WEBHOOK) is not None:
            return False
        try:
            response = await client.post(
                f"{self._root}/v1/compliance/webhooks/{provider}", content=body, headers=headers
            )
        except httpx.HTTPError as error:
            _log.info("kyc_webhook_waits", provider=provider, reason=type(error).__name__)
            return False
        return response.status_code in (200, 201, 202, 204)

    def _headers(self, provider: str, body: bytes) -> dict[str, str] | None:
        if provider == persona.NAME:
            secrets = secrets_of(self._settings.persona_webhook_secrets)
            return persona_headers(secrets, int(self._clock.now().timestamp()), body) if secrets else None
        secrets = secrets_of(self._settings.sumsub_webhook_secret)
        return sumsub_headers(secrets[0], body) if secrets else None

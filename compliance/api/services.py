"""The services of compliance, made from the settings when they are first needed; processes and the API share this.

What is missing (a key ring, a policy, a list) makes the call that needs it `ComplianceNotReadyError`; the next call
tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from compliance.errors import ComplianceNotReadyError, PolicyInvalidError
from compliance.policy.book import PolicyBook
from infra.runtime.clock import Clock
from infra.runtime.errors import BallastError, SettingsError
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings

if TYPE_CHECKING:
    from compliance.aml.gate import Gate
    from compliance.api.replays import Replays
    from compliance.kyc.service import KycService
    from compliance.screening.service import Screener
    from infra.runtime.envelope import Envelope

Made = TypeVar("Made")
_log = get_logger(__name__)


class Services:
    """What compliance needs, each made once at its first use; safe to use from several threads."""

    def __init__(self, settings: Settings, engine: Engine, clock: Clock) -> None:
        self.settings, self.engine, self.clock = settings, engine, clock
        self._lock = threading.RLock()
        self._made: dict[str, object] = {}

    @property
    def envelope(self) -> Envelope:
        """What seals and opens personal data; raises `ComplianceNotReadyError` without a key ring."""
        return self._once("envelope", self._make_envelope)

    @property
    def policies(self) -> PolicyBook:
        """The book of policies, recorded; raises `ComplianceNotReadyError` where a file cannot be used."""
        return self._once("policies", self._make_policies)

    @property
    def screener(self) -> Screener:
        """What searches the lists."""
        return self._once("screener", self._make_screener)

    @property
    def gate(self) -> Gate:
        """What judges transactions."""
        return self._once("gate", self._make_gate)

    @property
    def kyc(self) -> KycService:
        """What verifies customers."""
        return self._once("kyc", self._make_kyc)

    @property
    def replays(self) -> Replays:
        """The replays of policies that people started here."""
        return self._once("replays", self._make_replays)

    @staticmethod
    def load_name_data() -> None:
        """Load the matcher's tables: nothing else of the process runs for these seconds, so do it before it serves."""
        from compliance.screening.proxies import load_name_data

        load_name_data()

    def warm(self) -> None:
        """Search once, so that the lists are read; what keeps it from that is for others."""
        try:
            policy = self.policies.current(self.clock.now())
            self.screener.screen_name("Warm Up", kind="person", policy=policy)
        except (BallastError, SQLAlchemyError) as error:
            _log.warning("screening_not_warmed", reason=type(error).__name__)

    def close(self) -> None:
        """Stop replays and close the connections to providers; those to PostgreSQL are the engine's."""
        with self._lock:
            kyc, replays = self._made.pop("kyc", None), self._made.pop("replays", None)
        if replays is not None:
            cast("Replays", replays).close()
        if kyc is not None:
            cast("KycService", kyc).close()

    def _once(self, name: str, make: Callable[[], Made]) -> Made:
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            return cast(Made, self._made[name])

    def _make_envelope(self) -> Envelope:
        from infra.runtime.envelope import Envelope, key_ring

        try:
            return Envelope(key_ring(self.settings))
        except (SettingsError, OSError) as error:
            _log.error("key_ring_unusable", reason=getattr(error, "message", type(error).__name__))
            raise ComplianceNotReadyError(
                "There is no usable key ring for personal data; set BALLAST_PII_KEY_FILE or BALLAST_PII_KMS_KEY."
            ) from None

    def _make_policies(self) -> PolicyBook:
        try:
            book = PolicyBook.load()
            book.record(self.engine, self.clock)
        except PolicyInvalidError as error:
            _log.error("policies_unusable", reason=error.message)
            raise ComplianceNotReadyError(
                "The policy files cannot be used; run `ballast policy test` to see why."
            ) from None
        return book

    def _make_screener(self) -> Screener:
        from compliance.screening.service import Screener

        return Screener(self.engine, self.clock)

    def _make_gate(self) -> Gate:
        from compliance.aml.gate import Gate

        return Gate(self.engine, self.clock, self.policies, self.screener)

    def _make_replays(self) -> Replays:
        from compliance.api.replay_process import ReplayProcess
        from compliance.api.replays import Replays

        return Replays(ReplayProcess(self.engine.url), self.clock)

    def _make_kyc(self) -> KycService:
        from compliance.kyc.providers.build import build_providers
        from compliance.kyc.service import KycService

        providers = build_providers(self.settings, self.clock)
        return KycService(self.engine, self.clock, self.envelope, self.policies, providers, self.screener)


def build_services(settings: Settings, engine: Engine, clock: Clock) -> Services:
    """The services for these settings; it opens and reads nothing."""
    return Services(settings, engine, clock)

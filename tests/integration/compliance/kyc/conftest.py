"""A service of verification on real PostgreSQL, with the local providers over real HTTP and a commanded screener."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, Engine, text

from compliance import chain
from compliance.kyc.model import Applied, KycCase
from compliance.kyc.providers.build import build_providers
from compliance.kyc.service import KycService
from compliance.pii import PersonalData
from compliance.policy.book import PolicyBook
from compliance.policy.model import Policy
from compliance.users import User, create_user
from infra.embedded.kyc.testing import LocalProviders, SignedWebhook, local_providers
from infra.runtime.clock import FixedClock
from infra.runtime.envelope import Envelope, LocalKeyRing
from tests.integration.compliance.gate_world import shipped_book

# Shorter than the providers are ever late in these tests.
TIMEOUT = httpx.Timeout(0.6, connect=2.0)
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class Screening:
    screening_id: str
    outcome: str
    case_id: str | None = None
    list_versions: Mapping[str, str] = field(default_factory=lambda: {"ofac_sdn": "lv_1"})
    is_exposed: bool = False


@dataclass
class CommandedScreener:
    """Finds what the test wants to be found; the search itself has its own tests."""

    outcome: str = "clear"
    is_exposed: bool = False
    error: Exception | None = None
    seen: list[str] = field(default_factory=list)

    def screen_user(self, connection: Connection, user: User, policy: Policy, trigger: str) -> Screening:
        self.seen.append(user.user_id)
        if self.error is not None:
            connection.execute(text("insert into compliance.outbox values ('half', '{}', now())"))
            raise self.error
        return Screening(f"scr_{len(self.seen)}", self.outcome, is_exposed=self.is_exposed)


@dataclass
class Policies:
    """The book's policy, with an automatic refusal where a test wants it."""

    auto_decline: bool = False
    book: PolicyBook = field(default_factory=shipped_book)

    def current(self, at: Any) -> Policy:
        policy = self.book.current(at)
        kyc = policy.kyc.model_copy(update={"auto_decline": self.auto_decline})
        return policy.model_copy(update={"kyc": kyc})


@dataclass
class Desk:
    """A service on its servers, and short words for what tests do with it."""

    engine: Engine
    clock: FixedClock
    envelope: Envelope
    local: LocalProviders
    policies: Policies
    screener: CommandedScreener
    service: KycService
    user_id: str = ""

    def user(self, reference: str = "r1", kind: str = "person", name: str = "Ann Lee") -> str:
        first, _, last = name.partition(" ")
        person = PersonalData(first_name=first, last_name=last)
        personal = person if kind == "person" else PersonalData(names=("Lee Ltd",))
        with self.engine.begin() as connection:
            return create_user(connection, self.envelope, self.clock, reference, kind, personal, f"acc-{reference}")

    def with_providers(self, providers: Mapping[str, Any]) -> KycService:
        return KycService(self.engine, self.clock, self.envelope, self.policies, providers, self.screener)

    def with_screener(self, screener: Any) -> KycService:
        return KycService(self.engine, self.clock, self.envelope, self.policies, self.service._providers, screener)

    def with_policies(self, policies: Any) -> KycService:
        return KycService(self.engine, self.clock, self.envelope, policies, self.service._providers, self.screener)

    def fresh(self) -> KycService:
        """As another process, whose breakers know nothing."""
        return self.with_providers(build_providers(self.local.settings, self.clock, TIMEOUT))

    def start(self, key: str = "k1") -> KycCase:
        self.user_id = self.user_id or self.user()
        return self.service.start(self.user_id, key)

    def wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def poll(self, seconds: float = 0) -> int:
        self.wait(seconds)
        return self.service.poll_due(50)

    def hear(self, webhook: SignedWebhook) -> Applied:
        return self.service.apply_webhook(webhook.provider, webhook.headers, webhook.body)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values).all())

    def user_state(self) -> str:
        [row] = self.rows("select kyc_state from compliance.users where user_id = :id", id=self.user_id)
        return str(row.kyc_state)

    def decisions(self) -> list[tuple[str, str, str]]:
        rows = self.rows("select outcome, reason, actor from compliance.decisions order by sequence")
        return [tuple(row) for row in rows]

    def open_cases(self) -> list[str]:
        return [row.title for row in self.rows("select title from compliance.cases where state != 'closed'")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalProviders, FixedClock]]:
    """The local providers, started once, and the clock that everything goes by."""
    clock = FixedClock(START)
    with local_providers(tmp_path_factory.mktemp("kyc"), clock) as local:
        yield local, clock


@pytest.fixture
def desk(engine: Engine, served: tuple[LocalProviders, FixedClock], tmp_path: Path) -> Iterator[Desk]:
    local, clock = served
    local.database.clear()
    clock.at = START
    envelope = Envelope(LocalKeyRing.create(tmp_path / "keys.json"))
    policies, screener = Policies(), CommandedScreener()
    providers = build_providers(local.settings, clock, TIMEOUT)
    service = KycService(engine, clock, envelope, policies, providers, screener)
    yield Desk(engine, clock, envelope, local, policies, screener, service)
    service.close()
    with engine.connect() as connection:
        chain.verify(connection)

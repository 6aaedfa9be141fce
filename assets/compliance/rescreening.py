"""The nightly screening of customers against what changed in the lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.runtime.clock import Clock
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings

if TYPE_CHECKING:
    from compliance.screening.rescreening import Rescreening


def rescreen_customers(settings: Settings, clock: Clock) -> Rescreening:
    """Screen new or changed entries against all customers, and new customers against the lists; what came of it.

    Raises `ComplianceNotReadyError` where no list or no policy is loaded: nobody was screened then.
    """
    # Matching loads slowly, and only this step needs it.
    from compliance.policy.book import PolicyBook
    from compliance.screening.rescreening import rescreen
    from compliance.screening.service import Screener
    from infra.runtime.envelope import Envelope, key_ring

    engine = postgres_engine(settings, "compliance-rescreening")
    try:
        return rescreen(engine, Screener(engine, clock), clock, PolicyBook.load(), Envelope(key_ring(settings)))
    finally:
        engine.dispose()

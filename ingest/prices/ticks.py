"""What a price source reports, and the port that every source fills."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from infra.runtime.ids import stable_id

CHAINLINK = "chainlink"
PYTH = "pyth"


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One reading of one asset's price, exactly as the source gave it; prices in USD for one unit.

    `observed_at` is the source's own time of the price, `received_at` ours. `reference` names the reading at the
    source: a round id, or a slot. `confidence_usd` is the half width of the source's interval; None where it has none.
    """

    source: str
    asset: str
    price_usd: Decimal
    confidence_usd: Decimal | None
    observed_at: datetime
    received_at: datetime
    reference: str
    is_simulated: bool = False

    @property
    def tick_id(self) -> str:
        """Follows from what the source said: the same reading read twice has one id."""
        return stable_id("tick", self.source, self.asset, self.reference, self.observed_at.isoformat(), self.price_usd)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A reading that can never be used (answer 0, a parsed price that its signed message does not hold).

    `code` is stable, `reason` is for people and names no secret; `reference` is empty where the reading has none.
    """

    source: str
    asset: str
    code: str
    reason: str
    received_at: datetime
    reference: str = ""


@dataclass(frozen=True, kw_only=True)
class SourceFailure:
    """The source as a whole could not be read: network, refusal, rate limit, silence.

    `reason` names no address or token: addresses of providers hold keys.
    """

    source: str
    code: str
    reason: str
    at: datetime


class Sink(Protocol):
    """Where sources report to; callable from any thread, never blocks for long."""

    def tick(self, tick: Tick) -> None:
        """A usable reading."""
        ...

    def rejected(self, rejection: Rejection) -> None:
        """A reading that cannot be used."""
        ...

    def failed(self, failure: SourceFailure) -> None:
        """The source could not be read."""
        ...

    def answered(self, source: str, at: datetime) -> None:
        """The source was read completely, whether or not its prices were new."""
        ...


class Source(Protocol):
    """A provider of prices."""

    @property
    def name(self) -> str:
        """The source's name in ticks and prices."""
        ...

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Report until `stop` is set; a provider that fails is reported and tried again, never raised.

        Raises only for what a person must mend first (`FeedTableError`, `SettingsError`).
        """
        ...

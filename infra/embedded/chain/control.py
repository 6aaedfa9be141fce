"""The client of the local chain's control interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import httpx

from infra.embedded.chain.models import (
    MAX_ROUNDS,
    AssetState,
    ChainState,
    FailureMode,
    FailureRequest,
    PhaseRequest,
    PricesRequest,
    RawRound,
    RawRounds,
    Written,
)
from infra.embedded.errors import EmbeddedError
from infra.runtime.errors import NotReadyError, SettingsError
from infra.runtime.settings import Settings

_TIMEOUT_S = 20.0


class ChainControl:
    """Moves the local chain's prices and makes it fail.

    Raises `NotReadyError` if the chain does not answer (a write may then have happened: set prices anew),
    `EmbeddedError` if it refuses. A write is never repeated by itself.
    """

    def __init__(self, settings: Settings, timeout_s: float = _TIMEOUT_S) -> None:
        if not settings.ethereum_control_url or settings.market_token is None:
            raise SettingsError(
                "BALLAST_ETHEREUM_CONTROL_URL and BALLAST_MARKET_TOKEN are needed to move the local chain: "
                "start the embedded stack, which writes them."
            )
        self._client = httpx.Client(
            base_url=settings.ethereum_control_url,
            headers={"authorization": f"Bearer {settings.market_token.get_secret_value()}"},
            timeout=timeout_s,
            transport=httpx.HTTPTransport(retries=2),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def set_prices(self, prices: Mapping[str, Decimal], updated_at: datetime | None = None) -> dict[str, str]:
        """Write a round for each asset, in USD; the new round ids."""
        items, written = list(prices.items()), dict[str, str]()
        for start in range(0, len(items), MAX_ROUNDS):
            body = PricesRequest(prices=dict(items[start : start + MAX_ROUNDS]), updated_at=updated_at)
            written |= Written.model_validate(self._post("prices", body.model_dump_json())).rounds
        return written

    def write_rounds(self, rounds: Sequence[RawRound]) -> dict[str, str]:
        """Write raw rounds (0, negative or old ones too) in their order; each asset's newest round id."""
        body = RawRounds(rounds=list(rounds))
        return Written.model_validate(self._post("rounds", body.model_dump_json())).rounds

    def change_phase(self, asset: str) -> AssetState:
        """Put a new aggregator, without rounds, behind the asset's proxy."""
        return AssetState.model_validate(self._post("phase", PhaseRequest(asset=asset).model_dump_json()))

    def fail(
        self,
        mode: FailureMode,
        *,
        share: float = 1.0,
        count: int | None = None,
        seed: int | None = None,
        lane: str | None = None,
    ) -> None:
        """Fail JSON-RPC requests from now on; replaces what was set before."""
        wanted = FailureRequest(mode=mode, share=share, count=count, seed=seed, lane=lane)
        self._post("failures", wanted.model_dump_json())

    def heal(self) -> None:
        """End failures."""
        self._ask("DELETE", "failures")

    def state(self) -> ChainState:
        """The whole chain."""
        return ChainState.model_validate(self._ask("GET", "state"))

    def _post(self, path: str, body: str) -> Any:
        return self._ask("POST", path, content=body)

    def _ask(self, method: str, path: str, content: str | None = None) -> Any:
        try:
            response = self._client.request(method, f"/control/{path}", content=content)
        except httpx.TransportError as error:
            raise NotReadyError(f"The local chain does not answer ({type(error).__name__}): is it running?") from None
        if response.status_code != 200:
            raise EmbeddedError(f"The local chain refused {path} (HTTP {response.status_code}): {response.text[:300]}")
        return response.json()

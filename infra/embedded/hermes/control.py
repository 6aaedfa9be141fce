"""The client of the local Hermes' control."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx

from infra.embedded.errors import EmbeddedError
from infra.embedded.hermes.models import FailureMode, FailureRequest, HermesState
from infra.runtime.settings import Settings

TIMEOUT_S = 10.0


class HermesControl:
    """Moves prices and commands failures; every method raises `EmbeddedError` where the server does not do it."""

    def __init__(self, settings: Settings) -> None:
        if not settings.pyth_hermes_url or settings.market_token is None:
            raise EmbeddedError("There is no local Hermes: BALLAST_PYTH_HERMES_URL or BALLAST_MARKET_TOKEN is empty.")
        self._url = settings.pyth_hermes_url
        self._token = settings.market_token

    def set_prices(
        self,
        prices: Mapping[str, Decimal],
        *,
        confidence_bp: Decimal = Decimal(5),
        publish_time: int | None = None,
        expo: int = -8,
    ) -> HermesState:
        """Publish new prices in USD; see `PriceRequest`."""
        content = {
            "prices": {asset: f"{price:f}" for asset, price in prices.items()},
            "confidence_bp": str(confidence_bp),
            "publish_time": publish_time,
            "expo": expo,
        }
        return self._call("POST", "/control/prices", content)

    def fail(
        self, mode: FailureMode | str, *, count: int | None = None, seconds: float | None = None, **more: Any
    ) -> HermesState:
        """Begin a failure in place of the one before; `more` are other fields of `FailureRequest`."""
        wanted = FailureRequest(mode=FailureMode(mode), count=count, seconds=seconds, **more)
        return self._call("POST", "/control/failures", wanted.model_dump(mode="json"))

    def heal(self) -> HermesState:
        """End the failure."""
        return self._call("DELETE", "/control/failures")

    def state(self) -> HermesState:
        """What the server serves and has been asked."""
        return self._call("GET", "/control/state")

    def _call(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> HermesState:
        headers = {"authorization": f"Bearer {self._token.get_secret_value()}"}
        try:
            with httpx.Client(base_url=self._url, timeout=TIMEOUT_S, trust_env=False) as client:
                response = client.request(method, path, json=content, headers=headers)
        except httpx.HTTPError as error:
            raise EmbeddedError(f"The local Hermes does not answer ({type(error).__name__}); start it.") from None
        if response.status_code != 200:
            raise EmbeddedError(f"The local Hermes refuses {path} ({response.status_code}): {response.text[:500]}")
        return HermesState.model_validate_json(response.content)

"""What the local chain's control interface takes and tells."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from infra.runtime.clock import UtcTime
from ingest.messages import AssetSymbol, PriceUsd

MAX_ROUNDS = 64


class FailureMode(StrEnum):
    """How a JSON-RPC request fails."""

    HTTP_500 = "http_500"
    HTTP_429 = "http_429"
    DROP = "drop"
    MALFORMED = "malformed"
    HANG = "hang"
    STALE_HEAD = "stale_head"
    REVERT = "revert"
    WRONG_CHAIN = "wrong_chain"


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PricesRequest(_Request):
    """New rounds at prices in USD, dated `updated_at` (now, if None)."""

    prices: Annotated[dict[AssetSymbol, PriceUsd], Field(min_length=1, max_length=MAX_ROUNDS)]
    updated_at: UtcTime | None = None


class RawRound(_Request):
    """A round as it stands in the contract: any answer in the feed's decimals, any time in seconds since 1970."""

    asset: AssetSymbol
    answer: Annotated[int, Field(ge=-(2**255), lt=2**255)]
    updated_at: Annotated[int, Field(ge=0, lt=2**64)]


class RawRounds(_Request):
    """Several raw rounds, written in their order."""

    rounds: Annotated[list[RawRound], Field(min_length=1, max_length=MAX_ROUNDS)]


class PhaseRequest(_Request):
    """A new aggregator behind an asset's proxy."""

    asset: AssetSymbol


class FailureRequest(_Request):
    """Fail this share of the JSON-RPC requests, at most `count` of them; on one lane of the server, or on all."""

    mode: FailureMode
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    count: Annotated[int, Field(gt=0)] | None = None
    seed: int | None = None
    lane: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")] | None = None


class AssetState(BaseModel):
    """One feed as its contracts have it now; ids as text, for they exceed what JSON numbers keep."""

    proxy: str
    aggregator: str
    phase: int
    round_id: str
    answer: str
    price_usd: Decimal
    updated_at: int


class ChainState(BaseModel):
    """The whole chain."""

    chain_id: int
    block: int
    head_at: int
    assets: dict[str, AssetState]
    failure: FailureRequest | None
    rpc_requests: int


class Written(BaseModel):
    """The newest round of each asset that was written to."""

    rounds: dict[str, str]

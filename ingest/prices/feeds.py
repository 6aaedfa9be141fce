"""The feed table: which feeds price which asset, and how far each may be trusted. Pinned in `feeds.toml`."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest.errors import FeedTableError
from ingest.messages import AssetSymbol

PINNED_FEEDS = Path(__file__).with_name("feeds.toml")
Seconds = Annotated[int, Field(gt=0, le=7 * 86_400)]
BasisPoints = Annotated[int, Field(gt=0, le=10_000)]


class ChainlinkFeed(BaseModel):
    """One Chainlink proxy. It updates at each `deviation_bp` of movement and at least every `heartbeat_s`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    proxy: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$", description="EIP-55 address of the proxy")]
    description: Annotated[str, Field(description="what `description()` must answer")]
    decimals: Annotated[int, Field(ge=0, le=18)]
    heartbeat_s: Seconds
    grace_s: Seconds = Field(description="how long after the heartbeat an update may still be on its way")
    deviation_bp: BasisPoints

    @property
    def max_age(self) -> timedelta:
        """A reading older than this is stale."""
        return timedelta(seconds=self.heartbeat_s + self.grace_s)


class PythFeed(BaseModel):
    """One Pyth feed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feed_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    max_age_s: Seconds

    @property
    def max_age(self) -> timedelta:
        """A reading older than this is stale."""
        return timedelta(seconds=self.max_age_s)


class AssetFeeds(BaseModel):
    """The feeds of one asset and its limits; limits in basis points of the price."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chainlink: ChainlinkFeed | None = None
    pyth: PythFeed | None = None
    publish_move_bp: BasisPoints = Field(default=10, description="a price that moved this far is published at once")
    publish_every_s: Seconds = Field(default=60, description="and an unmoved one this often")
    max_confidence_bp: BasisPoints = Field(default=100, description="a wider interval makes a reading unusable")
    max_spread_bp: BasisPoints = Field(default=200, description="sources further apart than this contradict")
    max_jump_bp: BasisPoints = Field(
        default=1_000, description="a single source may move this far from the last good price, without a second one"
    )


class FeedTable(BaseModel):
    """All feeds of one chain; `chain_id` 1 is Ethereum's main network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chain_id: Annotated[int, Field(gt=0)]
    read_on: Annotated[str, Field(description="when the table was checked against its sources")]
    assets: dict[AssetSymbol, AssetFeeds]


def load_feeds(path: Path | None = None) -> FeedTable:
    """The table in a TOML file, the pinned one by default; raises `FeedTableError` naming what is wrong."""
    path = path or PINNED_FEEDS
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return FeedTable.model_validate(content)
    except OSError as error:
        raise FeedTableError(f"The feed table {path} cannot be read ({error.strerror}).") from None
    except tomllib.TOMLDecodeError as error:
        raise FeedTableError(f"The feed table {path} is no TOML: {error}.") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise FeedTableError(f"The feed table {path} is not usable: {wrong}.") from None


def render_feeds(table: FeedTable) -> str:
    """The table as TOML, as `load_feeds` reads it."""
    return tomli_w.dumps(table.model_dump(exclude_none=True))

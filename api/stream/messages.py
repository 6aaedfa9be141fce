"""The frames of the stream: JSON text with a `type` and `schema_version` 1; decimals are strings, times UTC."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from api.risk.schemas import HealthView, Usd
from api.stream.errors import MistakeError
from api.wire import UtcTime, View
from ingest.messages import AccountId, AssetSymbol

Every = Literal["*"]
MAX_REASONS = 3


class ClientMessage(BaseModel):
    """What clients send."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1


class Subscribe(ClientMessage):
    """What the client wants from now on; a further one replaces the one before.

    `accounts` `"*"` means the alerts of all accounts, and health of none.
    """

    type: Literal["subscribe"]
    accounts: list[AccountId] | Every = Field(default_factory=list)
    prices: list[AssetSymbol] | Every = Field(default_factory=list)
    alerts: bool = False
    resume: Annotated[str, Field(min_length=1, max_length=4_096)] | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Subscribe:
        if self.alerts and not self.accounts:
            raise ValueError('alerts need accounts: a list, or "*" for all')
        if self.resume is not None and not self.alerts:
            raise ValueError("resume needs alerts: true, for it is a place among the alerts")
        return self


class Ping(ClientMessage):
    """Asks for a `pong`."""

    type: Literal["ping"]


class Pong(ClientMessage):
    """Says that the client lives; nothing is asked for."""

    type: Literal["pong"]


class _Frame(RootModel[Annotated[Subscribe | Ping | Pong, Field(discriminator="type")]]):
    pass


def parse_client_message(text: str) -> Subscribe | Ping | Pong:
    """The message of a frame; `MistakeError` names each wrong field, never its value."""
    try:
        return _Frame.model_validate_json(text).root
    except ValidationError as error:
        # The location names the union's branch first, which is the message's type.
        found = error.errors(include_input=False, include_url=False)[:MAX_REASONS]
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'message'}: {_told(e)}"[:200] for e in found)
        raise MistakeError("message_invalid", f"The frame is no message of this stream: {wrong}") from None


def _told(error: Any) -> str:
    return "type must be subscribe, ping or pong" if error["type"] == "union_tag_invalid" else str(error["msg"])


class PriceView(View):
    """One price as it was published on market.prices.v1."""

    price_id: str
    asset: str
    price_usd: Usd | None = Field(description="null withdraws the price of the asset")
    confidence_usd: Usd | None
    sources: list[dict[str, Any]] = Field(description="inputs: name, price_usd, observed_at, reference")
    observed_at: UtcTime = Field(description="time of the oldest input (UTC)")
    published_at: UtcTime
    quality: str = Field(description="ok or degraded")
    degraded_reason: str | None
    is_simulated: bool


class ServerMessage(View):
    """What the server sends."""

    schema_version: Literal[1] = 1


class DataMessage(ServerMessage):
    """A message of the numbered sequence; `seq` rises by one within a connection.

    `resume` is the place among the alerts behind this message; null without `alerts`.
    """

    seq: int
    resume: str | None


class Snapshot(DataMessage):
    """The present state of what was subscribed, in `parts` messages of which this is number `part`."""

    type: Literal["snapshot"] = "snapshot"
    part: int
    parts: int
    accounts: list[HealthView]
    unknown_accounts: list[str] = Field(description="subscribed accounts without a position")
    prices: list[PriceView] = Field(description="the latest price of each asset, with part 1")
    unknown_assets: list[str] = Field(description="subscribed assets without a price in the look-back")
    alerts: bool
    server_time: UtcTime


class HealthUpdate(DataMessage):
    """The newest state of an account that changed; states between may be left out."""

    type: Literal["health"] = "health"
    account_id: str
    health: HealthView | None = Field(description="null: the account has no position any more")


class PriceUpdate(DataMessage):
    """The newest price of an asset; prices between may be left out."""

    type: Literal["price"] = "price"
    price: PriceView


class AlertMessage(DataMessage):
    """One margin event as it stands in risk.margin_events; none is left out."""

    type: Literal["alert"] = "alert"
    margin_event_id: str
    account_id: str
    detected_at: UtcTime
    alert: dict[str, Any] | None = Field(description="the message of alerts.margin.v1; null where it is unreadable")


class FeedStatus(StrEnum):
    """Whether what a feed shows is of now."""

    OK = "ok"
    STALE = "stale"


class FeedView(View):
    """One feed; `age_seconds` since the begin of its last successful read, null before the first."""

    status: FeedStatus
    age_seconds: float | None
    reason: str | None


class Heartbeat(ServerMessage):
    """Whether the figures are of now: `stale` with the reason of the first stale feed, `ok` only if all are."""

    type: Literal["heartbeat"] = "heartbeat"
    seq: int = Field(description="seq of the last data message")
    server_time: UtcTime
    status: FeedStatus
    reason: str | None
    data_age_seconds: float | None = Field(description="of the oldest feed subscribed; null if one was never read")
    feeds: dict[str, FeedView]
    is_replaying: bool = Field(description="whether alerts of before are still being sent")
    resume: str | None


class Lagging(ServerMessage):
    """The client reads more slowly than figures change: `left_out` of them were replaced by newer ones."""

    type: Literal["lagging"] = "lagging"
    left_out: int
    waiting_updates: int
    waiting_alerts: int


class ResumeExpired(ServerMessage):
    """The place is too old: alerts before `oldest` are not sent again; read them elsewhere."""

    type: Literal["resume_expired"] = "resume_expired"
    oldest: UtcTime


class ErrorMessage(ServerMessage):
    """A message of the client was not taken."""

    type: Literal["error"] = "error"
    code: str
    message: str


class PongMessage(ServerMessage):
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"
    server_time: UtcTime

"""What the routes of alerting receive from `app.state`, and whom a path speaks of."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Engine

from alerting.channels.guard import parse_networks
from alerting.errors import TeamUnknownError
from alerting.preferences.model import TEAM_PREFIX, Context, Team
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import NotReadyError
from infra.runtime.sealing import Sealer
from infra.runtime.settings import Settings
from ingest.messages import AccountId

AccountPath = Annotated[AccountId, Path(description="account", examples=["acct-00001"])]


async def get_engine(request: Request) -> Engine:
    """The application's PostgreSQL engine; `NotReadyError` when the application has none."""
    engine = getattr(request.app.state, "postgres_engine", None)
    if not isinstance(engine, Engine):
        raise NotReadyError("The API has no PostgreSQL engine; set app.state.postgres_engine when it starts.")
    return engine


async def get_clock(request: Request) -> Clock:
    """The application's clock."""
    clock: Clock = getattr(request.app.state, "clock", None) or SystemClock()
    return clock


EngineDependency = Annotated[Engine, Depends(get_engine)]
ClockDependency = Annotated[Clock, Depends(get_clock)]


async def get_context(request: Request, engine: EngineDependency, clock: ClockDependency) -> Context:
    """What preferences work with; `NotReadyError` when the application has no sealing key."""
    sealer = getattr(request.app.state, "sealer", None)
    if not isinstance(sealer, Sealer):
        raise NotReadyError("The API has no sealing key; set BALLAST_SEALING_KEY and start it again.")
    settings = getattr(request.app.state, "settings", None)
    networks = settings.webhook_allowed_networks if isinstance(settings, Settings) else ""
    return Context(engine, sealer, clock, parse_networks(networks))


ContextDependency = Annotated[Context, Depends(get_context)]


async def account_owner(request: Request, account_id: AccountPath) -> None:
    """The path speaks of an account."""
    request.state.alert_owner = account_id


async def team_owner(
    request: Request, team: Annotated[str, Path(description="risk or compliance", examples=["risk"])]
) -> None:
    """The path speaks of a team of the desk; raises `TeamUnknownError`."""
    if team not in set(Team):
        raise TeamUnknownError(f"The desk has no such team; its teams are {', '.join(Team)}.")
    request.state.alert_owner = TEAM_PREFIX + team


async def get_owner(request: Request) -> str:
    """Whom the path speaks of, as `account_owner` or `team_owner` of its router left it."""
    owner: str | None = getattr(request.state, "alert_owner", None)
    if owner is None:
        # The framework asks for all dependencies of a request, also when the first one has refused the path.
        raise RequestValidationError([{"loc": ("path", "owner"), "msg": "This is no id of an account."}])
    return owner


OwnerDependency = Annotated[str, Depends(get_owner)]

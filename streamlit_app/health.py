"""The reads of the page of data health: each source is asked by itself, so that one that is away hides no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerting.mirror import Mirror
from assets.risk import health_queries, var_queries
from assets.risk.health_queries import DeadLetters, TableAge
from assets.risk.overview_queries import AssetPrice, asset_prices
from compliance.mirror_lag import ChainLag, chain_lags
from infra.runtime.errors import BallastError, NotReadyError
from infra.runtime.heartbeats import Beat, read_heartbeats
from infra.runtime.postgres import postgres_engine
from streamlit_app import dagster_client, data
from streamlit_app.api_client import shared_client
from streamlit_app.dagster_client import DagsterState
from streamlit_app.reads import LastGood, Read, Reading, SharedReads

# Who waits longer sees what is there, and the rest when it comes.
PATIENCE_S = 1.0
API_TIMEOUT_S = 5.0
SOON = timedelta(seconds=3)
DAGSTER_MAX_AGE = timedelta(seconds=15)
AGES_MAX_AGE = timedelta(seconds=10)
LOOK_BACK = timedelta(days=30)
DEAD_LETTER_DAYS = 7

Value = TypeVar("Value")


class NotConfiguredError(BallastError):
    """The settings do not say where a source is."""

    code = "not_configured"


class ApiRefusedError(BallastError):
    """The API answers, but not with its readiness."""

    code = "api_refused"


class PartState(BaseModel):
    """A part that the API needs (`up` or `down`), or a process beside it (also `unknown`); `reason` is a code."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: str
    reason: str | None = None
    age_seconds: float | None = None


class ApiReadiness(BaseModel):
    """What `/readyz` says, also where it is not ready."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: str
    parts: dict[str, PartState]
    workers: dict[str, PartState] = Field(default_factory=dict)


@dataclass(frozen=True)
class MirrorLags:
    """How far the warehouse is behind PostgreSQL: seconds by stream of alerting, and the chains of compliance."""

    alerting_s: Mapping[str, float]
    compliance: tuple[ChainLag, ...]


@dataclass(frozen=True)
class HealthReadings:
    """Everything that the page rests on; `now` is when it was read."""

    raw: Reading[list[TableAge]]
    marts: Reading[list[TableAge]]
    dead_letters: Reading[list[DeadLetters]]
    prices: Reading[list[AssetPrice]]
    backtests: Reading[list[var_queries.VarBacktest]]
    dagster: Reading[DagsterState]
    api: Reading[ApiReadiness]
    beats: Reading[Mapping[str, Beat]]
    mirrors: Reading[MirrorLags]
    now: datetime


def read_health() -> HealthReadings:
    """What each source says now, or said last; nobody waits longer than the warehouse's deadline."""
    with ThreadPoolExecutor(4, thread_name_prefix="health") as pool:
        dagster = pool.submit(_from, "dagster", DAGSTER_MAX_AGE, ask_dagster)
        api = pool.submit(_from, "api", SOON, ask_api)
        beats = pool.submit(_from, "beats", SOON, ask_beats)
        mirrors = pool.submit(_from, "mirrors", SOON, ask_mirrors)
        raw, marts, dead_letters, prices, backtests = _from_warehouse()
        return HealthReadings(
            raw=raw,
            marts=marts,
            dead_letters=dead_letters,
            prices=prices,
            backtests=backtests,
            dagster=dagster.result(),
            api=api.result(),
            beats=beats.result(),
            mirrors=mirrors.result(),
            now=data.system_clock().now(),
        )


def ask_dagster() -> DagsterState:
    """Dagster's state; raises `NotConfiguredError`, `NotReadyError`, `DagsterRefusedError`."""
    url = data.settings().dagster_url
    if not url:
        raise NotConfiguredError("BALLAST_DAGSTER_URL is not set, so that the app cannot ask Dagster.")
    return dagster_client.ask(url, shared_client())


def ask_api() -> ApiReadiness:
    """The API's readiness; raises `NotReadyError` where it does not answer, `ApiRefusedError` where it says no such."""
    url = data.settings().api_url.rstrip("/")
    try:
        answer = shared_client().get(f"{url}/readyz", timeout=API_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise NotReadyError(f"The API does not answer ({type(error).__name__}).") from error
    try:
        return ApiReadiness.model_validate_json(answer.content)
    except ValidationError:
        raise ApiRefusedError(f"The API answers {answer.status_code} without its readiness.") from None


def ask_beats() -> Mapping[str, Beat]:
    """The last sign of life of every process; raises `NotReadyError`."""
    return _from_postgres(read_heartbeats)


def ask_mirrors() -> MirrorLags:
    """How far the copies in the warehouse are behind; raises `NotReadyError`."""
    return _from_postgres(_mirror_lags)


def open_engine() -> Engine:
    """A new engine on PostgreSQL."""
    return postgres_engine(data.settings(), "app-health", pool_size=2)


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The engine that all sessions share."""
    return open_engine()


@st.cache_resource(show_spinner=False)
def _source(name: str) -> SharedReads:  # noqa: ARG001 - one for each name
    """The reads of one source: where it is away, the others are asked all the same."""
    return SharedReads(data.reader(), LastGood(data.system_clock()), PATIENCE_S, workers=1)


def _from(name: str, max_age: timedelta, run: Callable[[], Any]) -> Reading[Any]:
    return _source(name).together(Read((name,), lambda _warehouse: run(), max_age))[0]


def _from_warehouse() -> list[Reading[Any]]:
    now = data.system_clock().now().replace(minute=0, second=0, microsecond=0)
    since, lately = now - LOOK_BACK, now - timedelta(days=DEAD_LETTER_DAYS)
    return data.shared().together(
        Read(("raw_ages",), lambda source: health_queries.raw_ages(source, since), AGES_MAX_AGE),
        Read(("mart_ages",), lambda source: health_queries.mart_ages(source, since), AGES_MAX_AGE),
        Read(("dead_letters",), lambda source: health_queries.dead_letters(source, lately), AGES_MAX_AGE),
        Read(("asset_prices",), lambda source: asset_prices(source, now), data.SECONDARY_MAX_AGE),
        Read(("var_backtests",), var_queries.var_backtests, data.SLOW_MAX_AGE),
    )


def _from_postgres(run: Callable[[Engine], Value]) -> Value:
    try:
        return run(engine())
    except SQLAlchemyError as error:
        # Its words may hold addresses and statements.
        raise NotReadyError(f"PostgreSQL does not answer ({type(error).__name__}).") from error


class _NothingToCopy:
    """Stands where a mirror has its warehouse: who asks for lags copies nothing."""

    def append(self, *_arguments: object) -> Any:
        raise NotImplementedError


def _mirror_lags(source: Engine) -> MirrorLags:
    alerting = Mirror(source, _NothingToCopy(), data.system_clock()).lag_s()
    return MirrorLags(alerting, tuple(chain_lags(source)))

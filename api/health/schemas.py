"""Responses of the health checks."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from api.wire import UtcTime, View


class PartState(StrEnum):
    """Whether a part that the API needs can be used."""

    UP = "up"
    DOWN = "down"


class Liveness(View):
    """The process lives."""

    status: Literal["ok"] = "ok"


class PartView(View):
    """One part; `reason` is a code and names no host, user or secret."""

    state: PartState
    reason: str | None = Field(description="why it is down, as a code; null while it is up", examples=["timeout"])


class WorkerState(StrEnum):
    """Whether a process beside the API does its work; unknown is not up."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class WorkerView(View):
    """One process beside the API, by its last sign of life."""

    state: WorkerState
    reason: str | None = Field(
        description="why it is not up, as a code; null while it is up",
        examples=["never_beat", "heartbeat_old", "heartbeats_unreadable", "not_ready"],
    )
    beat_at: UtcTime | None = Field(description="its last sign of life (UTC); null if there never was one")
    age_seconds: float | None = Field(description="how long ago that was, in seconds")


class Readiness(View):
    """Whether the API can serve: only if every part is up. Workers are told beside it: reads do without them."""

    status: Literal["ready", "not_ready"]
    parts: dict[str, PartView] = Field(description="by name: authentication, bigquery, postgres")
    workers: dict[str, WorkerView] = Field(
        description="by name: margin_sensor, which decides on margin events, and others that gave a sign of life"
    )
    checked_at: UtcTime = Field(description="time of the check (UTC)")

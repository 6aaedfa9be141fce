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


class Readiness(View):
    """Whether the API can serve: only if every part is up."""

    status: Literal["ready", "not_ready"]
    parts: dict[str, PartView] = Field(description="by name: authentication, bigquery, postgres")
    checked_at: UtcTime = Field(description="time of the check (UTC)")

"""Who has seen an alert: said to the API for the person who looks, and known to all pages before the warehouse knows.

The API records it in the ledger; the warehouse follows seconds later. What the API answered counts until then.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import streamlit as st
from pydantic import AwareDatetime, BaseModel, ValidationError

from streamlit_app.api_client import ApiAway, segment

MAX_KEPT = 500


class Poster(Protocol):
    """What sends to the API; `streamlit_app.api_client.Api` is the real one."""

    def post(self, path: str, body: Any = None) -> Any:
        """Send a body as JSON; raises `ApiProblem` and `ApiAway`."""
        ...


@dataclass(frozen=True)
class Acknowledgement:
    """The first person who has seen an alert, and when (UTC)."""

    event_id: str
    by: str
    at: datetime


class _Answer(BaseModel):
    event_id: str
    acknowledged_by: str
    acknowledged_at: AwareDatetime


@dataclass
class Acknowledged:
    """What the API answered lately, by event; safe to share between threads."""

    max_kept: int = MAX_KEPT
    _kept: OrderedDict[str, Acknowledgement] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, made: Acknowledgement) -> None:
        """Remember an answer; of one event the earliest acknowledgement counts."""
        with self._lock:
            before = self._kept.get(made.event_id)
            if before is None or made.at < before.at:
                self._kept[made.event_id] = made
            while len(self._kept) > self.max_kept:
                self._kept.popitem(last=False)

    def of(self, event_id: str) -> Acknowledgement | None:
        """Who has seen the event's alert, as far as answers tell."""
        with self._lock:
            return self._kept.get(event_id)


@st.cache_resource(show_spinner=False)
def acknowledged() -> Acknowledged:
    """What all pages of this process know."""
    return Acknowledged()


def acknowledge(api: Poster, notification_id: str, name: str) -> Acknowledgement:
    """Say that the person has seen the alert; the answer names who was first. Raises `ApiProblem` and `ApiAway`."""
    answer = api.post(f"/v1/notifications/{segment(notification_id)}/acknowledge", {"acknowledged_by": name})
    try:
        read = _Answer.model_validate(answer)
    except ValidationError as error:
        raise ApiAway("The API's answer does not say who has acknowledged the alert.") from error
    return Acknowledgement(read.event_id, read.acknowledged_by, read.acknowledged_at)

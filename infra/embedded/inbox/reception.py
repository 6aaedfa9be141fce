"""The frame around every provider contract: fail on command, or accept, and answer after the wanted delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from infra.embedded.inbox.access import read_body, text_of
from infra.embedded.inbox.models import Callback, Failure, InboxChannel, Incoming, Page
from infra.embedded.inbox.store import InboxStore
from infra.runtime.clock import as_utc

MAX_BODY_BYTES = 1024**2
# A small request is handled faster than a thread takes over.
SMALL_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Verdict:
    """How a contract answers: with `incoming` it accepted, else it refused for `reason`."""

    response: Response
    incoming: tuple[Incoming, ...] = ()
    reason: str | None = None
    callbacks: tuple[Callback, ...] = ()
    page: Page | None = None


@dataclass(frozen=True)
class Contract:
    """What differs between providers: judging a request, the shape of an error, and how large a body may be."""

    channel: InboxChannel
    judge: Callable[[Request, bytes], Verdict]
    failure: Callable[[int, str], Response]
    max_body_bytes: int = MAX_BODY_BYTES


async def receive(contract: Contract, store: InboxStore, request: Request, endpoint: str) -> Response:
    """Store before answering; a commanded delay comes after storing, so that a caller who gives up has delivered."""
    body = await read_body(request, contract.max_body_bytes)
    fault = store.take_failure(contract.channel) if store.has_failure(contract.channel) else None
    if len(body) <= SMALL_BODY_BYTES:
        response = _handle(contract, store, request, endpoint, body, fault)
    else:
        response = await run_in_threadpool(_handle, contract, store, request, endpoint, body, fault)
    if fault is not None and fault.delay_s > 0:
        await asyncio.sleep(fault.delay_s)
    return response


def _handle(
    contract: Contract, store: InboxStore, request: Request, endpoint: str, body: bytes, fault: Failure | None
) -> Response:
    if fault is not None and fault.status is not None:
        verdict = Verdict(contract.failure(fault.status, "failure on command"), reason="failure on command")
        if fault.retry_after is not None:
            verdict.response.headers["retry-after"] = str(fault.retry_after)
    else:
        verdict = contract.judge(request, body)
    if verdict.incoming:
        store.accept(verdict.incoming, verdict.callbacks, verdict.page)
    if verdict.reason is not None:
        key = request.headers.get("webhook-id")
        store.reject(contract.channel, endpoint, key, verdict.response.status_code, verdict.reason, text_of(body))
    return verdict.response


def event_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a message says of its event, in the names of `Incoming`; texts as providers keep them, or JSON values."""
    return {
        "event_id": optional_text(values, "margin_event_id") or optional_text(values, "event_id"),
        "notification_id": optional_text(values, "notification_id"),
        "severity": optional_text(values, "severity"),
        "account_id": optional_text(values, "account_id"),
        "health": optional_text(values, "health"),
        "event_at": optional_time(values, "detected_at"),
        "is_simulated": values.get("is_simulated") in (True, "true", "True"),
    }


def optional_text(values: Mapping[str, Any], name: str) -> str | None:
    """A field as text, None where it is missing or null."""
    value = values.get(name)
    return None if value is None else str(value)


def optional_time(values: Mapping[str, Any], name: str) -> datetime | None:
    """A field as UTC time, None where it is missing or no aware time."""
    try:
        return as_utc(datetime.fromisoformat(str(values.get(name))))
    except ValueError:
        return None

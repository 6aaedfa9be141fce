"""The frame around every provider contract: fail on command, or accept, and answer after the wanted delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from infra.embedded.inbox.access import read_body, text_of
from infra.embedded.inbox.store import InboxChannel, InboxStore, Incoming
from infra.runtime.clock import as_utc


@dataclass(frozen=True)
class Verdict:
    """How a contract answers: with `incoming` it accepted, else it refused for `reason`."""

    response: Response
    incoming: tuple[Incoming, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Contract:
    """What differs between providers: judging a request, and the shape of an error."""

    channel: InboxChannel
    judge: Callable[[Request, bytes], Verdict]
    failure: Callable[[int, str], Response]


async def receive(contract: Contract, store: InboxStore, request: Request, endpoint: str) -> Response:
    """Store before answering; a commanded delay comes after storing, so that a caller who gives up has delivered."""
    body = await read_body(request)
    fault = await run_in_threadpool(store.take_failure, contract.channel)
    if fault is not None and fault.status is not None:
        verdict = Verdict(contract.failure(fault.status, "failure on command"), reason="failure on command")
        if fault.retry_after is not None:
            verdict.response.headers["retry-after"] = str(fault.retry_after)
    else:
        verdict = contract.judge(request, body)
    await run_in_threadpool(_keep, contract, store, request, endpoint, body, verdict)
    if fault is not None and fault.delay_s > 0:
        await asyncio.sleep(fault.delay_s)
    return verdict.response


def _keep(
    contract: Contract, store: InboxStore, request: Request, endpoint: str, body: bytes, verdict: Verdict
) -> None:
    for message in verdict.incoming:
        store.add(message)
    if verdict.reason is not None:
        key = request.headers.get("webhook-id")
        store.reject(contract.channel, endpoint, key, verdict.response.status_code, verdict.reason, text_of(body))


def optional_text(values: dict[str, Any], name: str) -> str | None:
    """A field as text, None where it is missing or null."""
    value = values.get(name)
    return None if value is None else str(value)


def optional_time(values: dict[str, Any], name: str) -> datetime | None:
    """A field as UTC time, None where it is missing or no aware time."""
    try:
        return as_utc(datetime.fromisoformat(str(values.get(name))))
    except ValueError:
        return None

"""Requests to providers: bounded in time and size, without redirects and proxies, faults named by kind only."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from compliance.kyc.errors import Fault, ProviderError
from infra.runtime.clock import Clock, as_utc

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
TOTAL_S = 8.0
MAX_BYTES = 512 * 1024
# Nobody is believed who wants to be left alone for longer.
MAX_WAIT = timedelta(minutes=15)
DEFAULT_WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A 2xx answer; `answered_at` is the provider's clock to the second, ours where it does not tell."""

    content: Mapping[str, Any] = field(repr=False)
    answered_at: datetime


class ProviderHttp:
    """The connections to one provider."""

    def __init__(self, provider: str, url: str, clock: Clock, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._provider = provider
        self._clock = clock
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "Ballast-Compliance/1", "accept": "application/json"},
        )

    def build(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> httpx.Request:
        """A request as it will be written; `path` is encoded already."""
        return self._client.build_request(method, self._url + path, headers=dict(headers), content=body)

    def send(self, request: httpx.Request) -> HttpAnswer:
        """The JSON object of a 2xx answer; raises `ProviderError` for anything else."""
        ends = time.monotonic() + TOTAL_S
        content = bytearray()
        try:
            response = self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise self._error(Fault.UNREACHABLE) from None
        except (httpx.HTTPError, OSError):
            raise self._error(Fault.TIMEOUT) from None
        try:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_BYTES or time.monotonic() > ends:
                    break
        except (httpx.HTTPError, OSError):
            # The status stands; a 2xx without its words is unreadable below.
            content.clear()
        finally:
            response.close()
        self._check(response)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._error(Fault.UNREADABLE)
        return HttpAnswer(found, _date(response.headers.get("date")) or self._clock.now())

    def unreadable(self) -> ProviderError:
        """The error for an answer that lacks what it must hold."""
        return self._error(Fault.UNREADABLE)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        if status == 429:
            raise ProviderError(self._provider, Fault.LIMITED, retry_in=_wait(response.headers))
        if status in (401, 403):
            raise self._error(Fault.CREDENTIALS)
        if status == 404:
            raise self._error(Fault.NOT_FOUND)
        if status >= 500:
            raise ProviderError(self._provider, Fault.SERVER, new_key=True)
        if status == 409:
            raise ProviderError(self._provider, Fault.CONFLICT, new_key=True)
        raise self._error(Fault.REFUSED)

    def _error(self, fault: Fault) -> ProviderError:
        return ProviderError(self._provider, fault)


def _wait(headers: Mapping[str, str]) -> timedelta:
    """How long a 429 asks to wait: `Retry-After` or `RateLimit-Reset`, in seconds from now."""
    for name in ("retry-after", "ratelimit-reset"):
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit() and len(text) <= 6:
            return min(timedelta(seconds=int(text)), MAX_WAIT)
    return DEFAULT_WAIT


def _date(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    if at is None:
        return None
    return as_utc(at) if at.tzinfo is not None else at.replace(tzinfo=UTC)

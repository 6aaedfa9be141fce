"""One shape for all requests to providers and receivers: bounded in time and size, without redirects and proxies."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from alerting.channels.guard import AddressGuard, CheckedResolver
from infra.runtime.clock import as_utc
from infra.runtime.errors import SettingsError

MAX_RESPONSE_BYTES = 16 * 1024
USER_AGENT = "Ballast-Alerts/1"
# Shorter than what servers commonly keep: writing to a connection that was just closed leaves an unknown outcome.
KEEP_ALIVE_S = 10.0
_FIRST_EPOCH_S = 10**9


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds for an attempt as a whole, for its connection, and for an answer's body once its status is known."""

    connections: int
    total_s: float = 10.0
    connect_s: float = 3.0
    body_s: float = 10.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer: header names match in any case; the body is cut at a size and at the time limit."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body's JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def wait(self, now: datetime) -> timedelta | None:
        """How long the sender of this answer wants us to wait: `Retry-After`, else `X-RateLimit-Reset`."""
        after = retry_after(self.headers.get("retry-after"), now)
        return after if after is not None else rate_limit_reset(self.headers.get("x-ratelimit-reset"), now)


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """No answer came; `is_unknown`: the request had been written, so it may have arrived."""

    reason: str
    is_unknown: bool


@dataclass(slots=True)
class _Progress:
    is_written: bool = False


class HttpClient:
    """A pool of connections, made in the loop of the first request; a guard decides which addresses it may reach."""

    def __init__(
        self, limits: HttpLimits, *, guard: AddressGuard | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._limits = limits
        self._guard = guard
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> HttpAnswer | HttpFailure:
        """Make one request; what goes wrong in the network is a result, named by kind, never with the address.

        Of the answer's body `max_bytes` are read.
        Raises `AddressRefusedError` where the guard lets no connection pass.
        """
        progress = _Progress()
        deadline = asyncio.get_running_loop().time() + self._limits.total_s
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._opened().request(
                    method, url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=progress
                )
        except TimeoutError:
            reason = f"no answer within {self._limits.total_s:g} s" if progress.is_written else "no connection in time"
            return HttpFailure(reason, progress.is_written)
        except aiohttp.ClientConnectorDNSError:
            return HttpFailure("the host's name does not resolve", is_unknown=False)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            return HttpFailure(f"no TLS connection ({type(error).__name__})", is_unknown=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of these errors can hold the address, which may hold a secret: name the kind only.
            return HttpFailure(f"network failure ({type(error).__name__})", progress.is_written)
        try:
            return HttpAnswer(response.status, response.headers, await self._read(response, deadline, max_bytes))
        finally:
            # Puts a connection whose answer was read to its end back into the pool, and closes any other.
            response.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _read(self, response: aiohttp.ClientResponse, deadline: float, max_bytes: int) -> bytes:
        content = bytearray()
        ends = min(deadline, asyncio.get_running_loop().time() + self._limits.body_s)
        try:
            async with asyncio.timeout_at(ends):
                while len(content) < max_bytes:
                    chunk = await response.content.read(max_bytes - len(content))
                    if not chunk:
                        break
                    content += chunk
        except (TimeoutError, aiohttp.ClientError, OSError):
            # The status stands, whatever becomes of the words after it.
            pass
        return bytes(content)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            guard = self._guard
            connector = aiohttp.TCPConnector(
                limit=self._limits.connections,
                keepalive_timeout=KEEP_ALIVE_S,
                ssl=self._tls if self._tls is not None else True,
                resolver=CheckedResolver(guard) if guard is not None else None,
                socket_factory=guard.open_socket if guard is not None else None,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A small answer that unpacks to a large one must not be unpacked.
                auto_decompress=False,
                headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
                read_bufsize=MAX_RESPONSE_BYTES,
                trust_env=False,
                trace_configs=[_written_trace()],
            )
        return self._session


def _written_trace() -> aiohttp.TraceConfig:
    async def mark(_session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.is_written = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(mark)
    return trace


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """The machine's certificate authorities, and those of `ca_file` (PEM); `SettingsError` where it is unusable."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"BALLAST_WEBHOOK_CA_FILE holds no certificates ({type(error).__name__}).") from None
    return context


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """A `Retry-After` header, in seconds or as an HTTP date; None where it is absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:10]), 10**9))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(as_utc(at) - now, timedelta(0)) if at.tzinfo is not None else None


def rate_limit_reset(value: str | None, now: datetime) -> timedelta | None:
    """An `X-RateLimit-Reset` header: seconds since 1970, or, where the number is small, from now."""
    text = (value or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        return None
    seconds = int(text)
    if seconds < _FIRST_EPOCH_S:
        return timedelta(seconds=seconds)
    return max(datetime.fromtimestamp(seconds, UTC) - now, timedelta(0))

"""The client of Hermes: the latest prices, and their stream.

Contract: pyth-network/pyth-crosschain, apps/hermes/server/src/api/rest.rs and rest/v2/. A key is sent as a bearer.
"""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import SecretStr

from infra.runtime.clock import Clock
from ingest.prices.pyth.errors import HermesError, UnknownFeedsError
from ingest.prices.pyth.wire import PriceUpdate, parse_update

LATEST = "/v2/updates/price/latest"
STREAM = "/v2/updates/price/stream"
_MISSING_IDS = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_ERROR_TEXT_BYTES = 64 * 1024
_BODY_BYTES = 8 * 1024**2
_QUEUED_EVENTS = 256


@dataclass(frozen=True, kw_only=True)
class HermesOptions:
    """Limits of the client, in seconds.

    `stream_timeout_s` is for a socket that sends nothing at all; `rate_limited_s` holds where a 429 says no time of its
    own, and no time that it says is followed beyond `rate_limited_max_s`; `unauthorized_s` is the pace of attempts
    with a key that is refused.
    """

    connect_timeout_s: float = 5.0
    request_timeout_s: float = 10.0
    stream_timeout_s: float = 30.0
    rate_limited_s: float = 60.0
    rate_limited_max_s: float = 900.0
    unauthorized_s: float = 60.0


class HermesClient:
    """One connection pool to Hermes; every method raises `HermesError` and nothing else."""

    def __init__(
        self,
        url: str,
        token: SecretStr | None,
        options: HermesOptions,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._clock = clock
        self._monotonic = monotonic
        headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        timeout = httpx.Timeout(options.request_timeout_s, connect=options.connect_timeout_s)
        # No proxies or credentials of the environment; no redirects, which could carry the key elsewhere.
        self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def latest(self, feed_ids: Sequence[str]) -> PriceUpdate:
        """The newest price of every feed, in one request."""
        with _network_errors(), self._client.stream("GET", LATEST, params=_query(feed_ids)) as response:
            self._check(response)
            return parse_update(self._body(response))

    def stream(self, feed_ids: Sequence[str]) -> HermesStream:
        """Open the stream; the caller closes it."""
        with _network_errors():
            request = self._client.build_request(
                "GET",
                STREAM,
                params=_query(feed_ids),
                headers={"accept": "text/event-stream", "cache-control": "no-store"},
                timeout=httpx.Timeout(self._options.stream_timeout_s, connect=self._options.connect_timeout_s),
            )
            response = self._client.send(request, stream=True)
            try:
                self._check(response)
            except BaseException:
                response.close()
                raise
        return HermesStream(response)

    def _body(self, response: httpx.Response) -> bytes:
        # The client's own timeout is for each read: it would wait for ever for an answer that trickles.
        deadline = self._monotonic() + self._options.request_timeout_s
        found = bytearray()
        for chunk in response.iter_bytes():
            found += chunk
            if len(found) > _BODY_BYTES:
                raise HermesError("malformed", f"Hermes answered with more than {_BODY_BYTES} bytes.")
            if self._monotonic() > deadline:
                raise HermesError("timeout", "Hermes did not answer in time.")
        return bytes(found)

    def _check(self, response: httpx.Response) -> None:
        match response.status_code:
            case 200:
                return
            case 401 | 403:
                message = f"Hermes refuses the key (HTTP {response.status_code}); renew BALLAST_PYTH_TOKEN."
                raise HermesError("unauthorized", message, self._options.unauthorized_s)
            case 404:
                found = frozenset(each.lower() for each in _MISSING_IDS.findall(_start_of(response)))
                raise UnknownFeedsError(found) if found else HermesError("not_found", "Hermes has no data (HTTP 404).")
            case 429:
                wait_s = self._retry_after(response)
                raise HermesError("rate_limited", f"Hermes limits the rate; asking again in {wait_s:.0f} s.", wait_s)
            case status if status >= 500:
                raise HermesError("server_error", f"Hermes failed (HTTP {status}).")
            case status:
                raise HermesError("refused", f"Hermes refuses the request (HTTP {status}).")

    def _retry_after(self, response: httpx.Response) -> float:
        text = response.headers.get("retry-after", "").strip()
        wait_s = self._options.rate_limited_s
        if re.fullmatch(r"[0-9]{1,9}", text):
            wait_s = float(text)
        elif text:
            with contextlib.suppress(ValueError):
                until = parsedate_to_datetime(text)
                until = until if until.tzinfo else until.replace(tzinfo=UTC)
                wait_s = max(0.0, (until - self._clock.now()).total_seconds())
        return min(wait_s, self._options.rate_limited_max_s)


class HermesStream:
    """Events of one connection, read by a thread of its own so that the reader can stop, or call silence by its name.

    Comments, which keep the connection alive, are no events.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._events: queue.Queue[ServerSentEvent | HermesError] = queue.Queue(_QUEUED_EVENTS)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="hermes-stream", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> ServerSentEvent | None:
        """The next event, None if none came in time; raises `HermesError` once the connection has ended."""
        try:
            found = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(found, HermesError):
            raise found
        return found

    def close(self) -> None:
        """End the connection."""
        self._is_closing.set()
        network = self._response.extensions.get("network_stream")
        connection = network.get_extra_info("socket") if network is not None else None
        if connection is not None:
            # Closing alone would not wake the thread that reads.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._response.close()

    def _read(self) -> None:
        try:
            with _network_errors():
                for event in EventSource(self._response).iter_sse():
                    self._put(event)
                    if self._is_closing.is_set():
                        return
            self._put(HermesError("disconnected", "Hermes closed the stream."))
        except HermesError as error:
            self._put(error)

    def _put(self, item: ServerSentEvent | HermesError) -> None:
        while not self._is_closing.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(item, timeout=0.1)
                return


def _query(feed_ids: Sequence[str]) -> httpx.QueryParams:
    return httpx.QueryParams({"ids[]": list(feed_ids), "encoding": "base64", "parsed": "true"})


def _start_of(response: httpx.Response) -> str:
    found = b""
    for chunk in response.iter_bytes():
        found += chunk
        if len(found) >= _ERROR_TEXT_BYTES:
            break
    return found.decode(errors="replace")


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    """Turn the client's exceptions, whose texts may hold the address, into ours."""
    try:
        yield
    except httpx.TimeoutException:
        raise HermesError("timeout", "Hermes did not answer in time.") from None
    except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.ProxyError):
        raise HermesError("unreachable", "Hermes cannot be reached.") from None
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        raise HermesError("disconnected", "The connection to Hermes broke.") from None
    except (SSEError, httpx.DecodingError):
        raise HermesError("malformed", "Hermes answered with something that is no event stream.") from None
    except (httpx.HTTPError, httpx.StreamError):
        raise HermesError("unreachable", "The request to Hermes failed.") from None

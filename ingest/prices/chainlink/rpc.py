"""One JSON-RPC address: requests with limits on time and size, and failures that never show the address."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from infra.runtime.errors import BallastError, SettingsError
from ingest.prices.chainlink.calls import CallError, EthCall

MAX_BODY_BYTES = 8 * 1024**2
_MAX_RETRY_AFTER_S = 300.0
_REVERTED = 3
_SAFE_RECURSION = 10_000
# -32005 is "limit exceeded"; some providers put the HTTP status into the error instead.
_LIMIT_CODES = frozenset({429, -32005})
_LOGGERS_WITH_ADDRESSES = ("web3", "urllib3")


class RpcFault(StrEnum):
    """Why an address could not be used."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    SERVER_ERROR = "server_error"
    MALFORMED = "malformed"
    RPC_ERROR = "rpc_error"
    WRONG_CHAIN = "wrong_chain"
    STALE_HEAD = "stale_head"
    UNVERIFIED = "unverified"


class RpcError(BallastError):
    """An address could not be used; another one may answer. The message names no address.

    `is_down`: nobody listens there, so that what listens there next may be another server. `is_contradiction`: it
    serves another chain or other contracts than the feed table says.
    """

    def __init__(
        self,
        fault: RpcFault,
        message: str,
        retry_after_s: float | None = None,
        *,
        is_down: bool = False,
        is_contradiction: bool = False,
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.retry_after_s = retry_after_s
        self.is_down = is_down
        self.is_contradiction = is_contradiction


class JsonRpc:
    """JSON-RPC over one address. Timeouts are in seconds, for the connection, for silence and for the whole answer."""

    def __init__(self, name: str, address: SecretStr, timeout_s: float) -> None:
        if not address.get_secret_value().startswith(("http://", "https://")):
            raise SettingsError(f"{name} of BALLAST_ETHEREUM_RPC_URLS is no http(s) address: correct it.")
        self.name = name
        _tame_libraries()
        self._session = _bounded_session(timeout_s)
        self._provider = HTTPProvider(
            address.get_secret_value(),
            request_kwargs={"timeout": timeout_s, "allow_redirects": False},
            session=self._session,
            exception_retry_configuration=None,
        )

    def close(self) -> None:
        """Close idle connections; a later request opens new ones."""
        self._session.close()

    def call(self, request: EthCall) -> bytes | CallError:
        """What one call returned."""
        method, params = request.as_request()
        answer = self._ask(lambda: self._provider.make_request(RPCEndpoint(method), params))
        return _bytes(_outcome(answer, self.name), self.name)

    def batch(self, asked: Sequence[tuple[str, list[Any]]]) -> list[Any | CallError]:
        """The results of several requests in one, in their order; each may be an error of its own."""
        wanted = [(RPCEndpoint(method), params) for method, params in asked]
        answers = self._ask(lambda: self._provider.make_batch_request(wanted))
        if isinstance(answers, Mapping):
            refused = _outcome(answers, self.name)
            code = refused.code if isinstance(refused, CallError) else 0
            raise RpcError(RpcFault.RPC_ERROR, f"{self.name} refused a batch with error {code}")
        if not isinstance(answers, list) or len(answers) != len(asked):
            raise _malformed(self.name, "a batch that lacks answers")
        ids = [answer.get("id") if isinstance(answer, Mapping) else None for answer in answers]
        # Answers come sorted by id; a gap would shift every later one to another request.
        if not isinstance(ids[0], int) or ids != list(range(ids[0], ids[0] + len(ids))):
            raise _malformed(self.name, "a batch whose ids are not those of the requests")
        return [_outcome(answer, self.name) for answer in answers]

    def calls(self, requests_: Sequence[EthCall]) -> list[bytes | CallError]:
        """The results of several calls in one batch."""
        return [_bytes(each, self.name) for each in self.batch([request.as_request() for request in requests_])]

    def _ask(self, send: Any) -> Any:
        try:
            return send()
        except requests.Timeout:
            raise RpcError(RpcFault.TIMEOUT, f"{self.name} did not answer in time") from None
        except requests.HTTPError as error:
            raise _http_error(self.name, error.response) from None
        except requests.ConnectionError as error:
            reason = getattr(error.args[0], "reason", None) if error.args else None
            text = f"{self.name} cannot be reached ({type(error).__name__})"
            raise RpcError(RpcFault.UNREACHABLE, text, is_down=isinstance(reason, NewConnectionError)) from None
        except requests.RequestException as error:
            raise RpcError(RpcFault.UNREACHABLE, f"{self.name} cannot be reached ({type(error).__name__})") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise _malformed(self.name, "something that is no JSON-RPC answer") from None


def _tame_libraries() -> None:
    for logger in _LOGGERS_WITH_ADDRESSES:
        # At DEBUG these write addresses, which hold the providers' keys.
        logging.getLogger(logger).setLevel(logging.WARNING)
    # py_ecc, which web3 loads, allows so deep a recursion that nested JSON overflows the stack and ends the process.
    sys.setrecursionlimit(min(sys.getrecursionlimit(), _SAFE_RECURSION))


def int_of(value: Any, name: str) -> int:
    """The number in a JSON-RPC quantity such as "0x1b4"; raises `RpcError`."""
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        raise _malformed(name, "a quantity that is no number") from None


def _outcome(answer: Any, name: str) -> Any | CallError:
    if not isinstance(answer, Mapping):
        raise _malformed(name, "something that is no JSON-RPC answer")
    error = answer.get("error")
    if error is None:
        if "result" not in answer:
            raise _malformed(name, "neither a result nor an error")
        return answer["result"]
    if not isinstance(error, Mapping):
        return CallError(0, False)
    raw = error.get("code")
    code = raw if isinstance(raw, int) else 0
    if code in _LIMIT_CODES:
        raise RpcError(RpcFault.RATE_LIMITED, f"{name} limits our requests (error {code})")
    return CallError(code, code == _REVERTED or "revert" in str(error.get("message", "")).lower())


def _bytes(value: Any | CallError, name: str) -> bytes | CallError:
    if isinstance(value, CallError):
        return value
    try:
        if not value.startswith("0x"):
            raise ValueError
        return bytes.fromhex(value[2:])
    except (AttributeError, ValueError):
        raise _malformed(name, "a call's result that is no hex text") from None


def _malformed(name: str, what: str) -> RpcError:
    return RpcError(RpcFault.MALFORMED, f"{name} answered with {what}")


def _http_error(name: str, response: requests.Response | None) -> RpcError:
    status = response.status_code if response is not None else 0
    if status == 429:
        return RpcError(RpcFault.RATE_LIMITED, f"{name} limits our requests (HTTP 429)", _retry_after(response))
    fault = RpcFault.REFUSED if status in (401, 403, 404) else RpcFault.SERVER_ERROR
    return RpcError(fault, f"{name} answered with HTTP {status}")


def _retry_after(response: requests.Response | None) -> float | None:
    text = response.headers.get("retry-after", "") if response is not None else ""
    return min(float(text), _MAX_RETRY_AFTER_S) if text.isascii() and text.isdigit() else None


def _bounded_session(timeout_s: float) -> requests.Session:
    session = requests.Session()
    # Neither proxies nor credentials from the environment or from .netrc.
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, _BoundedAdapter(timeout_s))
    return session


class _BoundedAdapter(HTTPAdapter):
    """Ends an answer that drips or grows: the library's timeout only bounds the silence between two packets."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(pool_connections=1, pool_maxsize=4, max_retries=0)
        self._timeout_s = timeout_s

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """As the library's, with a body that is read within the limits."""
        deadline = time.monotonic() + self._timeout_s
        response = super().send(request, *args, **kwargs)
        response.raw = _BoundedBody(response.raw, deadline)
        return response


class _BoundedBody:
    def __init__(self, body: Any, deadline: float) -> None:
        self._body = body
        self._deadline = deadline

    def stream(self, amount: int, decode_content: bool = True) -> Iterator[bytes]:
        is_whole = False
        try:
            yield from self._chunks(amount, decode_content)
            is_whole = True
        finally:
            if not is_whole:
                # What is left of the answer would be read as the next one's.
                self._body.close()

    def _chunks(self, amount: int, decode_content: bool) -> Iterator[bytes]:
        total = 0
        while chunk := self._body.read1(amount, decode_content=decode_content):
            total += len(chunk)
            if total > MAX_BODY_BYTES:
                raise requests.exceptions.ContentDecodingError(f"more than {MAX_BODY_BYTES} bytes")
            if time.monotonic() > self._deadline:
                raise requests.ReadTimeout("the answer took too long")
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

"""Daily closes out of Pyth's history.

`GET /v1/shims/tradingview/history?symbol=Crypto.BTC/USD&resolution=1D&from=..&to=..` answers as TradingView does,
`{s: ok|no_data|error, t: [seconds], o, h, l, c, v}`; a bar is dated by its beginning. Source: docs.pyth.network, "Use
historical price data" and "Create TradingView charts"; limit: 90 requests in 10 s, then 429 for 60 s.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from infra.runtime.clock import Clock
from ingest.closes import Close
from ingest.messages import PRICE_DECIMALS, PRICE_LIMIT
from ingest.prices.pyth.errors import HistoryError
from ingest.prices.ticks import PYTH

HISTORY = "/v1/shims/tradingview/history"
_DAY = timedelta(days=1)
_QUANTUM = Decimal(1).scaleb(-PRICE_DECIMALS)

BarPrice = Annotated[Decimal, Field(gt=0, lt=PRICE_LIMIT, allow_inf_nan=False)]


class Bars(BaseModel):
    """The answer as far as closes need it."""

    model_config = ConfigDict(frozen=True)

    s: Literal["ok", "no_data", "error"]
    t: list[Annotated[int, Field(ge=0, lt=10**11)]] = []
    c: list[BarPrice] = []


@dataclass(frozen=True, kw_only=True)
class HistoryOptions:
    """Limits of the client, in seconds.

    `settle_s` is how long after its end a day may still change; a request asks for `days_per_request` days and is
    made up to `attempts` times, `retry_s` apart, or `rate_limited_s` after a 429.
    """

    connect_timeout_s: float = 5.0
    request_timeout_s: float = 30.0
    settle_s: float = 600.0
    days_per_request: int = 360
    attempts: int = 3
    retry_s: float = 2.0
    rate_limited_s: float = 60.0


class PythHistory:
    """The client of Pyth's history; raises `HistoryError` and nothing else."""

    def __init__(
        self, url: str, token: SecretStr | None, clock: Clock, options: HistoryOptions | None = None, source: str = PYTH
    ) -> None:
        self._url = url
        self._token = token
        self._clock = clock
        self._options = options or HistoryOptions()
        self._source = source

    def closes(self, asset: str, first: date, last: date, stop: threading.Event | None = None) -> list[Close]:
        """The close of every complete UTC day from `first` to `last`, oldest first, rounded to nine decimals.

        Days of which Pyth has no bar are left out; a day counts as complete `settle_s` after its end. `stop` ends waits
        between attempts.
        """
        settled = self._clock.now() - timedelta(seconds=self._options.settle_s)
        found: dict[date, Decimal] = {}
        with self._client() as client:
            for begins, ends in _spans(first, min(last, settled.date() - _DAY), self._options.days_per_request):
                for day, close in self._bars(client, asset, begins, ends, stop or threading.Event()):
                    if not begins <= day <= ends:
                        continue
                    if found.setdefault(day, close) != close:
                        raise HistoryError("malformed", f"Pyth's history has two closes of {asset} for {day}.")
        return [Close(asset, day, close, self._source) for day, close in sorted(found.items())]

    def _client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self._token.get_secret_value()}"} if self._token else {}
        timeout = httpx.Timeout(self._options.request_timeout_s, connect=self._options.connect_timeout_s)
        try:
            return httpx.Client(base_url=self._url, headers=headers, timeout=timeout, trust_env=False)
        except httpx.InvalidURL:
            message = "BALLAST_PYTH_BENCHMARKS_URL is no address such as https://host/path."
            raise HistoryError("unreachable", message) from None

    def _bars(
        self, client: httpx.Client, asset: str, first: date, last: date, stop: threading.Event
    ) -> Iterator[tuple[date, Decimal]]:
        query: dict[str, str | int] = {
            "symbol": f"Crypto.{asset}/USD",
            "resolution": "1D",
            "from": _seconds(first),
            "to": _seconds(last + _DAY) - 1,
        }
        for attempt in range(1, self._options.attempts + 1):
            try:
                bars = _read(_get(client, query), asset)
                break
            except HistoryError as error:
                is_final = error.code not in ("rate_limited", "server_error", "unreachable", "timeout")
                if is_final or attempt == self._options.attempts or stop.is_set():
                    raise
                stop.wait(self._options.rate_limited_s if error.code == "rate_limited" else self._options.retry_s)
        for seconds, close in zip(bars.t, bars.c, strict=True):
            rounded = close.quantize(_QUANTUM, rounding=ROUND_HALF_EVEN)
            if rounded == 0:
                raise HistoryError("malformed", f"A close of {asset} is below {_QUANTUM:f}, the smallest that is kept.")
            yield datetime.fromtimestamp(seconds, UTC).date(), rounded


def _get(client: httpx.Client, query: dict[str, str | int]) -> bytes:
    try:
        response = client.get(HISTORY, params=query)
    except httpx.TimeoutException:
        raise HistoryError("timeout", "Pyth's history did not answer in time.") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise HistoryError("unreachable", "Pyth's history cannot be reached.") from None
    match response.status_code:
        case 200:
            return response.content
        case 401 | 403 as status:
            message = f"Pyth's history refuses the key (HTTP {status}); renew BALLAST_PYTH_TOKEN."
            raise HistoryError("unauthorized", message)
        case 429:
            raise HistoryError("rate_limited", "Pyth's history limits the rate; ask again in a minute.")
        case status if status >= 500:
            raise HistoryError("server_error", f"Pyth's history failed (HTTP {status}).")
        case status:
            raise HistoryError("refused", f"Pyth's history refuses {query['symbol']} (HTTP {status}).")


def _read(body: bytes, asset: str) -> Bars:
    try:
        # A binary float would not hold what the text says.
        content: Any = json.loads(body, parse_float=Decimal)
        bars = Bars.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['type']}" for e in error.errors()[:5])
        raise HistoryError("malformed", f"Pyth's history of {asset} is not of its contract ({wrong}).") from None
    except (ValueError, RecursionError):
        raise HistoryError("malformed", f"Pyth's history of {asset} is no JSON.") from None
    if bars.s == "error":
        raise HistoryError("refused", f"Pyth's history has no symbol Crypto.{asset}/USD, or not this range of days.")
    if len(bars.t) != len(bars.c):
        raise HistoryError("malformed", f"Pyth's history of {asset} has {len(bars.t)} times, {len(bars.c)} closes.")
    return bars


def _spans(first: date, last: date, days: int) -> Iterator[tuple[date, date]]:
    while first <= last:
        ends = min(last, first + timedelta(days=days - 1))
        yield first, ends
        first = ends + _DAY


def _seconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())

"""Daily history: exact numbers, complete days, typed errors, against a scripted transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from infra.runtime.clock import FixedClock
from ingest.closes import Close
from ingest.prices.pyth.benchmarks import HistoryOptions, PythHistory
from ingest.prices.pyth.errors import HistoryError

NOW = datetime(2026, 10, 5, 0, 5, tzinfo=UTC)
FIRST = date(2026, 10, 1)
DAY_S = 86_400
FIRST_S = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
Answer = Callable[[httpx.Request], httpx.Response]
RETRIES_NOW = HistoryOptions(retry_s=0.0, rate_limited_s=0.0)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[httpx.Request]]:
    """Answers every request of the client; returns the list in which they are noted."""

    def begin(answer: Answer) -> list[httpx.Request]:
        seen: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return answer(request)

        real = httpx.Client
        transport = httpx.MockTransport(handle)
        monkeypatch.setattr(httpx, "Client", lambda **more: real(transport=transport, **more))
        return seen

    return begin


def history(options: HistoryOptions = RETRIES_NOW, now: datetime = NOW) -> PythHistory:
    return PythHistory("http://history.test/root", SecretStr("key"), FixedClock(now), options)


def bars(*closes: str, first_s: int = FIRST_S) -> httpx.Response:
    times = [first_s + DAY_S * day for day in range(len(closes))]
    return httpx.Response(200, text=f'{{"s":"ok","t":{times},"o":[],"c":[{",".join(closes)}]}}')


def test_closes__are_exact_and_only_of_complete_days(serve: Any) -> None:
    # The day of the 4th ended five minutes ago and may still change.
    seen = serve(lambda _request: bars("61409.93501", "0.1", "7", "8", "9"))
    assert history().closes("BTC", FIRST, date(2026, 10, 31)) == [
        Close("BTC", FIRST, Decimal("61409.935010000"), "pyth"),
        Close("BTC", FIRST + timedelta(days=1), Decimal("0.100000000"), "pyth"),
        Close("BTC", FIRST + timedelta(days=2), Decimal("7.000000000"), "pyth"),
    ]
    [request] = seen
    assert request.url.path == "/root/v1/shims/tradingview/history"
    assert dict(request.url.params) == {
        "symbol": "Crypto.BTC/USD",
        "resolution": "1D",
        "from": str(FIRST_S),
        "to": str(FIRST_S + 3 * DAY_S - 1),
    }
    assert request.headers["authorization"] == "Bearer key"


def test_closes__count_a_day_once_it_has_settled(serve: Any) -> None:
    serve(lambda _request: bars("1", "2", "3", "4", "5"))
    found = history(now=NOW + timedelta(minutes=5)).closes("BTC", FIRST, date(2026, 10, 31))
    assert found[-1].price_date == date(2026, 10, 4)


def test_closes__ask_for_long_ranges_in_parts(serve: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return bars("5", "6", first_s=int(request.url.params["from"]))

    seen = serve(answer)
    found = history(HistoryOptions(days_per_request=2)).closes("BTC", FIRST - timedelta(days=3), FIRST)
    assert len(seen) == 2
    assert [each.price_date.day for each in found] == [28, 29, 30, 1]


def test_closes__of_nothing_are_nothing(serve: Any) -> None:
    seen = serve(lambda _request: httpx.Response(200, json={"s": "no_data"}))
    assert history().closes("BTC", FIRST, FIRST) == []
    assert history().closes("BTC", date(2027, 1, 1), date(2027, 2, 1)) == []
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("answer", "code", "requests"),
    [
        (httpx.Response(401), "unauthorized", 1),
        (httpx.Response(403), "unauthorized", 1),
        (httpx.Response(404), "refused", 1),
        (httpx.Response(302, headers={"location": "http://elsewhere.test"}), "refused", 1),
        (httpx.Response(429), "rate_limited", 3),
        (httpx.Response(503), "server_error", 3),
        (httpx.Response(200, text="<html>"), "malformed", 1),
        (httpx.Response(200, json={"s": "error", "errmsg": "x"}), "refused", 1),
        (httpx.Response(200, json={"s": "ok", "t": [1], "c": []}), "malformed", 1),
        (httpx.Response(200, json={"s": "ok", "t": [FIRST_S], "c": [None]}), "malformed", 1),
        (httpx.Response(200, text=f'{{"s":"ok","t":[{FIRST_S}],"c":[NaN]}}'), "malformed", 1),
        (httpx.Response(200, json={"s": "ok", "t": [FIRST_S], "c": [-1]}), "malformed", 1),
        (httpx.Response(200, json={"s": "ok", "t": [FIRST_S], "c": [1e-12]}), "malformed", 1),
        (httpx.Response(200, json={"s": "ok", "t": [FIRST_S, FIRST_S + 9], "c": [1, 2]}), "malformed", 1),
    ],
)
def test_closes__say_what_is_wrong(serve: Any, answer: httpx.Response, code: str, requests: int) -> None:
    seen = serve(lambda _request: httpx.Response(answer.status_code, headers=answer.headers, content=answer.content))
    with pytest.raises(HistoryError) as caught:
        history().closes("BTC", FIRST, FIRST)
    assert (caught.value.code, len(seen)) == (code, requests)
    assert "key" not in caught.value.message.replace("the key", "")


def test_closes__survive_an_outage(serve: Any) -> None:
    answers = iter([httpx.ConnectError("down"), httpx.ReadTimeout("late"), bars("5")])

    def answer(_request: httpx.Request) -> httpx.Response:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    serve(answer)
    assert [each.close_usd for each in history().closes("BTC", FIRST, FIRST)] == [Decimal(5)]


def test_closes__fit_what_the_local_hermes_answers(serve: Any) -> None:
    from infra.embedded.hermes.history import History

    stored = [Close("BTC", FIRST, Decimal("0.123456789"), "x"), Close("BTC", date(2026, 10, 2), Decimal(3), "x")]

    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        text = History(stored).answer(asked["symbol"], asked["resolution"], int(asked["from"]), int(asked["to"]))
        assert json.loads(text)["v"] == [0, 0]
        return httpx.Response(200, text=text)

    serve(answer)
    found = history().closes("BTC", FIRST, date(2026, 10, 2))
    assert [each.close_usd for each in found] == [Decimal("0.123456789"), Decimal("3.000000000")]

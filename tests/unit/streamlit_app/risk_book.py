"""What the page of the risk models reads on top of the small book, and an API that answers reverse stress."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from assets.risk import queries, stress_queries, var_page_queries, var_queries

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
AS_OF = date(2026, 3, 1)
Row = dict[str, Any]


class Base(Protocol):
    """The reader of the small book."""

    estimates: list[Row]
    backtests: list[Row]
    components: list[Row]
    stress: list[Row]
    error: Exception | None
    errors: dict[str, Exception]

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]: ...


def scenario_rows(*pnl: str | None) -> list[Row]:
    """A scenario a day with this P&L, oldest first."""
    return [
        {
            "scenario_date": AS_OF - timedelta(days=len(pnl) - 1 - place),
            "pnl_usd": None if amount is None else Decimal(amount),
            "as_of_date": AS_OF,
            "price_set_id": "simulated-42",
            "is_simulated": True,
        }
        for place, amount in enumerate(pnl)
    ]


def exception_row(day: date, pnl: str, var: str, kind: str = "history", confidence: str = "0.99") -> Row:
    """A day whose loss exceeded the forecast."""
    return {
        "backtest_kind": kind,
        "subject_kind": "book",
        "subject_id": "book",
        "method": "historical_simulation",
        "confidence": Decimal(confidence),
        "exception_date": day,
        "forecast_date": day - timedelta(days=1),
        "pnl_usd": Decimal(pnl),
        "var_usd": Decimal(var),
        "es_usd": Decimal(var) + 50,
        "excess_usd": -Decimal(pnl) - Decimal(var),
        "is_simulated": True,
    }


def forecast_row(day: date, var: str | None, pnl: str | None) -> Row:
    """What was forecast at the end of a day, and what followed."""
    return {
        "as_of_date": day,
        "var_usd": None if var is None else Decimal(var),
        "es_usd": None if var is None else Decimal(var) + 50,
        "pnl_date": None if pnl is None else day + timedelta(days=1),
        "pnl_usd": None if pnl is None else Decimal(pnl),
        "is_simulated": True,
    }


def stressed_row(number: int, scenario: str = "covid_2020_03", status: str = "liquidation", **other: Any) -> Row:
    """What a scenario does to one account."""
    return {
        "scenario_id": scenario,
        "kind": "historical",
        "account_id": f"acct-{number:05}",
        "pnl_usd": Decimal(-1000) / number,
        "loss_rank": number,
        "health_before_pct": Decimal("58.25"),
        "health_after_pct": Decimal("9.5"),
        "status_before": "healthy",
        "status_after": status,
        "collateral_to_sell_usd": Decimal("321.5"),
        "bad_debt_usd": Decimal(0),
        "reason": None,
        "is_simulated": True,
        "computed_at": NOW - timedelta(hours=6),
        **other,
    }


@dataclass
class RiskBook:
    """Answers the queries of the risk models, and leaves the rest to the small book."""

    base: Base
    scenarios: list[Row] = field(default_factory=lambda: scenario_rows("-400", "-300", "0", "100", "250"))
    exceptions: list[Row] = field(default_factory=lambda: [exception_row(date(2026, 2, 1), "-700", "500")])
    forecasts: list[Row] = field(default_factory=lambda: [forecast_row(AS_OF, "5100.10", None)])
    past: list[Row] = field(
        default_factory=lambda: [
            {"pnl_date": date(2026, 2, 1), "pnl_usd": Decimal(-700)},
            {"pnl_date": date(2026, 2, 2), "pnl_usd": Decimal(30)},
            {"pnl_date": date(2026, 2, 3), "pnl_usd": None},
        ]
    )
    stressed: list[Row] = field(default_factory=lambda: [stressed_row(number) for number in range(1, 41)])
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows of a known query."""
        given = parameters or {}
        self.asked.append((sql, given))
        if self.base.error is not None:
            raise self.base.error
        if sql in self.base.errors:
            raise self.base.errors[sql]
        own = self._own(sql, given)
        return self.base.query(sql, parameters) if own is None else own

    def _own(self, sql: str, given: Mapping[str, Any]) -> list[Row] | None:
        match sql:
            case queries.BOOK_VAR_ESTIMATES_SQL | queries.ACCOUNT_VAR_ESTIMATES_SQL:
                return self.base.estimates if given.get("account_id", "acct-00001") == "acct-00001" else []
            case var_page_queries.SCENARIO_PNL_SQL:
                return self.scenarios
            case var_page_queries.FORECASTS_SQL:
                return self.forecasts
            case var_page_queries.PAST_PNL_SQL:
                return self.past
            case var_page_queries.COMPONENT_OF_SQL:
                return self.base.components[:1]
            case var_page_queries.ACCOUNT_STRESS_SQL:
                return self.stressed[:1]
            case var_page_queries.BOOK_ASSETS_SQL:
                return [{"asset": "BTC"}, {"asset": "USDC"}]
            case var_queries.EXCEPTIONS_SQL:
                return self.exceptions
            case var_queries.BACKTESTS_SQL if given["subject_kind"] == "account":
                return []
            case var_page_queries.STRESSED_COUNT_SQL:
                return [{"accounts": len(self._with(given)), "computed_at": NOW}]
            case var_page_queries.STRESSED_PAGE_SQL:
                return self._with(given)[given["skipped"] :][: given["max_rows"]]
            case stress_queries.STRESS_RESULTS_SQL:
                return self.base.stress
        return None

    def _with(self, given: Mapping[str, Any]) -> list[Row]:
        return [row for row in self.stressed if given["status_after"] in ("", row["status_after"])]


def fall_answer(**other: Any) -> dict[str, Any]:
    """What the API answers to reverse stress."""
    return {
        "asset": "BTC",
        "measure": "equity",
        "loss_usd": "1000000",
        "fall_ratio": "0.342100000000000001",
        "reason": None,
        "accounts": 3,
        "unpriced_accounts": 0,
        "as_of_date": "2026-03-01",
        "price_set_id": "simulated-42",
        **other,
    }


@dataclass
class FallServer:
    """An API that knows one path; `status` and `body` are what it answers."""

    url: str = ""
    status: int = 200
    body: Any = field(default_factory=fall_answer)
    asked: list[dict[str, list[str]]] = field(default_factory=list)


@contextmanager
def fall_server() -> Iterator[FallServer]:
    """The server on a free port."""
    found = FallServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found.asked.append(parse_qs(parts.query))
            content = json.dumps(found.body).encode()
            self.send_response(found.status if parts.path == "/v1/risk/reverse-stress" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()

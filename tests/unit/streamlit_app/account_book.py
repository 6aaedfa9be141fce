"""What the page of one account and the exports read on top of the small book, and an API that answers what-ifs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from api.risk.what_if_schemas import WhatIfRequest, WhatIfView
from assets.risk import account_queries, queries

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
Row = dict[str, Any]


class Base(Protocol):
    """The reader of the small book."""

    accounts: list[Row]
    positions: dict[str, list[Row]]
    estimates: list[Row]
    error: Exception | None
    errors: dict[str, Exception]

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]: ...


def bucket_row(minutes_ago: float, health: str | None, unpriced: int = 0, no_debt: int = 0) -> Row:
    """A point of the history."""
    return {
        "bucket_at": NOW - timedelta(minutes=minutes_ago),
        "lowest_health_pct": None if health is None else Decimal(health),
        "snapshots": 2,
        "unpriced_snapshots": unpriced,
        "no_debt_snapshots": no_debt,
        "is_simulated": True,
    }


def settlement_row(number: int, kind: str = "deposit", quantity: str = "1.5", matching: int = 1, **other: Any) -> Row:
    """A settled event of bitcoin."""
    return {
        "event_id": f"ev-{number}",
        "asset": "BTC",
        "side": "collateral",
        "kind": kind,
        "signed_quantity": Decimal(quantity),
        "chain": "bitcoin",
        "tx_hash": "0x" + f"{number:064x}",
        "occurred_at": NOW - timedelta(hours=number),
        "ingested_at": NOW - timedelta(hours=number, seconds=-2),
        "is_late": False,
        "matching": matching,
        **other,
    }


def delivery_row(event: str, channel: str, state: str, seconds: str | None = "1.8", notifications: int = 1) -> Row:
    """Notifications of an event on a channel."""
    return {
        "margin_event_id": event,
        "channel": channel,
        "state": state,
        "notifications": notifications,
        "seconds_to_accept": None if seconds is None else Decimal(seconds),
    }


@dataclass
class AccountBook:
    """Answers the queries of one account, and leaves the rest to the small book."""

    base: Base
    trail: list[Row] = field(
        default_factory=lambda: [bucket_row(90, "58.25"), bucket_row(60, "41.5"), bucket_row(30, "44")]
    )
    settled: list[Row] = field(default_factory=lambda: [settlement_row(1), settlement_row(2, "withdrawal", "-0.25")])
    deliveries: list[Row] = field(default_factory=list)
    thresholds: list[Row] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows of a known query."""
        given = parameters or {}
        self.asked.append((sql, given))
        if self.base.error is not None:
            raise self.base.error
        if sql in self.base.errors:
            raise self.base.errors[sql]
        match sql:
            case account_queries.HEALTH_TRAIL_SQL:
                return self.trail
            case account_queries.SETTLEMENTS_SQL:
                return self.settled[given["skipped_rows"] : given["skipped_rows"] + given["max_rows"]]
            case account_queries.DELIVERIES_SQL:
                return [row for row in self.deliveries if row["margin_event_id"] in given["margin_event_ids"]]
            case account_queries.OWN_THRESHOLDS_SQL:
                return self.thresholds
            case account_queries.BOOK_PAGE_SQL:
                rows = sorted(self.base.accounts, key=lambda row: str(row["account_id"]))
                return [row for row in rows if row["account_id"] > given["after_account_id"]][: given["max_rows"]]
            case queries.ACCOUNT_VAR_ESTIMATES_SQL:
                return self.base.estimates
            case queries.MARGIN_HEALTH_SQL:
                return [row for row in self.base.accounts if row["account_id"] == given["account_id"]]
            case queries.ACCOUNT_EXPOSURES_SQL:
                return self.base.positions.get(given["account_id"], [])
        return self.base.query(sql, parameters)


def answer_to(body: Mapping[str, Any]) -> Row:
    """An answer in the API's own form: health from the request's prices, Value at Risk a tenth of the collateral."""
    request = WhatIfRequest.model_validate(body)
    worth = {"collateral": Decimal(0), "borrow": Decimal(0)}
    for each in request.positions:
        worth[each.side] += each.quantity * request.prices.get(each.asset, Decimal(100))
    held, owed = worth["collateral"], worth["borrow"]
    health = (held - owed) / owed * 100 if owed else None
    call, liquidation = request.thresholds.margin_call_pct, request.thresholds.liquidation_pct
    assert call is not None
    assert liquidation is not None
    status = "no_debt" if health is None else "healthy" if health >= call else "margin_call"
    label = {
        "as_of_date": "2026-03-01",
        "price_set_id": "px-1",
        "is_simulated": True,
        "code_version": "1",
        "computed_at": NOW,
    }
    estimate = {
        **label,
        "method": "historical_simulation",
        "estimator": "kth_worst_loss",
        "confidence": "0.99",
        "horizon_days": 1,
        "horizon_rule": "one_day",
        "window_observations": 500,
        "observations": 500,
        "tail_observations": 5,
        **dict.fromkeys(("var_lower_usd", "var_upper_usd", "es_lower_usd", "es_upper_usd", "reason", "seed")),
        "var_usd": held / 10,
        "es_usd": None if held == 0 else held / 8,
        "interval_method": "none",
        "interval_confidence": "0.95",
        "is_fallback": False,
    }
    view = WhatIfView.model_validate(
        {
            **label,
            "account_id": None,
            "assets": [
                {
                    "asset": each.asset,
                    "collateral_quantity": each.quantity,
                    "borrow_quantity": 0,
                    "net_exposure_usd": 0,
                    "price_usd": request.prices.get(each.asset, Decimal(100)),
                    "price_source": "override" if each.asset in request.prices else "close",
                    "price_date": None if each.asset in request.prices else "2026-03-01",
                    "is_simulated": True,
                }
                for each in request.positions
            ],
            "health": {
                "status": status,
                "health_pct": health,
                "collateral_usd": held,
                "borrow_usd": owed,
                "thresholds": {"margin_call_pct": call, "liquidation_pct": liquidation},
                "cure": {"target_pct": call, "deposit_usd": 0, "repay_usd": None},
            },
            "liquidation_prices": [
                {
                    "asset": request.positions[0].asset,
                    "threshold": "margin_call",
                    "threshold_pct": call,
                    "trigger_price_usd": None,
                    "reason": "no_debt",
                    "price_usd": None,
                    "has_unpriced_other": False,
                    "is_simulated": True,
                }
            ],
            "estimates": [estimate],
            "components": [],
            "components_reason": None,
        }
    )
    found: Row = json.loads(view.model_dump_json())
    return found


@dataclass
class WhatIfServer:
    """An API over HTTP; `status` and `error` make it refuse."""

    url: str
    asked: list[Row] = field(default_factory=list)
    status: int = 200
    error: Row = field(default_factory=dict)


@contextmanager
def what_if_server() -> Iterator[WhatIfServer]:
    """The server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.asked.append(body)
            answer = answer_to(body) if found.status == 200 else {"error": found.error}
            content = json.dumps(answer).encode()
            self.send_response(found.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = WhatIfServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

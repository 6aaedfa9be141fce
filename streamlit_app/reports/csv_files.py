"""The book and one account as CSV: RFC 4180, UTF-8 with a mark of its order, decimals as the warehouse has them.

A text that a spreadsheet would take for a formula is written with an apostrophe before it. Times are UTC in ISO 8601;
an empty cell is unknown or does not apply, as the status beside it says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from assets.risk import account_queries, queries
from assets.risk.queries import Exposure, LiquidationPrice, MarginHealth, Reader
from streamlit_app.reports import content

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What makes a spreadsheet take a text for a formula, or lets one begin after it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
Value = str | Decimal | int | bool | datetime | date | None

HEALTH_COLUMNS = (
    "as_of_utc",
    "measured_at_utc",
    "account_id",
    "status",
    "unpriced_reason",
    "health_pct",
    "collateral_usd",
    "borrow_usd",
    "early_warning_threshold_pct",
    "margin_call_threshold_pct",
    "liquidation_threshold_pct",
    "recovery_margin_pct_points",
    "unpriced_assets",
    "has_degraded_price",
    "has_negative_position",
    "oldest_price_at_utc",
    "oldest_price_age_seconds",
    "late_events_pending",
    "last_event_at_utc",
    "is_simulated",
)
POSITION_COLUMNS = (
    "asset",
    "side",
    "quantity_units",
    "price_usd",
    "valuation_price_usd",
    "exposure_usd",
    "price_status",
    "price_observed_at_utc",
    "price_age_seconds",
    "price_is_simulated",
    "margin_call_price_usd",
    "margin_call_price_reason",
    "liquidation_price_usd",
    "liquidation_price_reason",
)


def book_csv(reader: Reader, as_of: datetime) -> Iterator[bytes]:
    """One row an account, page by page; a failure of the warehouse is raised between two pages."""
    yield BYTE_ORDER_MARK + lines([HEALTH_COLUMNS])
    for page in account_queries.book_pages(reader):
        yield lines(_health(account, as_of) for account in page)


def account_csv(reader: Reader, account_id: str, as_of: datetime) -> Iterator[bytes]:
    """One row a position of the account, with its trigger prices; one row without a position where there is none."""
    health = content.read_health(reader, account_id)
    positions = queries.account_exposures(reader, account_id)
    found = {(row.asset, row.threshold): row for row in queries.liquidation_prices(reader, [account_id])}
    yield BYTE_ORDER_MARK + lines([(*HEALTH_COLUMNS, *POSITION_COLUMNS)])
    own = _health(health, as_of)
    yield lines((*own, *_position(position, found)) for position in positions)
    if not positions:
        yield lines([(*own, *(None for _ in POSITION_COLUMNS))])


def lines(rows: Iterable[Sequence[Value]]) -> bytes:
    """Rows as lines that end with CRLF."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, dialect="excel", lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return buffer.getvalue().encode()


def cell(value: Value) -> str:
    """A value as text: exact, without an exponent, and never a formula."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case int():
            return str(value)
        case _:
            return f"'{value}" if value.startswith(_FORMULA_STARTS) else value


def _health(account: MarginHealth, as_of: datetime) -> tuple[Value, ...]:
    return (
        as_of,
        account.measured_at,
        account.account_id,
        account.status,
        account.unpriced_reason,
        account.health_pct,
        account.collateral_usd,
        account.borrow_usd,
        account.early_warning_threshold_pct,
        account.margin_call_threshold_pct,
        account.liquidation_threshold_pct,
        account.recovery_margin_pct,
        account.unpriced_assets,
        account.has_degraded_price,
        account.has_negative_position,
        account.oldest_price_at,
        account.oldest_price_age_seconds,
        account.late_events_pending,
        account.last_event_at,
        account.is_simulated,
    )


def _position(position: Exposure, triggers: dict[tuple[str, str], LiquidationPrice]) -> tuple[Value, ...]:
    call = triggers.get((position.asset, "margin_call"))
    liquidation = triggers.get((position.asset, "liquidation"))
    return (
        position.asset,
        position.side,
        position.quantity,
        position.price_usd,
        position.valuation_price_usd,
        position.exposure_usd,
        position.price_status,
        position.price_observed_at,
        position.price_age_seconds,
        position.is_simulated,
        *((call.trigger_price_usd, call.reason) if call else (None, None)),
        *((liquidation.trigger_price_usd, liquidation.reason) if liquidation else (None, None)),
    )

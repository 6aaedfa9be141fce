"""What the oracle's page reads: states of sources, prices, readings, periods, history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from assets.market_data import oracle_queries, price_quality_queries
from ingest.prices import reads as price_reads

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
Row = dict[str, Any]


class Base(Protocol):
    """The reader of the small book."""

    prices: list[Row]
    error: Exception | None
    errors: dict[str, Exception]

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]: ...


def source_row(name: str, state: str = "closed", told_s: float = 5, **other: Any) -> Row:
    """What the oracle last said of a source."""
    return {
        "source": name,
        "state": state,
        "since": NOW - timedelta(hours=2),
        "failures": 0,
        "last_error_code": None,
        "last_error_reason": None,
        "last_error_at": None,
        "last_answered_at": NOW - timedelta(seconds=4),
        "last_tick_at": NOW - timedelta(seconds=7),
        "stated_at": NOW - timedelta(seconds=told_s),
        **other,
    }


def reading_row(asset: str, source: str, price: str | None, age_s: float = 8, **other: Any) -> Row:
    """The last reading of a source, used unless told."""
    known = None if price is None else Decimal(price)
    published_at = NOW - timedelta(seconds=10)
    return {
        "asset": asset,
        "source": source,
        "price_usd": known,
        "confidence_usd": Decimal("1.5"),
        "observed_at": None if price is None else published_at - timedelta(seconds=age_s),
        "received_at": published_at,
        "published_at": published_at,
        "reference": "18446744073709551617",
        "used": price is not None,
        "exclusion_code": None,
        "exclusion_reason": None,
        "is_simulated": True,
        "tick_price_usd": known,
        "tick_observed_at": None if price is None else published_at - timedelta(seconds=age_s),
        **other,
    }


def rejected_row(asset: str, code: str, price: str | None = "69000") -> Row:
    """A reading that no price rests on."""
    return {
        "asset": asset,
        "source": "pyth",
        "price_id": "px-1",
        "price_usd": None if price is None else Decimal(price),
        "observed_at": NOW - timedelta(minutes=9),
        "received_at": NOW - timedelta(minutes=9),
        "published_at": NOW - timedelta(minutes=8),
        "reference": "77",
        "exclusion_code": code,
        "exclusion_reason": f"because of {code}",
        "times": 3,
    }


def period_row(asset: str, quality: str, began_h: float, last_h: float, reason: str | None = None) -> Row:
    """A stretch of one quality, from and to so many hours ago."""
    return {
        "asset": asset,
        "quality": quality,
        "began_at": NOW - timedelta(hours=began_h),
        "last_at": NOW - timedelta(hours=last_h),
        "prices": 10,
        "reason": reason,
    }


def path_row(minutes_ago: float, price: str | None, degraded: int = 0) -> Row:
    """The prices of a span of time."""
    known = None if price is None else Decimal(price)
    return {
        "bucket_at": NOW - timedelta(minutes=minutes_ago),
        "last_usd": known,
        "low_usd": known,
        "high_usd": known,
        "prices": 5,
        "degraded": degraded,
        "missing": 0 if price else 5,
        "reason": "only pyth" if degraded else None,
        "is_simulated": True,
    }


def spread_row(minutes_ago: float, most: str | None) -> Row:
    """How far the sources lay apart in a span of time."""
    known = None if most is None else Decimal(most)
    return {
        "bucket_at": NOW - timedelta(minutes=minutes_ago),
        "sources": 1 if most is None else 2,
        "most_bp": known,
        "last_bp": known,
    }


def published_row(number: int, quality: str = "ok") -> Row:
    """A price as it was published, `number` minutes ago."""
    return {
        "price_id": f"px-{number:04}",
        "asset": "BTC",
        "price_usd": Decimal(70000) + number,
        "confidence_usd": None,
        "sources": "[]",
        "observed_at": NOW - timedelta(minutes=number),
        "published_at": NOW - timedelta(minutes=number),
        "quality": quality,
        "degraded_reason": None if quality == "ok" else "only pyth",
        "is_simulated": True,
    }


@dataclass
class OracleBook:
    """Answers the queries of the oracle's page, and leaves the rest to the small book."""

    base: Base
    sources: list[Row] = field(default_factory=lambda: [source_row("chainlink"), source_row("pyth")])
    readings: list[Row] = field(
        default_factory=lambda: [reading_row("BTC", "chainlink", "70000"), reading_row("BTC", "pyth", "70070")]
    )
    rejected: list[Row] = field(default_factory=lambda: [rejected_row("BTC", "confidence_too_wide")])
    periods: list[Row] = field(
        default_factory=lambda: [
            period_row("BTC", "ok", 167.9, 20.05),
            period_row("BTC", "degraded", 20, 19.05, "only chainlink"),
            period_row("BTC", "ok", 19, 0.01),
        ]
    )
    path: list[Row] = field(default_factory=lambda: [path_row(20, "70000"), path_row(15, "70100", 2)])
    spreads: list[Row] = field(default_factory=lambda: [spread_row(20, "12.5"), spread_row(15, None)])
    published: list[Row] = field(default_factory=lambda: [published_row(number) for number in range(1, 41)])
    closes: list[Row] = field(
        default_factory=lambda: [
            {
                "price_set_id": "px-set",
                "activated_at": NOW - timedelta(hours=11),
                "closes": 11400,
                "first_date": date(2023, 1, 1),
                "last_date": date(2026, 3, 1),
                "simulated_assets": '["BTC"]',
            }
        ]
    )
    asked: list[str] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows of a known query."""
        self.asked.append(sql)
        if self.base.error is not None:
            raise self.base.error
        if sql in self.base.errors:
            raise self.base.errors[sql]
        match sql:
            case price_reads.SOURCE_STATES_SQL:
                return self.sources
            case oracle_queries.LAST_READINGS_SQL:
                return self.readings
            case oracle_queries.REJECTED_SQL:
                return self.rejected
            case oracle_queries.SPREADS_SQL:
                return self.spreads
            case oracle_queries.CLOSES_SQL:
                return self.closes
            case price_quality_queries.PERIODS_SQL:
                return self.periods
            case price_quality_queries.PRICE_PATH_SQL:
                return self.path
            case price_reads.PRICE_HISTORY_SQL:
                return self._page(parameters or {})
        return self.base.query(sql, parameters)

    def _page(self, given: Mapping[str, Any]) -> list[Row]:
        found = [row for row in self.published if row["published_at"] < given["published_to"]]
        return found[: given["max_rows"]]

"""The one way in which numbers, times and states are written on every page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

UNKNOWN = "unknown"
MINUS = "\u2212"
QUANTITY_DECIMALS = 8

STATUS_WORDS = {
    "healthy": "Healthy",
    "margin_call": "Margin call",
    "liquidation": "Liquidation",
    "unpriced": "Unpriced",
    "no_debt": "No debt",
}
SEVERITY_WORDS = {
    "early_warning": "Early warning",
    "margin_call": "Margin call",
    "liquidation": "Liquidation",
    "recovered": "Recovered",
    "unpriced": "Unpriced",
}
PRICE_STATUS_WORDS = {"ok": "Current", "degraded": "Degraded", "stale": "Stale", "missing": "No price"}
REASON_WORDS = {
    "no_debt": "No debt: no price can trigger it",
    "covered_without_asset": "None: the other collateral covers the debt even at a price of zero",
    "below_at_any_price": "None: below the threshold at any price of this asset",
    "price_has_no_effect": "None: what is held and what is owed in this asset cancel out",
    "other_asset_without_price": "Unknown: another asset has no price",
}
ESTIMATOR_WORDS = {
    "kth_worst_loss": "k-th worst loss",
    "weighted_worst_losses": "Weighted worst losses",
    "normal_closed_form": "Normal closed form",
}
METHOD_WORDS = {
    "historical_simulation": "Historical simulation",
    "age_weighted": "Age-weighted simulation",
    "volatility_scaled": "Volatility-scaled simulation",
    "delta_normal": "Delta-normal",
    "ewma_delta_normal": "EWMA delta-normal",
    "student_t_copula": "Student-t copula",
}


def words(code: str, known: dict[str, str]) -> str:
    """The words for a code of the marts; an unknown code is shown as it is, readable."""
    return known.get(code, code.replace("_", " ").capitalize())


def usd(value: Decimal | None) -> str:
    """An amount in USD: `1,234.50 USD`."""
    return UNKNOWN if value is None else f"{_grouped(value, 2)} USD"


def interval(lower: Decimal | None, upper: Decimal | None) -> str:
    """Bounds in USD, `1,200.00 to 1,900.00`, of which either may be missing; nothing where both are."""
    if lower is None and upper is None:
        return ""
    if upper is None:
        return f"at least {usd(lower)}"
    return f"at most {usd(upper)}" if lower is None else f"{_grouped(lower, 2)} to {_grouped(upper, 2)}"


def price(value: Decimal | None) -> str:
    """A price of one unit in USD; below 10 USD with four decimals, below 0.01 USD with eight."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    decimals = 2 if size >= 10 or size == 0 else 4 if size >= Decimal("0.01") else 8
    return f"{_grouped(value, decimals)} USD"


def half_width(value: Decimal) -> str:
    """How far a price may be off, in USD: from 1 USD with two decimals, below with two digits that count."""
    size = abs(value)
    return f"\u00b1 {_grouped(value, 2 if size >= 1 or size == 0 else 1 - size.adjusted())} USD"


def quantity(value: Decimal, asset: str) -> str:
    """Units of an asset without trailing zeros: `1,234.5 BTC`; less than the last decimal shows as `< 0.00000001`."""
    smallest = Decimal(1).scaleb(-QUANTITY_DECIMALS)
    if value != 0 and abs(value) < smallest:
        return f"{MINUS if value < 0 else ''}< {smallest:f} {asset}"
    text = _grouped(value, QUANTITY_DECIMALS)
    return f"{text.rstrip('0').rstrip('.')} {asset}"


def health(value: Decimal | None) -> str:
    """Margin health in percent, two decimals, rounded down, so that 29.999 never reads as the threshold 30."""
    if value is None:
        return UNKNOWN
    return f"{_grouped(value, 2, ROUND_FLOOR)}%"


def percent(value: Decimal | None, decimals: int = 1) -> str:
    """A percentage: `58.3%`."""
    return UNKNOWN if value is None else f"{_grouped(value, decimals)}%"


def plain_percent(value: Decimal) -> str:
    """A percentage without trailing zeros, for thresholds and confidences: `30%`, `97.5%`."""
    return f"{value.normalize():f}%"


def change(value: Decimal | None) -> str:
    """A signed change in percent: `+4.2%`, or with a real minus sign; zero has none."""
    if value is None:
        return UNKNOWN
    text = _grouped(value, 1 if abs(value) >= 1 else 2)
    return f"+{text}%" if value > 0 and text != "0.00" else f"{text}%"


def count(value: int, one: str, many: str | None = None) -> str:
    """A number of things with its noun: `1 account`, `1,200 accounts`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def age(seconds: float | None) -> str:
    """A span of time in its two largest units: `12 s`, `4 min`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def time_of_day(at: datetime | None) -> str:
    """`12:34:56 UTC`."""
    return UNKNOWN if at is None else f"{at.astimezone(UTC):%H:%M:%S} UTC"


def moment(at: datetime | None) -> str:
    """`2026-01-31 12:34:56 UTC`."""
    return UNKNOWN if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def _grouped(value: Decimal, decimals: int, rounding: str = ROUND_HALF_EVEN) -> str:
    rounded = value.quantize(Decimal(1).scaleb(-decimals), rounding=rounding)
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):,f}"

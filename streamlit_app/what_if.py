"""The what-if of an account: what is asked of the API, and what of its answer the page shows. Pure; nothing is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel, ConfigDict

from assets.risk.queries import Exposure, MarginHealth

PATH = "/v1/risk/what-if"
HORIZON_DAYS = 1
# Less than the app waits for an answer.
DEADLINE_MS = 3_500
MAX_QUANTITY_DECIMALS, MAX_PRICE_DECIMALS = 18, 9
LIMIT = Decimal(10) ** 18
SIDES = ("collateral", "borrow")
_NUMBER = re.compile(r"[0-9][0-9,_ ]*(\.[0-9]+)?|\.[0-9]+")


class NotANumberError(ValueError):
    """What somebody typed is no amount; the message says what is wrong with it."""


@dataclass(frozen=True)
class Line:
    """One position: units of an asset on a side."""

    asset: str
    side: str
    quantity: Decimal


@dataclass(frozen=True)
class Portfolio:
    """Positions, and prices in USD by asset; an asset without a price is valued at its last close."""

    lines: tuple[Line, ...]
    prices: Mapping[str, Decimal]


@dataclass(frozen=True)
class Start:
    """What a what-if begins with: the account as it was read at `read_at`.

    `uncertain` are its assets whose price is not current.
    """

    account_id: str
    read_at: datetime
    portfolio: Portfolio
    margin_call_pct: Decimal
    liquidation_pct: Decimal
    uncertain: tuple[str, ...]

    @property
    def assets(self) -> tuple[str, ...]:
        """Its assets, each once, in order."""
        return tuple(dict.fromkeys(line.asset for line in self.portfolio.lines))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Valued(_Part):
    """An asset and the price that it was valued at; `price_date` is the day of a close."""

    asset: str
    price_usd: Decimal
    price_source: str
    price_date: date | None = None
    is_simulated: bool


class Cure(_Part):
    """USD that bring health to `target_pct`: deposited, or else repaid."""

    target_pct: Decimal
    deposit_usd: Decimal
    repay_usd: Decimal | None = None


class Health(_Part):
    """Margin health in percent, None without debt."""

    status: str
    health_pct: Decimal | None = None
    collateral_usd: Decimal
    borrow_usd: Decimal
    cure: Cure


class Estimate(_Part):
    """An estimate in USD; None with a reason."""

    method: str
    confidence: Decimal
    horizon_days: int
    window_observations: int
    observations: int
    var_usd: Decimal | None = None
    es_usd: Decimal | None = None
    is_fallback: bool
    reason: str | None = None


class Trigger(_Part):
    """The price in USD at which a threshold is reached; None with a reason."""

    asset: str
    threshold: str
    trigger_price_usd: Decimal | None = None
    reason: str | None = None


class Answer(_Part):
    """What the API says about a portfolio."""

    as_of_date: date
    price_set_id: str
    is_simulated: bool
    assets: list[Valued]
    health: Health
    liquidation_prices: list[Trigger]
    estimates: list[Estimate]


def start_of(account: MarginHealth, positions: Sequence[Exposure], read_at: datetime) -> Start:
    """The account as the beginning of a what-if; positions below zero are left out, for none can be asked about."""
    lines = tuple(Line(each.asset, each.side, each.quantity) for each in positions if each.quantity > 0)
    prices = {each.asset: each.price_usd for each in positions if each.price_usd is not None and each.price_usd > 0}
    uncertain = tuple(dict.fromkeys(each.asset for each in positions if each.price_status in ("stale", "missing")))
    return Start(
        account.account_id,
        read_at,
        Portfolio(lines, prices),
        account.margin_call_threshold_pct,
        account.liquidation_threshold_pct,
        uncertain,
    )


def request_of(start: Start, portfolio: Portfolio) -> dict[str, Any] | None:
    """The body of the request; None where nothing is held or owed. Decimals are text, so that no digit is lost."""
    lines = [line for line in portfolio.lines if line.quantity > 0]
    if not lines:
        return None
    held = {line.asset for line in lines}
    return {
        "positions": [{"asset": line.asset, "side": line.side, "quantity": plain(line.quantity)} for line in lines],
        "prices": {asset: plain(price) for asset, price in portfolio.prices.items() if asset in held},
        "thresholds": {
            "margin_call_pct": plain(start.margin_call_pct),
            "liquidation_pct": plain(start.liquidation_pct),
        },
        "horizons_days": [HORIZON_DAYS],
        "intervals": False,
        "deadline_ms": DEADLINE_MS,
    }


def amount(words: str, decimals: int, what: str) -> Decimal:
    """The amount that somebody typed, zero or more; raises `NotANumberError`."""
    found = words.strip()
    if not _NUMBER.fullmatch(found):
        raise NotANumberError(f"{what}: write a number of zero or more, such as 1234.5.")
    try:
        value = Decimal(re.sub(r"[,_ ]", "", found))
    except InvalidOperation as error:
        raise NotANumberError(f"{what}: this is no number.") from error
    if value >= LIMIT:
        raise NotANumberError(f"{what}: the number is too large.")
    if -int(value.as_tuple().exponent) > decimals:
        raise NotANumberError(f"{what}: at most {decimals} digits after the point.")
    return value


def moved(price: Decimal, change_pct: int) -> Decimal:
    """A price that changed by so many percent."""
    step = Decimal(1).scaleb(-MAX_PRICE_DECIMALS)
    return (price * (100 + change_pct) / 100).quantize(step)


def change_pct(before: Decimal, after: Decimal) -> Decimal:
    """The change of a price in percent."""
    return (after - before) / before * 100


def plain(value: Decimal) -> str:
    """The number as text, without an exponent and without zeros at its end."""
    words = format(value, "f")
    return words.rstrip("0").rstrip(".") if "." in words else words

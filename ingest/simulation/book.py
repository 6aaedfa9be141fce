"""A simulated book: accounts with several collateral assets against stablecoin debt, as settlement events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

import numpy as np

from infra.runtime.ids import stable_id
from ingest.messages import Kind, SettlementEvent, Side

HISTORY_DAYS = 90
# Health at the last close, percent: log-normal around 95, never under the floor, so that a fresh book is without calls.
HEALTH_FLOOR_PCT = 36.0
HEALTH_MEDIAN_PCT = 95.0
HEALTH_SIGMA = 0.55
SHARE_WITHOUT_DEBT = 0.04
CHAINS = {"BTC": "bitcoin", "SOL": "solana", "XRP": "xrpl", "BNB": "bsc"}
COUNTRIES = ("US", "DE", "GB", "SG", "CH", "ES", "BR", "JP")


@dataclass(frozen=True)
class BookShape:
    """What the simulated book looks like: `accounts` in number, one `seed`, events up to `until`."""

    accounts: int
    seed: int
    until: datetime


def simulate_book(
    shape: BookShape, closes_usd: Mapping[str, Decimal], stablecoins: frozenset[str]
) -> list[SettlementEvent]:
    """Settlement events in order of time for every account; the same arguments always give the same events.

    `closes_usd` values the book: USD for one unit of each asset. Raises `ValueError` without a stablecoin to
    borrow or without an asset to pledge.
    """
    debts = sorted(stablecoins & closes_usd.keys())
    pledges = sorted(closes_usd.keys() - stablecoins)
    if not debts or not pledges:
        raise ValueError("a book needs the close of at least one stablecoin and one other asset")
    events: list[SettlementEvent] = []
    for number in range(1, shape.accounts + 1):
        events += _account_events(shape, number, closes_usd, pledges, debts)
    return sorted(events, key=lambda event: (event.occurred_at, event.event_id))


def _account_events(
    shape: BookShape, number: int, closes_usd: Mapping[str, Decimal], pledges: list[str], debts: list[str]
) -> list[SettlementEvent]:
    generator = np.random.default_rng([shape.seed, number])
    maker = _EventMaker(shape, f"acct-{number:05d}", generator)
    size_usd = float(np.exp(generator.normal(11.5, 1.2)))
    held = _pick(generator, pledges, int(generator.integers(1, min(4, len(pledges)) + 1)))
    weights = generator.dirichlet(np.ones(len(held)) * 2)
    collateral_usd = Decimal(0)
    for asset, weight in zip(held, weights, strict=True):
        quantity = _quantity(size_usd * float(weight) / float(closes_usd[asset]), 6)
        collateral_usd += quantity * closes_usd[asset]
        maker.build_up(asset, Side.COLLATERAL, Kind.DEPOSIT, Kind.WITHDRAWAL, quantity)
    if generator.random() >= SHARE_WITHOUT_DEBT:
        health = max(HEALTH_FLOOR_PCT, HEALTH_MEDIAN_PCT * float(np.exp(generator.normal(0, HEALTH_SIGMA))))
        debt = str(generator.choice(debts))
        borrow_usd = float(collateral_usd) / (1 + health / 100)
        maker.build_up(debt, Side.BORROW, Kind.DRAW, Kind.REPAYMENT, _quantity(borrow_usd / float(closes_usd[debt]), 2))
    return maker.events


def _pick(generator: np.random.Generator, pledges: list[str], count: int) -> list[str]:
    """`count` assets, BTC and ETH three times as likely as others."""
    weights = np.array([3.0 if asset in ("BTC", "ETH") else 1.0 for asset in pledges])
    return sorted(str(a) for a in generator.choice(pledges, size=count, replace=False, p=weights / weights.sum()))


def _quantity(value: float, decimals: int) -> Decimal:
    quantum = Decimal(1).scaleb(-decimals)
    return max(Decimal(value).quantize(quantum, rounding=ROUND_DOWN), quantum)


@dataclass
class _EventMaker:
    """Makes the events of one account."""

    shape: BookShape
    account_id: str
    generator: np.random.Generator

    def __post_init__(self) -> None:
        self.events: list[SettlementEvent] = []

    def build_up(self, asset: str, side: Side, increase: Kind, decrease: Kind, target: Decimal) -> None:
        """Reach `target` by an opening, one or two later increases and, at times, a partial decrease between."""
        quantum = Decimal(1).scaleb(int(target.as_tuple().exponent))
        opening = max(quantum, (target * Decimal("0.6")).quantize(quantum, rounding=ROUND_DOWN))
        rest = target - opening
        self._add(asset, side, increase, opening, 0.0, 0.4)
        back = (opening * Decimal("0.2")).quantize(quantum, rounding=ROUND_DOWN)
        if back > 0 and self.generator.random() < 0.4:
            self._add(asset, side, decrease, back, 0.4, 0.7)
            rest += back
        if rest > 0:
            self._add(asset, side, increase, rest, 0.7, 1.0)

    def _add(self, asset: str, side: Side, kind: Kind, quantity: Decimal, earliest: float, latest: float) -> None:
        age = timedelta(days=HISTORY_DAYS * (1 - float(self.generator.uniform(earliest, latest))))
        number = len(self.events) + 1
        self.events.append(
            SettlementEvent(
                event_id=stable_id("ev", "simulated", self.shape.seed, self.account_id, number, asset, kind, quantity),
                account_id=self.account_id,
                asset=asset,
                side=side,
                kind=kind,
                quantity=quantity,
                occurred_at=(self.shape.until - age).replace(microsecond=0),
                chain=CHAINS.get(asset, "ethereum"),
                tx_hash="0x" + self.generator.bytes(32).hex(),
                counterparty_address="0x" + self.generator.bytes(20).hex(),
                counterparty_country=str(self.generator.choice(COUNTRIES)),
                has_travel_rule_data=True,
                is_self_hosted=False,
            )
        )

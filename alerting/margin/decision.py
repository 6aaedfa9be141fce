"""When an account's margin health becomes an event: levels, hysteresis, episodes.

Levels rise healthy < early_warning < margin_call < liquidation. Health worsens at the bare threshold (below it) and
improves past a threshold only at that threshold plus the recovery margin, so a value that stays between the two
changes nothing. `unpriced` is no level: nothing is known until all prices are back.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum, StrEnum

from alerting.errors import MarginInputError
from alerting.events import LiquidationPrice, MarginEvent, Severity
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id


class AccountStatus(StrEnum):
    """Status of an account in `risk.margin_health`."""

    HEALTHY = "healthy"
    MARGIN_CALL = "margin_call"
    LIQUIDATION = "liquidation"
    NO_DEBT = "no_debt"
    UNPRICED = "unpriced"


class Level(IntEnum):
    """How bad the priced health is."""

    HEALTHY = 0
    EARLY_WARNING = 1
    MARGIN_CALL = 2
    LIQUIDATION = 3


_SEVERITY = {
    Level.HEALTHY: Severity.RECOVERED,
    Level.EARLY_WARNING: Severity.EARLY_WARNING,
    Level.MARGIN_CALL: Severity.MARGIN_CALL,
    Level.LIQUIDATION: Severity.LIQUIDATION,
}
_LEVEL = {severity: level for level, severity in _SEVERITY.items()}


@dataclass(frozen=True, kw_only=True)
class AccountHealth:
    """What is known of one account now; percentages in percent, `recovery_margin_pct` in percentage points.

    The level follows from `health_pct` and the thresholds; `status` tells whether they can be used at all.
    `has_borrow` says whether anything is borrowed where `borrow_usd` cannot (a borrowed asset that never had a price);
    None: whether `borrow_usd` is above zero. Raises `MarginInputError` for values that contradict themselves.
    """

    account_id: str
    status: AccountStatus
    health_pct: Decimal | None
    collateral_usd: Decimal
    borrow_usd: Decimal
    margin_call_threshold_pct: Decimal
    liquidation_threshold_pct: Decimal
    recovery_margin_pct: Decimal
    early_warning_threshold_pct: Decimal | None = None
    liquidation_prices: tuple[LiquidationPrice, ...] = ()
    price_ids: tuple[str, ...] = ()
    unpriced_assets: tuple[str, ...] = ()
    unpriced_reason: str | None = None
    is_simulated: bool = False
    has_borrow: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", AccountStatus(self.status))
        rising = [self.liquidation_threshold_pct, self.margin_call_threshold_pct]
        if self.early_warning_threshold_pct is not None:
            rising.append(self.early_warning_threshold_pct)
        if any(low >= high for low, high in itertools.pairwise(rising)):
            raise MarginInputError(f"Thresholds of account {self.account_id} do not rise: {[str(t) for t in rising]}.")
        if self.recovery_margin_pct < 0:
            raise MarginInputError(f"recovery_margin_pct of account {self.account_id} is negative.")
        if self.is_priced and self.health_pct is None:
            raise MarginInputError(f"Account {self.account_id} is {self.status} without a health_pct.")

    @property
    def is_priced(self) -> bool:
        """Whether `health_pct` rests on current prices."""
        return self.status not in (AccountStatus.NO_DEBT, AccountStatus.UNPRICED)

    @property
    def owes(self) -> bool:
        """Whether anything is borrowed."""
        return self.borrow_usd > 0 if self.has_borrow is None else self.has_borrow

    def threshold(self, level: Level) -> Decimal | None:
        """The health below which `level` begins; None for healthy and for a level that is switched off."""
        return {
            Level.HEALTHY: None,
            Level.EARLY_WARNING: self.early_warning_threshold_pct,
            Level.MARGIN_CALL: self.margin_call_threshold_pct,
            Level.LIQUIDATION: self.liquidation_threshold_pct,
        }[level]

    def level_at(self, health_pct: Decimal) -> Level:
        """The worst level whose bare threshold lies above `health_pct`."""
        for level in (Level.LIQUIDATION, Level.MARGIN_CALL, Level.EARLY_WARNING):
            threshold = self.threshold(level)
            if threshold is not None and health_pct < threshold:
                return level
        return Level.HEALTHY


@dataclass(frozen=True)
class OpenState:
    """The last event of an account; its episode is open unless the severity is `recovered`."""

    account_id: str
    severity: Severity
    episode_id: str
    transition_number: int

    @property
    def is_open(self) -> bool:
        """Whether the episode goes on."""
        return self.severity is not Severity.RECOVERED

    @classmethod
    def after(cls, event: MarginEvent) -> OpenState:
        """The state that `event` leaves behind."""
        return cls(event.account_id, event.severity, event.episode_id, event.transition_number)


def decide(health: AccountHealth, last: OpenState | None, clock: Clock) -> MarginEvent | None:
    """The transition that `health` makes after `last`, or None when nothing changed.

    Ids depend only on the account and the number of the transition: two evaluators that start from the same state
    make the same id, and an idempotent write keeps one. Raises `MarginInputError` when `last` is another account's.
    """
    if last is not None and last.account_id != health.account_id:
        raise MarginInputError(f"State of account {last.account_id} was given for account {health.account_id}.")
    current = last if last is not None and last.is_open else None
    severity = _next_severity(health, current)
    if severity is None:
        return None
    number = last.transition_number + 1 if last is not None else 1
    return MarginEvent(
        margin_event_id=stable_id("mev", health.account_id, number),
        account_id=health.account_id,
        severity=severity,
        episode_id=current.episode_id if current is not None else stable_id("mep", health.account_id, number),
        transition_number=number,
        previous_severity=current.severity if current is not None else None,
        health_pct=health.health_pct,
        collateral_usd=health.collateral_usd,
        borrow_usd=health.borrow_usd,
        liquidation_prices=health.liquidation_prices,
        price_ids=health.price_ids,
        threshold_pct=_crossed_threshold(health, current, severity),
        detected_at=clock.now(),
        unpriced_assets=health.unpriced_assets,
        unpriced_reason=health.unpriced_reason,
        is_simulated=health.is_simulated,
    )


def _next_severity(health: AccountHealth, current: OpenState | None) -> Severity | None:
    """The severity to announce; None when it is the one already announced, or nothing is owed or open."""
    if health.status is AccountStatus.UNPRICED:
        is_known = current is not None and current.severity is Severity.UNPRICED
        return Severity.UNPRICED if health.owes and not is_known else None
    if health.status is AccountStatus.NO_DEBT or health.health_pct is None:
        return Severity.RECOVERED if current is not None else None
    bare = health.level_at(health.health_pct)
    if current is None:
        return _SEVERITY[bare] if bare > Level.HEALTHY else None
    if current.severity is Severity.UNPRICED:
        return _SEVERITY[bare]
    level = _level_with_hysteresis(health, health.health_pct, bare, _LEVEL[current.severity])
    return _SEVERITY[level] if level is not _LEVEL[current.severity] else None


def _level_with_hysteresis(health: AccountHealth, health_pct: Decimal, bare: Level, current: Level) -> Level:
    """Worse at once; better only as far as every threshold on the way is passed by the recovery margin."""
    if bare >= current:
        return bare
    return min(current, health.level_at(health_pct - health.recovery_margin_pct))


def _crossed_threshold(health: AccountHealth, current: OpenState | None, severity: Severity) -> Decimal | None:
    """The threshold between the old and the new level that lies nearest to the new one; None if no health is known."""
    if not health.is_priced:
        return None
    level = _LEVEL[severity]
    was = Level.HEALTHY if current is None else _LEVEL.get(current.severity)
    if severity is Severity.RECOVERED or (was is not None and was > level):
        above = (health.threshold(worse) for worse in Level if worse > level)
        return next(threshold for threshold in above if threshold is not None)
    return health.threshold(level)

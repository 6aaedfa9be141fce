"""Thresholds that an account has instead of the default ones: append-only, of which the last change counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from alerting.errors import AccountUnknownError, ThresholdsInvalidError
from alerting.margin.store import MarginWarehouse
from assets.risk import queries
from infra.runtime.bigquery import TableSpec, nullable, required
from infra.runtime.clock import Clock
from infra.runtime.ids import stable_id

ACCOUNT_THRESHOLDS = TableSpec(
    "raw",
    "account_thresholds",
    (
        required("change_id", "STRING", "Deterministic: account, time and values of the change"),
        required("account_id", "STRING", "Account"),
        nullable("margin_call_pct", "NUMERIC", "Health below which a margin call is due; NULL for the default"),
        nullable("liquidation_pct", "NUMERIC", "Health below which collateral is sold; NULL for the default"),
        nullable("early_warning_pct", "NUMERIC", "Health below which a warning is given; NULL for the default"),
        nullable("recovery_margin_pct", "NUMERIC", "Points above a threshold that end an episode; NULL: default"),
        required("set_at", "TIMESTAMP", "When the change was made, UTC"),
        required("set_by", "STRING", "Who made it"),
        required("reason", "STRING", "Why"),
    ),
    "Changes of accounts' thresholds. Append-only. Grain: one row a change; the last set_at of an account counts.",
    partition_field="set_at",
    cluster_fields=("account_id",),
)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Thresholds in percent of health, `recovery_margin_pct` in points; None: not set."""

    margin_call_pct: Decimal | None = None
    liquidation_pct: Decimal | None = None
    early_warning_pct: Decimal | None = None
    recovery_margin_pct: Decimal | None = None

    def or_else(self, defaults: Thresholds) -> Thresholds:
        """These, and where one is not set, the default."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return Thresholds(**{name: getattr(defaults, name) if value is None else value for name, value in own.items()})

    def check(self) -> None:
        """Raise `ThresholdsInvalidError` unless liquidation < margin call < early warning, and recovery >= 0."""
        rising = {
            "liquidation_pct": self.liquidation_pct,
            "margin_call_pct": self.margin_call_pct,
            "early_warning_pct": self.early_warning_pct,
        }
        known = [(name, value) for name, value in rising.items() if value is not None]
        for (lower, low), (higher, high) in pairwise(known):
            if low >= high:
                raise ThresholdsInvalidError(f"{lower} must be below {higher}, but {low} is not below {high}.")
        if self.recovery_margin_pct is not None and self.recovery_margin_pct < 0:
            raise ThresholdsInvalidError(f"recovery_margin_pct must not be negative; it is {self.recovery_margin_pct}.")


@dataclass(frozen=True)
class AccountThresholds:
    """What an account has of its own, what holds for it, and the last change (None: there never was one)."""

    account_id: str
    own: Thresholds
    effective: Thresholds
    set_at: datetime | None = None
    set_by: str | None = None
    reason: str | None = None


OWN_THRESHOLDS_SQL = """
select margin_call_pct, liquidation_pct, early_warning_pct, recovery_margin_pct, set_at, set_by, reason
from raw.account_thresholds
where account_id = @account_id
qualify row_number() over (order by set_at desc, change_id) = 1
"""

DEFAULT_THRESHOLDS_SQL = """
select margin_call_pct, liquidation_pct, early_warning_pct, recovery_margin_pct
from risk.margin_defaults
"""


def read_thresholds(warehouse: queries.Reader, account_id: str) -> AccountThresholds:
    """The thresholds of the account; `AccountUnknownError` if it has neither a position nor thresholds of its own."""
    row = _last_change(warehouse, account_id)
    if row is None:
        _require_account(warehouse, account_id)
    return _stated(account_id, row, _defaults(warehouse))


def set_thresholds(
    warehouse: MarginWarehouse, account_id: str, wanted: Thresholds, set_by: str, reason: str, clock: Clock
) -> AccountThresholds:
    """Give the account these thresholds, the default where one is None; setting what it has appends nothing.

    Raises `ThresholdsInvalidError` where they would contradict each other or a default, and `AccountUnknownError`
    for an account without a position: a mistyped id would wait unseen.
    """
    _require_account(warehouse, account_id)
    defaults = _defaults(warehouse)
    wanted.or_else(defaults).check()
    last = _last_change(warehouse, account_id)
    if last is not None and _values(last) == wanted:
        return _stated(account_id, last, defaults)
    # The last change counts: one that follows another must be later, whatever the clocks of two hosts say.
    now = clock.now() if last is None else max(clock.now(), last["set_at"] + timedelta(microseconds=1))
    change_id = stable_id("thr", account_id, now.isoformat(), *asdict(wanted).values())
    change = asdict(wanted) | {"set_at": now, "set_by": set_by, "reason": reason}
    row = {"change_id": change_id, "account_id": account_id, **change}
    warehouse.append(ACCOUNT_THRESHOLDS.table_id, [row], [change_id])
    return _stated(account_id, change, defaults)


def _require_account(warehouse: queries.Reader, account_id: str) -> None:
    if queries.margin_health(warehouse, account_id) is None:
        raise AccountUnknownError(f"There is no account {account_id!r} with a position; /v1/portfolios lists them.")


def _last_change(warehouse: queries.Reader, account_id: str) -> dict[str, Any] | None:
    return next(iter(warehouse.query(OWN_THRESHOLDS_SQL, {"account_id": account_id})), None)


def _defaults(warehouse: queries.Reader) -> Thresholds:
    return _values(warehouse.query(DEFAULT_THRESHOLDS_SQL)[0])


def _values(row: Mapping[str, Any]) -> Thresholds:
    return Thresholds(**{each.name: row[each.name] for each in fields(Thresholds)})


def _stated(account_id: str, change: Mapping[str, Any] | None, defaults: Thresholds) -> AccountThresholds:
    if change is None:
        return AccountThresholds(account_id, Thresholds(), defaults)
    own = _values(change)
    return AccountThresholds(
        account_id, own, own.or_else(defaults), change["set_at"], change["set_by"], change["reason"]
    )

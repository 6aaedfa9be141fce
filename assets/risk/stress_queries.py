"""Typed reads of the stress marts, and reverse stress over the book of the last day with closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from assets.risk.engine.reverse_stress import AccountExposure, Measure, NoFall, ReverseStress, smallest_fall
from assets.risk.queries import Reader, read_rows


@dataclass(frozen=True)
class StressResult:
    """What one scenario does to the book; USD, a loss is negative.

    Totals are those of the accounts that are fully known, None where none is. With `unknown_accounts` above 0 they are
    bounds, and `reason` says what is missing.
    """

    as_of_date: date
    price_set_id: str
    scenario_id: str
    scenario_version: int
    kind: str
    name: str
    accounts: int
    unknown_accounts: int
    unpriced_accounts: int
    pnl_usd: Decimal | None
    margin_call_accounts: int | None
    new_margin_call_accounts: int | None
    liquidation_accounts: int | None
    new_liquidation_accounts: int | None
    collateral_to_sell_usd: Decimal | None
    bad_debt_usd: Decimal | None
    top_loss_account_ids: str | None
    shock_sources: str | None
    reason: str | None
    is_simulated: bool
    code_version: str
    computed_at: datetime


@dataclass(frozen=True)
class StressedAccount:
    """What a scenario does to one account; USD, health in percent, None where unknown (`reason`) or without debt."""

    as_of_date: date
    price_set_id: str
    scenario_id: str
    scenario_version: int
    kind: str
    account_id: str
    collateral_before_usd: Decimal | None
    borrow_before_usd: Decimal | None
    collateral_after_usd: Decimal | None
    borrow_after_usd: Decimal | None
    pnl_usd: Decimal | None
    loss_rank: int | None
    health_before_pct: Decimal | None
    health_after_pct: Decimal | None
    status_before: str
    status_after: str
    margin_call_threshold_pct: Decimal
    liquidation_threshold_pct: Decimal
    liquidation_target_pct: Decimal
    collateral_to_sell_usd: Decimal | None
    bad_debt_usd: Decimal | None
    reason: str | None
    is_simulated: bool
    computed_at: datetime


@dataclass(frozen=True)
class AssetShare:
    """What an account holds and owes in one asset and in all others, in USD at the closes of `as_of_date`.

    Positions without a close that day are left out of the amounts and counted.
    """

    as_of_date: date
    price_set_id: str
    account_id: str
    has_borrow: bool
    collateral_usd: Decimal
    borrow_usd: Decimal
    other_collateral_usd: Decimal
    other_borrow_usd: Decimal
    unpriced_positions: int
    other_unpriced_positions: int


@dataclass(frozen=True)
class AssetFall:
    """The smallest fall of `asset`, as a fraction, that makes the book lose `loss_usd`; None with a reason.

    With reason `unpriced` the figure would miss `unpriced_accounts`, of which a side is unknown. An empty book has
    no date.
    """

    asset: str
    measure: Measure
    loss_usd: Decimal
    fall: Decimal | None
    reason: NoFall | None
    accounts: int
    unpriced_accounts: int
    as_of_date: date | None
    price_set_id: str | None


# All rows of a build carry one time; a scenario that the file no longer holds keeps an older one.
STRESS_RESULTS_SQL = """
select *
from risk.stress_results
where computed_at = (select max(computed_at) from risk.stress_results)
order by
    case kind when 'historical' then 0 when 'hypothetical' then 1 else 2 end,
    scenario_id
"""

STRESSED_ACCOUNTS_SQL = """
select *
from risk.stress_account_results
where scenario_id = @scenario_id
order by loss_rank is null, loss_rank, account_id
limit @max_rows
"""

ASSET_SHARES_SQL = """
select
    as_of_date,
    price_set_id,
    account_id,
    logical_or(borrow_quantity > 0) as has_borrow,
    coalesce(sum(if(asset = @asset, collateral_usd, null)), numeric '0') as collateral_usd,
    coalesce(sum(if(asset = @asset, borrow_usd, null)), numeric '0') as borrow_usd,
    coalesce(sum(if(asset != @asset, collateral_usd, null)), numeric '0') as other_collateral_usd,
    coalesce(sum(if(asset != @asset, borrow_usd, null)), numeric '0') as other_borrow_usd,
    countif(asset = @asset and close_usd is null) as unpriced_positions,
    countif(asset != @asset and close_usd is null) as other_unpriced_positions
from intermediate.int_risk__exposures_as_of
group by as_of_date, price_set_id, account_id
order by account_id
"""


def stress_results(reader: Reader) -> list[StressResult]:
    """Every scenario of the last build: historical ones, hypothetical ones, then the ladder."""
    return read_rows(reader, StressResult, STRESS_RESULTS_SQL)


def stressed_accounts(reader: Reader, scenario_id: str, max_rows: int = 20) -> list[StressedAccount]:
    """Accounts of one scenario, largest loss first, unknown ones last."""
    parameters = {"scenario_id": scenario_id, "max_rows": max_rows}
    return read_rows(reader, StressedAccount, STRESSED_ACCOUNTS_SQL, parameters)


def asset_shares(reader: Reader, asset: str) -> list[AssetShare]:
    """Every account of the last day with closes, split into `asset` and all others."""
    return read_rows(reader, AssetShare, ASSET_SHARES_SQL, {"asset": asset})


def reverse_stress(
    reader: Reader, loss_usd: Decimal, asset: str = "BTC", measure: Measure = Measure.EQUITY
) -> AssetFall:
    """The smallest fall of `asset`, all other prices held, that makes the book lose `loss_usd` (above 0).

    Raises `RiskInputError` where the amount is none.
    """
    shares = asset_shares(reader, asset)
    unpriced = sum(_is_unpriced(share, measure) for share in shares)
    found = smallest_fall(_exposures(shares), loss_usd, measure)
    if unpriced:
        found = ReverseStress(reason=NoFall.UNPRICED)
    return AssetFall(
        asset=asset,
        measure=measure,
        loss_usd=loss_usd,
        fall=found.fall,
        reason=found.reason,
        accounts=len(shares),
        unpriced_accounts=unpriced,
        as_of_date=shares[0].as_of_date if shares else None,
        price_set_id=shares[0].price_set_id if shares else None,
    )


def _is_unpriced(share: AssetShare, measure: Measure) -> bool:
    """Equity moves with the asset alone; bad debt rests on all that an account with a debt has."""
    if measure is Measure.EQUITY:
        return share.unpriced_positions > 0
    is_unvalued = share.unpriced_positions + share.other_unpriced_positions > 0
    # A position below zero is an event that is missing.
    return share.has_borrow and (is_unvalued or share.borrow_usd + share.other_borrow_usd <= 0)


def _exposures(shares: Sequence[AssetShare]) -> list[AccountExposure]:
    return [
        AccountExposure(share.collateral_usd, share.borrow_usd, share.other_collateral_usd, share.other_borrow_usd)
        for share in shares
    ]

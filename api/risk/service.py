"""From rows of the marts to the responses of the risk reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TypeVar

from api.errors import AccountUnknownError, MartsNotBuiltError, as_ballast_error
from api.risk import repository, schemas
from api.wire import listed
from assets.risk import queries, stress_queries, var_queries
from assets.risk.engine.methods import Method
from assets.risk.engine.reverse_stress import Measure
from assets.risk.queries import Reader
from infra.runtime.errors import WarehouseError

_UNUSABLE_PRICES = frozenset({schemas.PriceStatus.STALE, schemas.PriceStatus.MISSING})


def exposure(reader: Reader, account_id: str) -> schemas.ExposureView:
    """Positions and totals of one account; `AccountUnknownError` if it never had a position."""
    rows = queries.account_exposures(reader, account_id)
    positions = [schemas.PositionView.model_validate(row) for row in rows]
    if not positions:
        _require_account(reader, account_id)
    return schemas.ExposureView(
        account_id=account_id,
        positions=positions,
        totals=totals(positions, all(row.positions_are_complete for row in rows)),
        is_simulated=any(position.is_simulated for position in positions),
    )


def totals(positions: Sequence[schemas.PositionView], are_positions_complete: bool) -> schemas.ExposureTotals:
    """Sums in USD by side; None for a side with a position that was never priced, for zero would be a lie.

    Positions are incomplete where compaction is overdue: an event may be missing.
    """
    collateral_usd = _sum_usd(positions, schemas.Side.COLLATERAL)
    borrow_usd = _sum_usd(positions, schemas.Side.BORROW)
    unpriced = sorted({each.asset for each in positions if each.price_status in _UNUSABLE_PRICES})
    return schemas.ExposureTotals(
        collateral_usd=collateral_usd,
        borrow_usd=borrow_usd,
        net_usd=None if collateral_usd is None or borrow_usd is None else collateral_usd - borrow_usd,
        is_complete=not unpriced and are_positions_complete,
        unpriced_assets=unpriced,
    )


def margin_health(reader: Reader, account_id: str) -> schemas.MarginHealthView:
    """Health and trigger prices of one account; `AccountUnknownError` if it never had a position."""
    health = health_view(_require_account(reader, account_id))
    found = queries.liquidation_prices(reader, [account_id])
    return schemas.MarginHealthView(
        **dict(health), liquidation_prices=[schemas.LiquidationPriceView.model_validate(row) for row in found]
    )


def portfolios(reader: Reader, limit: int, cursor: str | None) -> schemas.PortfolioPage:
    """One page of accounts by urgency; `CursorInvalidError` for a cursor that the API did not make."""
    after = repository.PageCursor.decode(cursor) if cursor is not None else None
    # One row more than the page tells whether another page follows.
    rows = repository.health_page(reader, after, limit + 1)
    page = rows[:limit]
    has_more = len(rows) > limit
    return schemas.PortfolioPage(
        portfolios=[health_view(row) for row in page],
        next_cursor=repository.cursor_behind(page[-1]).encode() if has_more else None,
    )


@dataclass(frozen=True)
class VarFilter:
    """Which stored estimates are asked for; None: any. Without anything it is the headline."""

    method: Method | None = None
    horizon_days: int | None = None
    window: int | None = None
    confidence: Decimal | None = None
    is_every: bool = False

    @property
    def is_headline(self) -> bool:
        """Whether one estimate a confidence is asked for."""
        return self == VarFilter()

    def fits(self, row: queries.ValueAtRisk) -> bool:
        """Whether the estimate is asked for."""
        return (
            (self.method is None or row.method == self.method)
            and (self.horizon_days is None or row.horizon_days == self.horizon_days)
            and (self.window is None or row.window_observations == self.window)
            and (self.confidence is None or row.confidence == self.confidence)
        )


def account_var(reader: Reader, account_id: str, wanted: VarFilter) -> schemas.AccountVarView:
    """The latest estimates of one account; `AccountUnknownError` if it never had a position."""
    report = _var_report(
        wanted,
        lambda: queries.account_var(reader, [account_id]),
        lambda: queries.account_var_estimates(reader, account_id),
    )
    if not report.estimates:
        _require_account(reader, account_id)
    return schemas.AccountVarView(account_id=account_id, **dict(report))


def book_var(reader: Reader, wanted: VarFilter) -> schemas.VarReport:
    """The latest estimates of the book."""
    return _var_report(wanted, lambda: queries.book_var(reader), lambda: queries.book_var_estimates(reader))


def book_components(
    reader: Reader, part_kind: schemas.PartKind, confidence: Decimal, limit: int
) -> schemas.BookComponentsView:
    """What the parts of the book add to its latest Value at Risk and Expected Shortfall."""
    rows = computed_daily(lambda: var_queries.var_components(reader, part_kind, confidence, limit))
    found = [schemas.BookComponentView.model_validate(row) for row in rows]
    reason = None if found else schemas.NoEstimates.NOT_COMPUTED
    return schemas.BookComponentsView(part_kind=part_kind, components=found, reason=reason)


def reverse_stress(reader: Reader, loss_usd: Decimal, asset: str, measure: Measure) -> schemas.AssetFallView:
    """The smallest fall of `asset` that makes the book lose `loss_usd`; `RiskInputError` for an amount that is none."""
    found = stress_queries.reverse_stress(reader, loss_usd, asset, measure)
    return schemas.AssetFallView(**asdict(found) | {"fall_ratio": found.fall})


def book(reader: Reader) -> schemas.BookView:
    """The book now, and its latest estimates."""
    summary = queries.book_summary(reader)
    return schemas.BookView(
        accounts=summary.accounts,
        accounts_by_status={status: getattr(summary, status) for status in schemas.HealthStatus},
        collateral_usd=summary.collateral_usd,
        borrow_usd=summary.borrow_usd,
        health_pct=summary.health_pct,
        is_complete=summary.is_complete,
        late_events_pending=summary.late_events_pending,
        oldest_price_age_seconds=summary.oldest_price_age_seconds,
        is_simulated=summary.is_simulated,
        measured_at=summary.measured_at,
        value_at_risk=book_var(reader, VarFilter()),
    )


def _require_account(reader: Reader, account_id: str) -> queries.MarginHealth:
    found = queries.margin_health(reader, account_id)
    if found is None:
        raise AccountUnknownError(f"There is no account {account_id!r} with a position; /v1/portfolios lists them.")
    return found


def _sum_usd(positions: Sequence[schemas.PositionView], side: schemas.Side) -> Decimal | None:
    amounts = [position.exposure_usd for position in positions if position.side is side]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def health_view(row: queries.MarginHealth) -> schemas.HealthView:
    """The response for one account of the mart."""
    return schemas.HealthView(
        account_id=row.account_id,
        status=schemas.HealthStatus(row.status),
        health_pct=row.health_pct,
        collateral_usd=row.collateral_usd,
        borrow_usd=row.borrow_usd,
        thresholds=schemas.ThresholdsView(
            margin_call_pct=row.margin_call_threshold_pct,
            liquidation_pct=row.liquidation_threshold_pct,
            early_warning_pct=row.early_warning_threshold_pct,
            recovery_margin_pct=row.recovery_margin_pct,
        ),
        unpriced_assets=listed(row.unpriced_assets),
        unpriced_reason=row.unpriced_reason,
        has_degraded_price=row.has_degraded_price,
        is_confidence_unknown=row.is_confidence_unknown,
        has_negative_position=row.has_negative_position,
        price_ids=listed(row.price_ids),
        oldest_price_at=row.oldest_price_at,
        oldest_price_age_seconds=row.oldest_price_age_seconds,
        late_events_pending=row.late_events_pending,
        last_event_at=row.last_event_at,
        is_simulated=row.is_simulated,
        measured_at=row.measured_at,
    )


Row = TypeVar("Row")
_ReadVar = Callable[[], Sequence[queries.ValueAtRisk]]


def computed_daily(read: Callable[[], Sequence[Row]]) -> Sequence[Row]:
    """What `read` finds; nothing before the first daily build, without which the live figures stand all the same."""
    try:
        return read()
    except WarehouseError as error:
        if not isinstance(as_ballast_error(error), MartsNotBuiltError):
            raise
        return []


def _var_report(wanted: VarFilter, headline: _ReadVar, every: _ReadVar) -> schemas.VarReport:
    """The estimates that are asked for, or why there is none."""
    rows = computed_daily(headline if wanted.is_headline else every)
    estimates = [schemas.ValueAtRiskView.model_validate(row) for row in rows if wanted.fits(row)]
    absent = schemas.NoEstimates.NO_MATCH if rows else schemas.NoEstimates.NOT_COMPUTED
    return schemas.VarReport(estimates=estimates, reason=None if estimates else absent)

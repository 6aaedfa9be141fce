"""Health, trigger prices and risk of a portfolio that need not exist; nothing of it is written or logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Context, Decimal, localcontext
from itertools import groupby
from typing import Any

from alerting.margin.thresholds import DEFAULT_THRESHOLDS_SQL
from api.errors import AssetsUnknownError
from api.risk import schemas
from api.risk import what_if_schemas as views
from api.risk.what_if_estimates import Budget, estimates_within
from assets.risk.engine import margin
from assets.risk.engine.batch import Histories, Question
from assets.risk.engine.errors import RiskInputError
from assets.risk.engine.methods import Method
from assets.risk.engine.portfolio import AssetComponent, Estimate, asset_components
from assets.risk.history_queries import ClosesCache, PriceSetCloses
from assets.risk.queries import Reader
from infra.runtime.clock import Clock
from infra.runtime.version import code_version

# A sum of quantities keeps every digit, and figures of 1e18 units keep their nine decimals.
_EXACT = Context(prec=120)
_NAMED_ASSETS = 20
# How long the installation's thresholds are used after they were read.
THRESHOLDS_KEPT_S = 15.0


@dataclass(frozen=True)
class Asset:
    """One asset of the portfolio: units, the price that they are valued at, and where it comes from."""

    holding: margin.Holding
    price_usd: Decimal
    price_source: views.PriceSource
    price_date: date | None
    is_simulated: bool

    @property
    def net_exposure_usd(self) -> Decimal:
        """Held less owed, in USD."""
        return (self.holding.collateral_quantity - self.holding.borrow_quantity) * self.price_usd


@dataclass
class WhatIfs:
    """Answers what-ifs for one application, from closes that it keeps; safe to share between threads."""

    reader: Reader
    clock: Clock
    monotonic: Callable[[], float]
    closes: ClosesCache = field(init=False)
    _defaults: tuple[float, margin.Thresholds] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.closes = ClosesCache(monotonic=self.monotonic)

    def answer(self, request: views.WhatIfRequest) -> views.WhatIfView:
        """The response; `AssetsUnknownError` or `RiskInputError` for what nothing can be computed from."""
        budget = Budget.starting(request.deadline_ms, self.monotonic)
        thresholds = self._thresholds(request.thresholds)
        prices = self.closes.price_set(self.reader)
        as_of = _checked_day(request.as_of, prices)
        histories = self.closes.histories_of(prices, as_of=as_of, window=request.window)
        with localcontext(_EXACT):
            assets = _assets(request, prices, as_of)
            labels = {
                "as_of_date": as_of,
                "price_set_id": prices.price_set_id,
                "is_simulated": any(each.is_simulated for each in assets),
                "code_version": code_version(),
                "computed_at": self.clock.now(),
            }
            return views.WhatIfView(
                account_id=request.account_id,
                assets=[_asset_view(each) for each in assets],
                **_margin(request, assets, thresholds),
                **_risk(request, assets, histories, budget, labels),
                **labels,
            )

    def _thresholds(self, given: views.ThresholdsInput) -> margin.Thresholds:
        """Those of the request, and where one is left out that of the installation."""
        if given.margin_call_pct is not None and given.liquidation_pct is not None:
            return margin.Thresholds(given.margin_call_pct, given.liquidation_pct)
        now = self.monotonic()
        if self._defaults is None or now - self._defaults[0] >= THRESHOLDS_KEPT_S:
            row = self.reader.query(DEFAULT_THRESHOLDS_SQL)[0]
            self._defaults = now, margin.Thresholds(row["margin_call_pct"], row["liquidation_pct"])
        default = self._defaults[1]
        return margin.Thresholds(
            default.margin_call_pct if given.margin_call_pct is None else given.margin_call_pct,
            default.liquidation_pct if given.liquidation_pct is None else given.liquidation_pct,
        )


def _checked_day(as_of: date | None, prices: PriceSetCloses) -> date:
    last = prices.as_of_date
    if as_of is None:
        return last
    if as_of > last:
        raise RiskInputError(f"as_of {as_of} lies after {last}, the last day with closes of all assets")
    if as_of < prices.first_date:
        raise RiskInputError(f"as_of {as_of} lies before {prices.first_date}, the first day with closes")
    return as_of


def _assets(request: views.WhatIfRequest, prices: PriceSetCloses, as_of: date) -> list[Asset]:
    """The positions by asset, sorted; `AssetsUnknownError` for one that the price set does not know."""
    unknown = sorted({*(each.asset for each in request.positions), *request.prices} - set(prices.assets))
    if unknown:
        raise AssetsUnknownError(
            f"There are no closes of {_listed(unknown)}. Known assets are {_listed(prices.assets)}."
        )
    overrides = request.prices | {p.asset: p.price_usd for p in request.positions if p.price_usd is not None}
    units: dict[tuple[str, schemas.Side], Decimal] = {}
    for each in request.positions:
        units[each.asset, each.side] = units.get((each.asset, each.side), Decimal(0)) + each.quantity
    return [
        _priced(
            asset,
            units.get((asset, schemas.Side.COLLATERAL), Decimal(0)),
            units.get((asset, schemas.Side.BORROW), Decimal(0)),
            overrides.get(asset),
            prices,
            as_of,
        )
        for asset in sorted({asset for asset, _side in units})
    ]


def _priced(
    asset: str, collateral: Decimal, borrow: Decimal, override: Decimal | None, prices: PriceSetCloses, as_of: date
) -> Asset:
    is_simulated = asset in prices.simulated_assets
    if override is not None:
        holding = margin.Holding(asset, collateral, borrow, override)
        return Asset(holding, override, views.PriceSource.OVERRIDE, None, is_simulated)
    found = prices.latest(asset, as_of)
    if found is None:
        raise RiskInputError(f"there is no close of {asset} up to {as_of}; give its price_usd, or a later as_of")
    day, close_usd = found
    holding = margin.Holding(asset, collateral, borrow, close_usd)
    return Asset(holding, close_usd, views.PriceSource.CLOSE, day, is_simulated)


def _asset_view(asset: Asset) -> views.AssetView:
    return views.AssetView(
        asset=asset.holding.asset,
        collateral_quantity=asset.holding.collateral_quantity,
        borrow_quantity=asset.holding.borrow_quantity,
        net_exposure_usd=asset.net_exposure_usd,
        price_usd=asset.price_usd,
        price_source=asset.price_source,
        price_date=asset.price_date,
        is_simulated=asset.is_simulated,
    )


def _margin(request: views.WhatIfRequest, assets: Sequence[Asset], thresholds: margin.Thresholds) -> dict[str, Any]:
    """Health with its cures, and the trigger prices."""
    holdings = [each.holding for each in assets]
    measured = margin.health(holdings, thresholds)
    target = request.thresholds.cure_target_pct
    cured = margin.cure(
        measured.collateral_usd, measured.borrow_usd, thresholds.margin_call_pct if target is None else target
    )
    simulated = {each.holding.asset: each.is_simulated for each in assets}
    return {
        "health": views.WhatIfHealthView(
            status=schemas.HealthStatus(measured.status),
            health_pct=measured.health_pct,
            collateral_usd=measured.collateral_usd,
            borrow_usd=measured.borrow_usd,
            thresholds=views.WhatIfThresholdsView.model_validate(thresholds),
            cure=views.CureView.model_validate(cured),
        ),
        "liquidation_prices": [
            schemas.LiquidationPriceView(**_values(each), is_simulated=simulated[each.asset])
            for each in margin.triggers(holdings, thresholds)
        ],
    }


def _risk(
    request: views.WhatIfRequest,
    assets: Sequence[Asset],
    histories: Histories,
    budget: Budget,
    labels: Mapping[str, Any],
) -> dict[str, Any]:
    """Estimates and components."""
    exposures = {each.holding.asset: each.net_exposure_usd for each in assets}
    questions = [
        Question(method, horizon, request.window, tuple(request.confidences))
        for method in request.methods or (Method.HISTORICAL,)
        for horizon in request.horizons_days
    ]
    found = estimates_within(
        budget,
        exposures,
        histories,
        questions,
        intervals=request.intervals,
        has_fallback=request.methods is None,
    )
    components, reason = _components(request, exposures, histories, budget)
    return {
        "estimates": [schemas.ValueAtRiskView(**_values(row), **labels) for row in found],
        "components": components,
        "components_reason": reason,
    }


def _components(
    request: views.WhatIfRequest, exposures: Mapping[str, Decimal], histories: Histories, budget: Budget
) -> tuple[list[views.ComponentsView], str | None]:
    """Components for each horizon, and why some are missing."""
    exposed = {asset: usd for asset, usd in exposures.items() if usd != 0}
    if not exposed:
        return [], "no asset has a net exposure"
    found: list[views.ComponentsView] = []
    reasons: dict[str, None] = {}
    for horizon in request.horizons_days:
        if budget.is_spent:
            reasons[budget.reason] = None
            continue
        window = histories.window(request.window, horizon)
        reasons |= {window.problems[asset]: None for asset in exposed if asset in window.problems}
        found += _grouped(asset_components(exposed, window, request.confidences), horizon, request.window)
    return found, "; ".join(reasons) or None


def _grouped(rows: Sequence[AssetComponent], horizon: int, window: int) -> Iterator[views.ComponentsView]:
    """One view a confidence; rows come ordered by it."""
    for confidence, each in groupby(rows, key=lambda row: row.confidence):
        parts = [views.ComponentView(**{k: v for k, v in _values(row).items() if k != "confidence"}) for row in each]
        yield views.ComponentsView(
            method=Method.HISTORICAL,
            confidence=confidence,
            horizon_days=horizon,
            window_observations=window,
            var_usd=sum((part.component_var_usd for part in parts), Decimal(0)),
            es_usd=sum((part.component_es_usd for part in parts), Decimal(0)),
            assets=parts,
        )


def _values(row: Estimate | AssetComponent | margin.Trigger) -> dict[str, Any]:
    return {each.name: getattr(row, each.name) for each in fields(row)}


def _listed(assets: Sequence[str]) -> str:
    more = len(assets) - _NAMED_ASSETS
    return ", ".join(assets[:_NAMED_ASSETS]) + (f" and {more} more" if more > 0 else "")

"""The risk reads; each endpoint blocks on BigQuery and therefore runs in the threadpool."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field, WithJsonSchema

from api.dependencies import ReaderDependency, WhatIfsDependency
from api.errors import documented
from api.risk import schemas, service
from api.risk.what_if_schemas import WhatIfRequest, WhatIfView
from assets.risk.engine.methods import Method
from assets.risk.engine.reverse_stress import USD_DECIMALS, USD_LIMIT, Measure
from ingest.messages import AccountId, AssetSymbol

MAX_LIMIT = 200

router = APIRouter(prefix="/v1", tags=["risk"])
AccountPath = Annotated[AccountId, Path(description="account", examples=["acct-00001"])]
ConfidenceQuery = Annotated[
    Decimal,
    Field(gt=Decimal("0.5"), lt=1, allow_inf_nan=False),
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["0.99"]}),
]
LossQuery = Annotated[
    Decimal,
    Field(gt=0, lt=USD_LIMIT, decimal_places=USD_DECIMALS, allow_inf_nan=False),
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["1000000"]}),
]
_ACCOUNT_ERRORS = documented("account_unknown")


@router.get("/portfolios", responses=documented("request_invalid", "cursor_invalid"))
def list_portfolios(
    reader: ReaderDependency,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="accounts in a page")] = 50,
    cursor: Annotated[str | None, Query(min_length=1, max_length=512, description="next_cursor of a page")] = None,
) -> schemas.PortfolioPage:
    """Accounts by urgency: unpriced ones, then those nearest to their margin call, then those without debt."""
    return service.portfolios(reader, limit, cursor)


@router.get("/portfolios/{account_id}/exposure", responses=_ACCOUNT_ERRORS)
def get_exposure(reader: ReaderDependency, account_id: AccountPath) -> schemas.ExposureView:
    """What the account holds and owes now, each position with its price, the price's status and age."""
    return service.exposure(reader, account_id)


@router.get("/portfolios/{account_id}/margin-health", responses=_ACCOUNT_ERRORS)
def get_margin_health(reader: ReaderDependency, account_id: AccountPath) -> schemas.MarginHealthView:
    """Margin health of the account now, and the prices at which it would reach each threshold."""
    return service.margin_health(reader, account_id)


def get_var_filter(
    method: Annotated[Method | None, Query(description="method; all unless given")] = None,
    horizon_days: Annotated[int | None, Query(ge=1, description="horizon in days")] = None,
    window: Annotated[int | None, Query(ge=1, description="scenarios that the estimate asks for")] = None,
    confidence: Annotated[ConfidenceQuery | None, Query(description="as a fraction, above 0.5 and below 1")] = None,
    is_every: Annotated[bool, Query(alias="all", description="every estimate, not only the headline")] = False,
) -> service.VarFilter:
    """Which estimates are asked for."""
    return service.VarFilter(method, horizon_days, window, confidence, is_every)


VarFilterDependency = Annotated[service.VarFilter, Depends(get_var_filter)]


@router.get("/portfolios/{account_id}/var", responses=_ACCOUNT_ERRORS)
def get_account_var(
    reader: ReaderDependency, account_id: AccountPath, wanted: VarFilterDependency
) -> schemas.AccountVarView:
    """The latest Value at Risk and Expected Shortfall of the account.

    Without a parameter one estimate a confidence: historical simulation, or what stands in where it has no figure.
    With `all=true` or any filter every stored estimate that fits, by method, horizon, window and confidence.
    """
    return service.account_var(reader, account_id, wanted)


@router.get("/book")
def get_book(reader: ReaderDependency) -> schemas.BookView:
    """Totals of the whole book now, and its latest Value at Risk and Expected Shortfall."""
    return service.book(reader)


@router.get("/book/var")
def get_book_var(reader: ReaderDependency, wanted: VarFilterDependency) -> schemas.VarReport:
    """The latest Value at Risk and Expected Shortfall of the book; parameters as for an account."""
    return service.book_var(reader, wanted)


@router.get("/book/var/components")
def get_book_var_components(
    reader: ReaderDependency,
    part_kind: Annotated[schemas.PartKind, Query(description="what the parts are")] = schemas.PartKind.ASSET,
    confidence: Annotated[ConfidenceQuery, Query(description="as a fraction, above 0.5 and below 1")] = Decimal("0.99"),
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many parts")] = 100,
) -> schemas.BookComponentsView:
    """What each asset or account adds to the book's latest Value at Risk and Expected Shortfall, largest first."""
    return service.book_components(reader, part_kind, confidence, limit)


@router.get("/risk/reverse-stress", responses=documented("request_invalid", "risk_input_invalid"))
def get_reverse_stress(
    reader: ReaderDependency,
    loss_usd: Annotated[LossQuery, Query(description="what the book is to lose, in USD")],
    asset: Annotated[AssetSymbol, Query(description="the asset whose price falls")] = "BTC",
    measure: Annotated[Measure, Query(description="what counts as lost")] = Measure.EQUITY,
) -> schemas.AssetFallView:
    """The smallest fall of one asset, all other prices held, that makes the book lose an amount."""
    return service.reverse_stress(reader, loss_usd, asset, measure)


@router.post("/risk/what-if", responses=documented("request_invalid", "risk_input_invalid", "assets_unknown"))
def compute_what_if(what_ifs: WhatIfsDependency, request: WhatIfRequest) -> WhatIfView:
    """Health, trigger prices, Value at Risk and its components of a portfolio that need not exist.

    It rests on the daily closes that stored estimates rest on, not on live prices: give `prices` for these. Nothing
    is stored. The same request on the same price set gives the same figures.
    """
    return what_ifs.answer(request)

"""The risk reads; each endpoint blocks on BigQuery and therefore runs in the threadpool."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.dependencies import ReaderDependency
from api.errors import documented
from api.risk import schemas, service
from ingest.messages import AccountId

MAX_LIMIT = 200

router = APIRouter(prefix="/v1", tags=["risk"])
AccountPath = Annotated[AccountId, Path(description="account", examples=["acct-00001"])]
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


@router.get("/portfolios/{account_id}/var", responses=_ACCOUNT_ERRORS)
def get_account_var(reader: ReaderDependency, account_id: AccountPath) -> schemas.AccountVarView:
    """The latest Value at Risk and Expected Shortfall of the account."""
    return service.account_var(reader, account_id)


@router.get("/book")
def get_book(reader: ReaderDependency) -> schemas.BookView:
    """Totals of the whole book now, and its latest Value at Risk and Expected Shortfall."""
    return service.book(reader)

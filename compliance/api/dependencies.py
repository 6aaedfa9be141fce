"""What the routes of compliance receive, and the checks that need the clock.

What waits for nothing is `async`: FastAPI would give each of the others a thread of its own, request by request.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, cast

from fastapi import Depends, HTTPException, Path, Request

from compliance.api.schemas import Id
from compliance.api.services import Services
from compliance.api.valuation import LatestPrices
from compliance.errors import ComplianceInputError
from infra.runtime.errors import NotReadyError
from ingest.messages import ALLOWED_SKEW

MAX_WEBHOOK_BYTES = 1_000_000


async def get_services(request: Request) -> Services:
    """The services; `NotReadyError` when the application has none."""
    return cast(Services, _of_state(request, "compliance"))


async def get_prices(request: Request) -> LatestPrices:
    """What values quantities; `NotReadyError` when the application has none."""
    return cast(LatestPrices, _of_state(request, "compliance_prices"))


async def raw_body(request: Request) -> bytes:
    """The body as it came, for the signature is over its bytes; 413 above 1 MB."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_WEBHOOK_BYTES:
            raise HTTPException(413)
    return bytes(body)


def refuse_future(name: str, at: datetime, now: datetime) -> None:
    """Raise `ComplianceInputError` for a time after the clock; two minutes are the difference of two clocks."""
    if at > now + ALLOWED_SKEW:
        raise ComplianceInputError(f"{name} lies in the future, {now.isoformat()} is now; give the time it happened.")


def refuse_unborn(birth_date: date | None, now: datetime) -> None:
    """Raise `ComplianceInputError` for a date of birth that is still to come."""
    if birth_date is not None and birth_date > now.astimezone(UTC).date():
        raise ComplianceInputError("birth_date lies in the future; give the day of birth, or leave it out.")


def _of_state(request: Request, name: str) -> object:
    found: object = getattr(request.app.state, name, None)
    if found is None:
        raise NotReadyError(f"The API has no {name}; set app.state.{name} when it starts.")
    return found


ServicesDependency = Annotated[Services, Depends(get_services)]
PricesDependency = Annotated[LatestPrices, Depends(get_prices)]
RawBody = Annotated[bytes, Depends(raw_body)]
CasePath = Annotated[Id, Path(description="case")]
KycPath = Annotated[Id, Path(description="verification")]
TransactionPath = Annotated[Id, Path(description="transaction")]
HitPath = Annotated[Id, Path(description="hit of a screening")]


def errors(**by_status: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of the errors of one route, as `s404="case_not_found"`."""
    return {int(status.removeprefix("s")): {"description": codes} for status, codes in by_status.items()}

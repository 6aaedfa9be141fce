"""What endpoints receive: the clients that the application made when it started."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from api.health.service import ReadinessChecks
from api.risk.what_if import WhatIfs
from api.stream.hub import Hub
from assets.risk.queries import Reader
from infra.runtime.errors import NotReadyError


async def get_reader(request: Request) -> Reader:
    """What reads the marts."""
    return cast(Reader, _of_state(request, "reader"))


async def get_readiness(request: Request) -> ReadinessChecks:
    """The readiness checks."""
    return cast(ReadinessChecks, _of_state(request, "readiness"))


async def get_what_ifs(request: Request) -> WhatIfs:
    """What answers what-ifs."""
    return cast(WhatIfs, _of_state(request, "what_ifs"))


async def get_hub(connection: HTTPConnection) -> Hub:
    """What the streams share."""
    return cast(Hub, _of_state(connection, "hub"))


def _of_state(request: HTTPConnection, name: str) -> object:
    found: object = getattr(request.app.state, name, None)
    if found is None:
        raise NotReadyError(f"The API has no {name} yet; run it with its lifespan, as uvicorn does.")
    return found


ReaderDependency = Annotated[Reader, Depends(get_reader)]
WhatIfsDependency = Annotated[WhatIfs, Depends(get_what_ifs)]

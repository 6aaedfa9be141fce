"""The request handlers of bqemulator, to be wrapped before its application is built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from infra.embedded.bigquery.patching import RepairError, replace

Handler = Callable[..., Any]


class Handlers:
    """The handlers of all routers that the module `application` includes, by name."""

    def __init__(self, application: ModuleType) -> None:
        self._application = application
        self._routers = {name: value for name, value in vars(application).items() if isinstance(value, APIRouter)}
        self._handlers = {route.name: route.endpoint for router in self._routers.values() for route in _routes(router)}

    def wrap(self, name: str, make: Callable[[Handler], Handler]) -> None:
        """Put `make(handler)` in the place of the handler `name`; it keeps the signature that FastAPI reads."""
        if name not in self._handlers:
            raise RepairError(f"bqemulator has no route {name}: this repair was written for another version of it")
        handler = self._handlers[name]
        self._handlers[name] = functools.wraps(handler)(make(handler))

    def names(self) -> list[str]:
        """Names of all handlers."""
        return list(self._handlers)

    def asynchronous(self) -> list[str]:
        """Names of the handlers that stock runs on the event loop."""
        return [name for name, handler in self._handlers.items() if inspect.iscoroutinefunction(handler)]

    def install(self) -> None:
        """Have the application include routers with the wrapped handlers."""
        for name, router in self._routers.items():
            replace(self._application, name, self._rebuilt(router))

    def _rebuilt(self, router: APIRouter) -> APIRouter:
        rebuilt = APIRouter()
        for route in _routes(router):
            rebuilt.add_api_route(
                route.path,
                self._handlers[route.name],
                methods=sorted(route.methods or ()),
                status_code=route.status_code,
                name=route.name,
                include_in_schema=False,
            )
        return rebuilt


def _routes(router: APIRouter) -> Iterator[APIRoute]:
    return (route for route in router.routes if isinstance(route, APIRoute))

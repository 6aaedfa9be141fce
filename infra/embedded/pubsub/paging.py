"""Pages of a sorted list of names; the token is the last name of the page before, so it survives restarts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from infra.embedded.pubsub.model import Proto, invalid

MAX_PAGE: Final = 1000


def page(names: Iterable[str], prefix: str, request: Proto) -> tuple[list[str], str]:
    """The names that begin with `prefix` and stand on the page that the request asks for, and the next page's token."""
    if request.page_size < 0:
        raise invalid(f"page_size is {request.page_size}; it cannot be negative.")
    size = min(request.page_size or MAX_PAGE, MAX_PAGE)
    rest = sorted(name for name in names if name.startswith(prefix) and name > request.page_token)
    return rest[:size], rest[size - 1] if len(rest) > size else ""

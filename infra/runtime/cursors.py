"""Cursors of pages: a place in an order, opaque to callers."""

from __future__ import annotations

import base64
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from infra.runtime.errors import BallastError


class CursorInvalidError(BallastError):
    """A page cursor is not one that was given out."""

    code = "cursor_invalid"


class OpaqueCursor(BaseModel):
    """The place behind one row; a subclass names the fields of its order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=1, ge=1, le=1, alias="v")

    def encode(self) -> str:
        """The cursor as it travels."""
        return base64.urlsafe_b64encode(self.model_dump_json(by_alias=True).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """The cursor of `text`; raises `CursorInvalidError` if it was not given out."""
        try:
            content = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return cls.model_validate_json(content)
        except ValueError:
            raise CursorInvalidError(
                "The cursor is not one of this API. Send next_cursor of the page before, or none to begin again."
            ) from None

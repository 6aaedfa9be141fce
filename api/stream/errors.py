"""What a client of the stream did wrong, and why a connection ends."""

from __future__ import annotations

from api.errors import ApiError

CLOSE_POLICY = 1008
CLOSE_RESTART = 1012
CLOSE_TRY_AGAIN = 1013


class MistakeError(ApiError):
    """A message that the stream does not take; `code` is told to the client, and the connection stays."""

    code = "message_invalid"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamClosedError(ApiError):
    """The connection is to be closed with `close_code` and `reason`."""

    code = "stream_closed"

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code

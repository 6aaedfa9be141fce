"""Errors of what comes in."""

from __future__ import annotations

from infra.runtime.errors import BallastError


class InvalidMessageError(BallastError):
    """A message does not follow its contract; `code` tells which way, the message which field."""

    code = "invalid_message"


class UnknownVersionError(InvalidMessageError):
    """The message's `schema_version` is not one that this reader knows."""

    code = "unknown_version"


class FromFutureError(InvalidMessageError):
    """The message is dated later than the reader's clock and the allowed skew."""

    code = "from_future"


class PriceFileError(BallastError):
    """A price file or its folder cannot be used; nothing of the folder was loaded."""

    code = "invalid_price_file"


class FeedTableError(BallastError):
    """The feed table contradicts itself, or a feed on its chain is not what the table says."""

    code = "invalid_feed_table"


class AssetUnknownError(BallastError):
    """Neither the feed table nor any recent price knows the asset."""

    code = "asset_unknown"


class InvalidRangeError(BallastError):
    """A range of time ends before it begins, or is longer than a read may be."""

    code = "request_invalid"

"""Errors of the Pyth source."""

from __future__ import annotations

from infra.runtime.errors import BallastError


class AccumulatorError(BallastError):
    """Binary update data cannot be decoded."""

    code = "accumulator_invalid"


class MerkleProofError(AccumulatorError):
    """A message's proof does not lead to the root that the network attested."""

    code = "merkle_mismatch"


class HermesError(BallastError):
    """Hermes could not be read; `wait_s` is how long to stay away, None where the usual back-off decides.

    The message names no address, token or text of the provider.
    """

    def __init__(self, code: str, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.wait_s = wait_s


class UnknownFeedsError(HermesError):
    """Hermes does not know some of the requested feeds; `feed_ids` are 64 hex digits each."""

    def __init__(self, feed_ids: frozenset[str]) -> None:
        super().__init__("unknown_feed", f"Hermes does not know {len(feed_ids)} of the requested feeds.")
        self.feed_ids = feed_ids


class HistoryError(BallastError):
    """Pyth's daily history could not be read, or is not usable; `code` tells which way."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

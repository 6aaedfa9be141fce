"""What the answers of all providers have in common: rate limits, refused credentials, failures, silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from alerting.channels.base import Retryable
from alerting.channels.http import HttpAnswer, HttpFailure

# An hour at most: an alert that is older helps nobody.
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
# Meanwhile the provider's events or its list of messages can tell what became of the attempt.
UNKNOWN_WAIT = timedelta(seconds=5)
RATE_LIMIT_WAIT = timedelta(seconds=1)
MISCONFIGURED_WAIT = timedelta(seconds=30)
_MISCONFIGURED = frozenset({401, 403, 404, 405, 407})
# A gateway answered in place of the provider, whose own answer it did not get.
_UNKNOWN_STATUSES = frozenset({502, 504})


def trouble(provider: str, outcome: HttpAnswer | HttpFailure, now: datetime) -> Retryable | None:
    """The result where the trouble is not the message's; None where the answer is about the message itself.

    Refused credentials (401, 403) and a wrong root (404, 405, redirects) are final for the request at the provider.
    Here they are faults of our settings, which must not lose an alert: the channel pauses, the message comes again.
    """
    if isinstance(outcome, HttpFailure):
        wait = UNKNOWN_WAIT if outcome.is_unknown else None
        return Retryable(f"{provider}: {outcome.reason}", wait, is_unknown=outcome.is_unknown)
    status = outcome.status
    if status == 429:
        return rate_limited(provider, outcome, now)
    if status in _MISCONFIGURED or 300 <= status < 400:
        return misconfigured(provider, f"HTTP {status}")
    if status == 408 or status >= 500:
        result = Retryable(f"{provider}: HTTP {status}", outcome.wait(now))
        if status in _UNKNOWN_STATUSES:
            return replace(result, retry_after=max(result.retry_after or UNKNOWN_WAIT, UNKNOWN_WAIT), is_unknown=True)
        return result
    return None


def rate_limited(provider: str, answer: HttpAnswer, now: datetime) -> Retryable:
    """The provider takes nothing more for now: it did not look at the message, and it is not unwell."""
    return Retryable(
        f"{provider} limits our rate (HTTP {answer.status})",
        answer.wait(now) or RATE_LIMIT_WAIT,
        pauses_channel=True,
        is_fault=False,
        counts=False,
    )


def misconfigured(provider: str, what: str) -> Retryable:
    """The provider refuses our settings; no message passes until they are mended."""
    return Retryable(f"{provider} refuses our settings ({what})", MISCONFIGURED_WAIT, pauses_channel=True)


def unexpected(provider: str, answer: HttpAnswer) -> Retryable:
    """A success that the contract does not know: whether the message was taken is unknown."""
    return Retryable(f"{provider}: unexpected HTTP {answer.status}", UNKNOWN_WAIT, is_unknown=True)
